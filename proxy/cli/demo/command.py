"""`strangler demo`: set up, run the migration, keep running."""

from __future__ import annotations

import asyncio
import fcntl
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
import httpx2
from rich.console import Console

from proxy.cli.demo import services
from proxy.cli.demo.admin import Admin
from proxy.cli.demo.claims import Claim
from proxy.cli.demo.screen import Screen
from proxy.cli.demo.services import DemoError, Site
from proxy.cli.demo.story import Story
from proxy.cli.demo.traffic import LoadGenerator
from proxy.datapath import this_build


@click.command()
@click.option("--once", is_flag=True, help="Exit at the end: 0 only if every claim held.")
@click.option(
    "--port", default=8000, show_default=True, help="Port for clients; if it is in use, a free one."
)
@click.option("--pause", default=3.0, show_default=True, help="Seconds to watch each step.")
@click.option(
    "--directory",
    default=".demo",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory for the database, logs and routing.yaml.",
)
def demo(once: bool, port: int, pause: float, directory: Path) -> None:
    """Run a complete migration under live traffic on this machine.

    Starts PostgreSQL, the payments API in Flask and in FastAPI, and the proxy in front of them. Sends steady
    traffic and lets a rollout move the reads: a bad build comes back by itself, its repair goes to 100. Moves
    the writes, kills a backend, and checks that no payment was lost or made twice.
    Everything it starts ends with it.

    \b
    Exit codes: 0 every claim held, 1 a claim did not hold, 2 the demo could not start.
    """
    for number in services.INTERRUPTS:
        signal.signal(number, signal.default_int_handler)  # ends like Ctrl-C: children first
    screen = Screen(Console(highlight=False))
    try:
        services.require_backends()
        with _alone(directory):
            screen.say(f"Starting PostgreSQL, legacy, async and the proxy; logs in {directory / 'logs'}")
            screen.say(f"The proxy is {this_build()}")
            with services.running(directory, port) as site:
                held = asyncio.run(_play(site, screen, pause, once))
    except DemoError as error:
        raise SystemExit(_refuse(error)) from None
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0 if held else 1)


async def _play(site: Site, screen: Screen, pause: float, once: bool) -> bool:
    traffic = LoadGenerator("127.0.0.1", site.ports.data, site.seeded)
    async with httpx2.AsyncClient(timeout=10) as client:
        admin = Admin(site.admin, client)
        background = [asyncio.create_task(traffic.run()), asyncio.create_task(_show(screen, admin, traffic))]
        try:
            with screen.live():
                held = await _tell(Story(site, admin, traffic, screen, pause))
                if not once:
                    _invite(site, screen)
                    await asyncio.wait(background, return_when=asyncio.FIRST_EXCEPTION)  # until Ctrl-C
        finally:
            for task in background:
                task.cancel()
            await asyncio.wait(background)
    return held


async def _tell(story: Story) -> bool:
    """Whether every claim held; a story that breaks off is a claim that did not."""
    try:
        return await story.tell()
    except DemoError as error:
        dead = story.site.dead()
        evidence = f"{dead} ended by itself; {error}" if dead else str(error)
        story.screen.claim(Claim("the demo runs to its end", False, evidence))
        return story.screen.summary(story.traffic.total())


async def _show(screen: Screen, admin: Admin, traffic: LoadGenerator) -> None:
    while True:
        with suppress(DemoError):  # a missed refresh is made up by the next
            screen.update(await admin.endpoints(), traffic.total())
        await asyncio.sleep(1)


def _invite(site: Site, screen: Screen) -> None:
    merchant = site.seeded["merchants"][0]
    account, key = merchant["accounts"][0]["id"], merchant["api_key"]
    screen.step("The demo keeps running so that you can explore; Ctrl-C ends it")
    for line in (
        f"clients    {site.url}",
        f"engineers  {site.admin}  (metrics: /metrics)",
        f"the table  {site.routing}: change a weight, save, and watch the live figures",
        f"curl -si {site.url}/accounts/{account} -H 'authorization: Bearer {key}' -H 'x-user-id: ada'",
        f"strangler explain GET /accounts/{account} --config {site.routing} -H 'x-user-id: ada'",
        f"strangler set 'GET /accounts/{{account_id}}' 0 --config {site.routing} --admin {site.admin}",
    ):
        screen.say(f"  {line}")


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One demo per directory. Raises DemoError."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(
                f"another demo runs in {directory}; stop it, or choose another --directory"
            ) from None
        yield


def _refuse(error: DemoError) -> int:
    click.echo(f"strangler demo: {error}", err=True)
    return 2

"""`strangler replay`."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from proxy.cli.check import load_or_exit
from proxy.cli.errors import fail
from proxy.cli.heads import header, request_head
from proxy.cli.numbers import WholeNumber
from proxy.cli.printable import printable
from proxy.cli.replayed import prose
from proxy.cli.suggested import for_endpoint
from proxy.cli.target import config_option
from proxy.compare.judging import today
from proxy.compare.replay.recorded import BadInput
from proxy.compare.replay.recording import Survey, requests, survey
from proxy.compare.replay.report import Finished, as_data, junit
from proxy.compare.replay.results import ReplayResults, identity
from proxy.compare.replay.run import Gone, Options, ReplayRun
from proxy.core.comparison.comparisons import Report
from proxy.core.routing.snapshot import Snapshot

SAVE_EVERY: Final = 2.0  # seconds between two writes of the state file
INTERRUPTED: Final = 130

File = click.Path(path_type=Path, dir_okay=False)


class Output(NamedTuple):
    """Options of the command itself: where results are written, and where progress is kept."""

    as_json: bool
    junit: Path | None
    state: Path
    restart: bool
    parity: bool


@click.command("replay")
@click.argument("file", type=File)
@config_option("routing.yaml with both backends.", "config")
@click.option(
    "-H",
    "--header",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="Send this header with each request.",
)
@click.option("--rate", default=20.0, show_default=True, help="Maximum requests per second.")
@click.option("--concurrency", default=4, show_default=True, help="Maximum concurrent requests.")
@click.option("--limit", type=WholeNumber(1), help="Replay only this many requests of the file.")
@click.option(
    "--endpoint",
    "endpoints",
    multiple=True,
    metavar="'METHOD /PATH'",
    help="Replay only this endpoint; may be repeated.",
)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    help="Replay only this host's requests of a HAR file; may be repeated [default: first entry's].",
)
@click.option(
    "--sandbox",
    "sandboxes",
    multiple=True,
    metavar="URL",
    help="Execute writes on this address, too; repeat for every address of both backends.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--junit", "junit_file", type=File, help="Also write JUnit XML to this file.")
@click.option("--parity", is_flag=True, help="Exit 1 unless every endpoint is likely equal (compare.parity).")
@click.option("--state", type=File, help="Keep the progress in this file [default: FILE.replay].")
@click.option("--restart", is_flag=True, help="Ignore saved progress and start again.")
def replay(
    file: Path,
    config: str,
    headers: tuple[str, ...],
    rate: float,
    concurrency: int,
    limit: int | None,
    endpoints: tuple[str, ...],
    hosts: tuple[str, ...],
    sandboxes: tuple[str, ...],
    as_json: bool,
    junit_file: Path | None,
    parity: bool,
    state: Path | None,
    restart: bool,
) -> None:
    """Send the recorded requests of FILE to both backends, and report for each endpoint whether they differ.

    FILE is an access log of the proxy, nginx, Apache, HAProxy or Envoy, or a HAR file of a browser or a
    debugging proxy; docs/recording.md describes how to record one. Requests go directly to the backends,
    regardless of weights. Requests that may change something are skipped, unless you give --sandbox for
    every address of both backends. Then each of them is executed once on each backend.

    Press Ctrl-C to stop, and run the same command again to resume. An access log contains no credentials;
    pass them with -H.

    \b
    strangler replay access.log --config routing.yaml -H 'Authorization: Bearer ...'
    strangler replay session.har --config routing.yaml --host api.example.com --json
    strangler replay access.log --config routing.yaml --rate 100 --junit report.xml

    \b
    Exit codes: 0 nothing differs except noise; 1 something differs, was not answered or not comparable, or
    nothing was compared (with --parity also if an endpoint is not likely equal); 2 bad input (reported with
    its line); 130 interrupted.
    """
    snapshot = load_or_exit(config).snapshot
    _check(snapshot, rate, concurrency, endpoints, sandboxes)
    about = _surveyed(file)
    chosen = frozenset(hosts or ([about.host] if about.host else []))
    options = Options(rate, concurrency, _given(headers), chosen, frozenset(endpoints), bool(sandboxes))
    total = min(about.requests, limit or about.requests)
    output = Output(as_json, junit_file, state or file.with_name(f"{file.name}.replay"), restart, parity)
    raise SystemExit(_replay(snapshot, file, about._replace(requests=total), options, output))


def _replay(snapshot: Snapshot, file: Path, about: Survey, options: Options, output: Output) -> int:
    names = (options.headers, options.hosts, options.endpoints)  # of headers not the values: credentials
    of = identity(file, snapshot.hash, about.requests, *map(sorted, names), options.sandbox)
    found = _found(output, of)
    try:
        found.save(output.state, of)
    except OSError as error:
        fail(f"{output.state}: {error.strerror}; use --state to choose another file")
    started = time.monotonic()
    stopped = ""
    try:
        _run(snapshot, file, about, options, found, _Saver(found, output.state, of))
    except KeyboardInterrupt:
        found.save(output.state, of)
        done = f"{found.count} of {about.requests} requests"
        click.echo(f"\nstopped after {done}; run the same command again to resume ({output.state})", err=True)
        return INTERRUPTED
    except (Gone, BadInput, OSError) as error:
        found.save(output.state, of)
        stopped = str(error)
    reports = found.reports({each.name: each.compare.parity for each in snapshot.endpoints})
    proposed = _suggestions(snapshot, found, reports)
    told = (str(file), about.format, snapshot.hash, about.requests)
    finished = Finished(*told, found, reports, proposed, stopped, about.bad, output.parity)
    if not stopped:
        output.state.unlink(missing_ok=True)
    _tell(finished, output, time.monotonic() - started)
    return finished.code


def _suggestions(
    snapshot: Snapshot, found: ReplayResults, reports: Sequence[Report]
) -> dict[str, dict[str, Any]]:
    """Proposed rules for the differences found, by endpoint."""
    endpoints = {each.name: each for each in snapshot.endpoints}
    made = {}
    for report in reports:
        name = report.scope.endpoint
        if found.samples.get(name):
            made[name] = for_endpoint(endpoints[name], report, found.samples[name], today())
    return made


def _run(
    snapshot: Snapshot,
    file: Path,
    about: Survey,
    options: Options,
    found: ReplayResults,
    save: _Saver,
) -> None:
    """Raises Gone, BadInput, OSError or KeyboardInterrupt; `found` contains the results until then."""
    recorded = islice(requests(file, about.format), about.requests)
    with _progress() as progress:
        task = progress.add_task("replay", total=about.requests, completed=found.count)

        def checkpoint() -> None:
            progress.update(task, completed=found.count)
            save()

        asyncio.run(ReplayRun(snapshot, options, found, checkpoint, save.now).run(recorded))


class _Saver:
    """Saves the progress now and then; a full disk does not end a replay."""

    def __init__(self, found: ReplayResults, path: Path, of: str) -> None:
        self._found, self._path, self._of = found, path, of
        self._due = time.monotonic() + SAVE_EVERY

    def __call__(self) -> None:
        if time.monotonic() >= self._due:
            with suppress(OSError):
                self.now()

    def now(self) -> None:
        """Raises OSError."""
        self._found.save(self._path, self._of)
        self._due = time.monotonic() + SAVE_EVERY


def _tell(finished: Finished, output: Output, seconds: float) -> None:
    if output.junit is not None:
        try:
            output.junit.write_bytes(junit(finished, seconds))
        except OSError as error:
            fail(f"{output.junit}: {error.strerror}")
    if output.as_json:
        click.echo(json.dumps(as_data(finished)))
    else:
        Console(highlight=False).print(prose(finished), soft_wrap=True)


def _found(output: Output, of: str) -> ReplayResults:
    if output.restart:
        return ReplayResults()
    try:
        return ReplayResults.load(output.state, of)
    except (ValueError, OSError) as error:
        fail(f"{output.state}: {error}; use --restart to begin again")


def _surveyed(file: Path) -> Survey:
    try:
        about = survey(file)
    except BadInput as error:
        fail(str(error))
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    if not about.requests:
        fail(f"{file}: there is no request in it: it is neither an access log nor a HAR file with entries")
    for each in about.bad:
        click.echo(f"skipped: {printable(each)}", err=True)
    return about


def _check(
    snapshot: Snapshot, rate: float, concurrency: int, endpoints: tuple[str, ...], sandboxes: tuple[str, ...]
) -> None:
    if not 0 < rate <= 10_000:
        fail(f"--rate {rate:g} is not a number of requests per second, above 0 and up to 10000")
    if not 1 <= concurrency <= 256:
        fail(f"--concurrency {concurrency} is not a whole number from 1 to 256")
    known = [each.name for each in snapshot.endpoints]
    for name in endpoints:
        if name not in known:
            fail(
                f"--endpoint {name!r} is not listed in routing.yaml; listed are {', '.join(known) or 'none'}"
            )
    addresses = {each.url for each in (*snapshot.legacy.upstreams, *snapshot.async_.upstreams)}
    if sandboxes and set(sandboxes) != addresses:
        fail(
            f"--sandbox says where writes may be executed, on both backends. Name each address as in "
            f"routing.yaml and no other: {', '.join(sorted(addresses))}; given: {', '.join(sandboxes)}"
        )


def _given(headers: tuple[str, ...]) -> dict[str, str]:
    """The headers of -H, by lower-case name; exits 2 if one is not a header."""
    request_head("GET", "/", headers)
    return {name.lower(): value for name, value in map(header, headers)}


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )

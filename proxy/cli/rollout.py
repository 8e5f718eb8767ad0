"""`strangler rollout`: where the rollouts stand, and what people do to them."""

from __future__ import annotations

import json
from typing import Any

import click

from proxy.cli import admin as admin_port
from proxy.cli import rollout_screen as screen
from proxy.cli.errors import BAD_INPUT, NO, fail
from proxy.cli.target import admin_option

TIMEOUT = 30.0  # seconds for an action
ENDPOINT = click.argument("endpoint", metavar="'METHOD /path'")
REASON = click.option("--reason", default="", help="Why; recorded in the audit log.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group()
def rollout() -> None:
    """Show rollouts, and pause, resume, approve, abort or retry them.

    A rollout moves the weight of an endpoint by itself, along the steps of its plan, on evidence from users.

    \b
    strangler rollout list
    strangler rollout show 'GET /accounts/{account_id}'
    strangler rollout approve 'GET /accounts/{account_id}' --reason 'asked the team'
    """


@rollout.command("list")
@admin_option
@JSON
def list_command(admin: str, as_json: bool) -> None:
    """List every endpoint in a rollout with its weight, its state, and what it waits for.

    Exits 1 if any was rolled back.
    """
    answer = admin_port.get(admin, "/api/v1/rollouts")
    if as_json:
        click.echo(json.dumps(answer))
    else:
        screen.print_list(answer)
    _exit_by_state(answer["rollouts"])


@rollout.command()
@ENDPOINT
@admin_option
@JSON
def show(endpoint: str, admin: str, as_json: bool) -> None:
    """Show one rollout: its evidence towards the next step and towards a rollback, and what is missing.

    Exits 1 if it was rolled back, 2 if the endpoint is in no rollout.
    """
    answer = admin_port.get(admin, "/api/v1/rollouts")
    found = [each for each in answer["rollouts"] if each["endpoint"] == endpoint]
    if not found:
        fail(f"{endpoint} is in no rollout; `strangler rollout list` shows those that are", BAD_INPUT)
    if as_json:
        click.echo(json.dumps(found[0]))
    else:
        screen.print_one(found[0], answer)
    _exit_by_state(found)


@rollout.command()
@ENDPOINT
@REASON
@admin_option
def pause(endpoint: str, reason: str, admin: str) -> None:
    """Hold the endpoint, and the others of its group and plan, where they are. They may still come back."""
    _act("pause", endpoint, reason, admin)


@rollout.command()
@ENDPOINT
@REASON
@admin_option
def resume(endpoint: str, reason: str, admin: str) -> None:
    """Let a paused rollout go on."""
    _act("resume", endpoint, reason, admin)


@rollout.command()
@ENDPOINT
@REASON
@admin_option
def approve(endpoint: str, reason: str, admin: str) -> None:
    """Agree to the next step of a rollout that waits for approval, if the evidence still holds then."""
    _act("approve", endpoint, reason, admin)


@rollout.command()
@ENDPOINT
@REASON
@admin_option
def abort(endpoint: str, reason: str, admin: str) -> None:
    """Roll back now, as the plan says: to 0, or to the step before."""
    _act("abort", endpoint, reason, admin)


@rollout.command()
@ENDPOINT
@REASON
@admin_option
def retry(endpoint: str, reason: str, admin: str) -> None:
    """Begin a new attempt, from the first step, of a rollout that was rolled back.

    Repair async first. Comparisons of the same version still count: give the repaired build another version.
    """
    _act("retry", endpoint, reason, admin)


@rollout.command()
@ENDPOINT
@click.option(
    "--plan",
    "name",
    default="",
    help="Name of a plan; needed while the endpoint has a weight. [default: the endpoint's own]",
)
@admin_option
@JSON
def plan(endpoint: str, name: str, admin: str, as_json: bool) -> None:
    """Estimate how long each step of a plan takes at the traffic of the last minute. Nothing is changed.

    The running proxy answers, so save the plan first. The endpoint may keep its weight: then name the plan.
    Each request counts as a user: with few users who come often it takes longer. The time until the answers
    are likely equal, and until a person approves, comes on top. Exits 1 if it never ends.

    \b
    strangler rollout plan 'GET /accounts/{account_id}' --plan careful
    """
    import httpx2  # only who asks pays for it

    query = str(httpx2.QueryParams({"endpoint": endpoint, **({"plan": name} if name else {})}))
    status, answer = admin_port.ask(admin, f"/api/v1/rollouts/plan?{query}")
    if status >= 400:
        fail(admin_port.detail(answer), BAD_INPUT if status in (400, 404) else NO)
    if as_json:
        click.echo(json.dumps(answer))
    else:
        screen.print_plan(answer)
    raise SystemExit(NO if answer["seconds"] is None else 0)


def _act(action: str, endpoint: str, reason: str, admin: str) -> None:
    body = {"endpoint": endpoint, "reason": reason}
    status, answer = admin_port.post(admin, f"/api/v1/rollouts/{action}", TIMEOUT, json=body)
    if status >= 400:
        fail(admin_port.detail(answer), BAD_INPUT if status in (400, 404) else NO)
    for each in answer["rollouts"]:
        click.echo(screen.line(each))
    if answer["problem"]:
        click.echo(f"warning: {answer['problem']}", err=True)


def _exit_by_state(found: list[dict[str, Any]]) -> None:
    raise SystemExit(NO if any(each["state"] == "rolled_back" for each in found) else 0)

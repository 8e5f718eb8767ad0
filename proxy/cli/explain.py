"""`strangler explain`."""

from __future__ import annotations

import json
from typing import Any

import click

from proxy.cli import admin as admin_port
from proxy.cli.check import load_or_exit
from proxy.cli.heads import request_head
from proxy.cli.standing import runs_with, standing_of
from proxy.cli.target import admin_of, config_option
from proxy.core.forwarding.forwarded import canonical
from proxy.core.http1.request import RequestHead
from proxy.core.routing.decide import Context, Decision, decide, sticky_key
from proxy.core.routing.phases import RolloutStanding, left_out
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import ASYNC, Endpoint
from proxy.core.weights import percent_number
from proxy.core.wire.messages import EndpointPosition


@click.command()
@click.argument("method")
@click.argument("target")
@config_option("routing.yaml to evaluate.")
@click.option(
    "-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Add this request header."
)
@click.option("--client-ip", default="", help="Client address, for the sticky key client-ip.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def explain(
    method: str, target: str, file: str, headers: tuple[str, ...], client_ip: str, as_json: bool
) -> None:
    """Show where a request would go, and why. Nothing is sent.

    Without --json, the output also includes whether the answers of both backends agree (if the state database
    of this configuration can be read) and the current error rate of async (if a proxy runs with this file).
    For a request without a sticky key, which is assigned at random, the more likely backend is shown. The
    weight of an endpoint in a rollout is known if a proxy runs with this file.

    \b
    strangler explain GET /accounts/acc_1 --config routing.yaml -H 'x-user-id: 42'
    strangler explain POST '/payments?dry=1' --config routing.yaml --json
    """
    snapshot = load_or_exit(file).snapshot
    standing = standing_of(snapshot, file)
    snapshot = _effective(snapshot, standing) if standing else snapshot
    client_ip = canonical(client_ip) or client_ip
    head = request_head(method, target, headers)
    # Without a key the share that goes to async is decided by chance; here chance says "the larger part".
    decision = decide(snapshot, head, Context(client_ip, lambda: 0.5, False))
    answer = explanation(snapshot, head, decision, client_ip, standing)
    if as_json:
        click.echo(json.dumps(answer))
        return
    answers = _answers(snapshot, decision.endpoint) if decision.endpoint else ""
    click.echo(_prose(answer, answers, _now(decision.endpoint, file)))


def _effective(snapshot: Snapshot, standing: RolloutStanding) -> Snapshot:
    """With the weights of rollouts in it."""
    return snapshot.with_positions(
        EndpointPosition(each.name, standing.weights.get(each.name, 0)) for each in left_out(snapshot)
    )


def explanation(
    snapshot: Snapshot,
    head: RequestHead,
    decision: Decision,
    peer: str,
    standing: RolloutStanding | None = None,
) -> dict[str, Any]:
    """The answer as --json prints it. `weight` is null if it is that of a rollout and not known; `backend` is
    null if the proxy itself answers, or if it depends on such a weight."""
    endpoint = decision.endpoint
    plan = endpoint.plan if endpoint else None
    unknown = plan is not None and standing is None
    has_key = endpoint is not None and decision.reason != "preflight"
    key = sticky_key(snapshot, endpoint, head, peer) if endpoint is not None and has_key else None
    return {
        "method": head.method,
        "target": head.target.decode("latin-1"),
        "endpoint": endpoint.name if endpoint else None,
        "phase": endpoint.phase if endpoint else None,
        "group": endpoint.group if endpoint else None,
        "weight": percent_number(endpoint.weight) if endpoint and not unknown else None,
        "rollout": plan.name if plan else None,
        "key": {"source": str(key.source), "bucket": key.bucket} if key else None,
        "backend": None if unknown and decision.reason in ("weight", "unkeyed") else decision.backend,
        "reason": decision.reason,
        "config_hash": snapshot.hash,
    }


def _answers(snapshot: Snapshot, endpoint: Endpoint) -> str:
    from proxy.cli.parity import comparison  # a database's library: not for --json in a loop

    found = comparison(snapshot, endpoint)
    if found is None:
        return "unknown: the state database does not answer"
    return f"{found['text']}, {found['n']} compared" if found["n"] else "no evidence, nothing compared"


def _now(endpoint: Endpoint | None, file: str) -> str:
    """The state of async as seen by the proxy that runs with this file; empty if there is none."""
    admin = admin_of(file)
    if endpoint is None or not runs_with(admin, file):
        return ""
    figures = admin_port.peek(admin, "/api/v1/endpoints") or {"endpoints": []}
    for row in figures["endpoints"]:
        if row["endpoint"] == endpoint.name:
            rate = row["backends"][ASYNC]["error_rate"]
            failed = "had no requests" if rate is None else f"fails {rate:.2%}"
            return f"async {failed} in the last minute, breaker {row['breaker']}"
    return ""


def _weight_text(answer: dict[str, Any]) -> str:
    plan, weight = answer["rollout"], answer["weight"]
    if plan is None:
        return f"{weight:g}"
    if weight is None:
        return f"that of rollout {plan}, not known here: no proxy that runs with this file tells it"
    return f"{weight:g}, of rollout {plan}"


def _prose(answer: dict[str, Any], answers: str, now: str) -> str:
    rows = [f"{answer['method']} {answer['target']}"]
    unknown = answer["rollout"] is not None and answer["weight"] is None
    nobody = "legacy or async: its rollout decides" if unknown else "none: the proxy itself answers"
    rows.append(f"  backend   {answer['backend'] or nobody}")
    rows.append(f"  reason    {answer['reason']}")
    if answer["endpoint"] is not None:
        rows.append(f"  endpoint  {answer['endpoint']}")
        rows.append(f"  weight    {_weight_text(answer)}")
        rows.append(f"  answers   {answers}")
        rows += [f"  now       {now}"] if now else []
        rows.append(f"  phase     {answer['phase'] or 'none'}")
        rows.append(f"  group     {answer['group'] or 'none'}")
        key = answer["key"]
        rows.append(
            f"  key       {key['source']} in bucket {key['bucket']} of 10000" if key else "  key       none"
        )
    rows.append(f"  config    {answer['config_hash']}")
    return "\n".join(rows)

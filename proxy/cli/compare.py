"""`strangler compare`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final, NoReturn

import click
from rich.console import Console
from rich.text import Text

from proxy.cli.check import load_or_exit, state_of
from proxy.cli.errors import fail
from proxy.cli.heads import request_head
from proxy.cli.printable import printable
from proxy.cli.suggested import from_replay, from_state, generalised, yaml_of
from proxy.cli.target import config_option
from proxy.compare.client import Asked, Unanswered
from proxy.compare.one_off import Result, compare_once, refusal
from proxy.core.comparison.differences import Difference, unified
from proxy.core.documents.exactjson import Json, text_of
from proxy.core.routing.snapshot import Snapshot

DIFFERENT = 1
MAX_VALUE: Final = 200  # characters of one value that a person is shown
MAX_JSON_VALUE: Final = 10_000  # and a program
MAX_SHOWN: Final = 50  # differences
MAX_LINES: Final = 200  # of a unified diff
_SIDES: Final = {"-": "red", "+": "green", "@": "dim"}


@click.command("compare")
@click.argument("method", required=False)
@click.argument("target", required=False)
@config_option("routing.yaml with both backends.")
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Send this header.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--suggest", is_flag=True, help="Propose rules for the differences found by sampling.")
@click.option(
    "--replay", type=click.Path(path_type=Path), help="With --suggest: use the output of `replay --json`."
)
def compare_command(
    method: str | None,
    target: str | None,
    file: str,
    headers: tuple[str, ...],
    as_json: bool,
    suggest: bool,
    replay: Path | None,
) -> None:
    """Send the same request to both backends, and show how their answers differ.

    The request goes directly to both backends, regardless of weights, with the headers of a proxied request.
    Only safe methods are allowed.

    With --suggest no request is sent. Instead, rules are proposed for the differences that sampling (or a
    replay) has found, each with the number of differences that it would hide. Review each rule before you
    add it to routing.yaml.

    Exits 0 if the answers are equal, 1 if they differ, are not comparable or a backend did not answer, 2 on
    bad input.

    \b
    strangler compare GET /accounts/acc_1 --config routing.yaml -H 'Authorization: Bearer ...'
    strangler compare GET '/payments?limit=5' --config routing.yaml --json
    strangler compare --suggest --config routing.yaml
    strangler compare --suggest --config routing.yaml --replay result.json
    """
    snapshot = load_or_exit(file).snapshot
    if suggest or replay is not None:
        if method is not None or headers or not suggest:
            fail("--suggest takes no METHOD, TARGET or -H, because it sends no request")
        made = from_state(snapshot, state_of(file)) if replay is None else from_replay(replay)
        told = {"general": generalised(made)[0], "suggestions": made}
        click.echo(json.dumps(told) if as_json else yaml_of(made))
        return
    if method is None or target is None:
        fail("METHOD and TARGET are missing; give both, or use --suggest")
    _compare(snapshot, method, target, headers, as_json)


def _compare(
    snapshot: Snapshot, method: str, target: str, headers: tuple[str, ...], as_json: bool
) -> NoReturn:
    head = request_head(method, target, headers)
    reason = refusal(snapshot, head)
    if reason is not None:
        fail(f"{method} {printable(target)}: {reason}")
    try:
        result = asyncio.run(compare_once(snapshot, head))
    except Unanswered as error:
        fail(printable(str(error), keep="\n"), DIFFERENT)
    if as_json:
        answer = {"method": method, "target": target, "config_hash": snapshot.hash, **as_data(result)}
        click.echo(json.dumps(answer))
    else:
        Console(highlight=False).print(prose(f"{method} {target}", result), soft_wrap=True)
    raise SystemExit(DIFFERENT if result.judged.differences or result.judged.unreadable else 0)


def as_data(result: Result) -> dict[str, Any]:
    """What --json prints. Values are JSON text, so 1 and 1.0 remain distinct; null if a side has none."""
    judged = result.judged
    return {
        "endpoint": result.endpoint.name if result.endpoint else None,
        "equal": not judged.differences and not judged.unreadable,
        "not_comparable": judged.unreadable or None,
        "legacy": _side(result.legacy),
        "async": _side(result.async_),
        "differences": [
            {
                "path": each.path,
                "kind": each.kind,
                "legacy": _value(each.legacy, each.kind == "only async", MAX_JSON_VALUE),
                "async": _value(each.async_, each.kind == "only legacy", MAX_JSON_VALUE),
            }
            for each in judged.differences
        ],
        "left_out": judged.left_out,
        "hidden": [{"rule": str(rule), "count": count} for rule, count in judged.hidden],
        "expired": [str(rule) for rule in judged.expired],
    }


def prose(request: str, result: Result) -> Text:
    """For people: both status lines, what differs, what the rules hid."""
    judged = result.judged
    text = Text(f"{printable(request)}\n")
    for name, asked in (("legacy", result.legacy), ("async ", result.async_)):
        line = f"  {name}  {asked.answer.status} {asked.reason}".rstrip()
        text.append(f"{printable(line)}  {asked.seconds * 1000:.1f} ms  {asked.answer.body.size} bytes\n")
    for each in judged.differences[:MAX_SHOWN]:
        text.append_text(_shown(each))
    more = len(judged.differences[MAX_SHOWN:]) + judged.left_out
    if more:
        text.append(f"  and {more} more\n")
    for rule, count in judged.hidden:
        if count:
            text.append(f"  {count} hidden by the rule: {printable(str(rule))}\n", "dim")
    for rule in judged.expired:
        text.append(f"  expired, hides nothing: {printable(str(rule))}\n", "yellow")
    total = len(judged.differences) + judged.left_out
    if judged.unreadable:
        text.append(f"  not comparable: {printable(judged.unreadable)}\n", "red")
    equal = "the rest is equal" if judged.unreadable else "equal"
    return text.append(f"{total} difference{'s' if total != 1 else ''}" if total else equal, "bold")


def _shown(each: Difference) -> Text:
    text = Text("  ").append(printable(each.path), "bold").append(f"  {each.kind}\n")
    if each.kind == "text":
        for number, line in enumerate(unified(str(each.legacy), str(each.async_))):
            if number == MAX_LINES:
                return text.append("    ...\n")
            text.append(f"    {printable(line[:MAX_VALUE])}\n", _SIDES.get(line[:1], ""))
        return text
    if each.kind != "only async":
        text.append(f"    legacy  {_value(each.legacy, False, MAX_VALUE)}\n", "red")
    if each.kind != "only legacy":
        text.append(f"    async   {_value(each.async_, False, MAX_VALUE)}\n", "green")
    return text


def _value(value: Json, absent: bool, limit: int) -> str | None:
    if absent:
        return None
    text = text_of(value)
    return printable(text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)")


def _side(asked: Asked) -> dict[str, Any]:
    return {
        "status": asked.answer.status,
        "ms": round(asked.seconds * 1000, 3),
        "bytes": asked.answer.body.size,
        "upstream": asked.upstream,
    }

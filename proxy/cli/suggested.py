"""`strangler compare --suggest`: proposes rules for the differences found, as YAML for routing.yaml."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from proxy.cli.errors import fail
from proxy.cli.printable import printable
from proxy.compare.judging import today
from proxy.config.edit_rules import rule_text
from proxy.core.comparison.comparisons import Report, Sample, latest, report, settings_hash
from proxy.core.comparison.faults import Fault
from proxy.core.comparison.parity import PathEvidence
from proxy.core.comparison.suggest import Suggestions, suggest
from proxy.core.documents.exactjson import text_of
from proxy.core.documents.fieldpaths import member_path, parse_pattern
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import Endpoint
from proxy.store import comparisons

MAX_VALUE: Final = 100  # characters of a value that is shown
_NOTES: Final = {
    "fault": "differs beyond noise",
    "noise": "noise: legacy differs from itself as well",
    "untested": "cannot be told from noise yet",
}


def from_state(snapshot: Snapshot, state: str) -> list[dict[str, Any]]:
    """For every endpoint with evidence under the rules in force; exits 2 if `state` cannot be read."""
    try:
        return asyncio.run(_from_state(snapshot, state))
    except (SQLAlchemyError, OSError) as error:
        fail(f"the state at {state.split('@')[-1]} cannot be read: {error}")


async def _from_state(snapshot: Snapshot, state: str) -> list[dict[str, Any]]:
    day = today()
    made = []
    async with comparisons.opened(state) as engine, engine.connect() as connection:
        await connection.execution_options(readonly=True)
        tallies = (await comparisons.found(connection)).tallies
        for endpoint in snapshot.endpoints:
            tally = latest(tallies, endpoint.name, settings_hash(endpoint.compare, day))
            if tally is not None:
                samples = await comparisons.samples(connection, tally.scope.id)
                made.append(for_endpoint(endpoint, report(tally), samples, day))
    return made


def for_endpoint(endpoint: Endpoint, found: Report, samples: Sequence[Sample], day: date) -> dict[str, Any]:
    """One endpoint's proposals, as in the JSON; `found` tells which paths are faults."""
    settings = endpoint.compare
    return as_data(endpoint.name, suggest(samples, settings.headers, settings.rules, day), found)


def as_data(endpoint: str, made: Suggestions, found: Report) -> dict[str, Any]:
    seen = found.parity.paths
    return {
        "endpoint": endpoint,
        "samples": made.samples,
        "differences": made.before,
        "left": made.after,
        "rules": [
            {
                "rule": each.entry,
                "hides": each.hides,
                "samples": each.samples,
                "verdict": _verdict([each.rule.path], seen),
            }
            for each in made.rules
        ],
        "faults": [_fault(each, _verdict(each.paths, seen)) for each in made.faults],
    }


def _fault(fault: Fault, verdict: str | None) -> dict[str, Any]:
    shown = fault.example
    return {
        "cause": fault.cause,
        "paths": list(fault.paths),
        "differences": fault.differences,
        "samples": fault.samples,
        "verdict": verdict,
        "example": {
            "path": shown.path,
            "legacy": None if shown.kind == "only async" else _cut(text_of(shown.legacy)),
            "async": None if shown.kind == "only legacy" else _cut(text_of(shown.async_)),
        },
    }


def _cut(text: str) -> str:
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}..."


def _verdict(patterns: Sequence[str], seen: Iterable[PathEvidence]) -> str | None:
    """Of what differs at these places and below: the gravest."""
    there = {each.verdict for each in seen if any(_covers(pattern, each.path) for pattern in patterns)}
    return next((grave for grave in ("fault", "untested", "noise") if grave in there), None)


def _covers(pattern: str, path: str) -> bool:
    anywhere = pattern.removeprefix("**")
    if anywhere != pattern:
        return f".{path}".endswith(anywhere) or f"{anywhere}[" in path or f"{anywhere}." in path
    return path == pattern or path.startswith((f"{pattern}[", f"{pattern}."))


def from_replay(file: Path) -> list[dict[str, Any]]:
    """What `strangler replay --json` printed; exits 2 for anything else."""
    try:
        endpoints = json.loads(file.read_bytes())["endpoints"]
        return [each["suggestions"] for each in endpoints if each["suggestions"] is not None]
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    except json.JSONDecodeError as error:
        fail(f"{file}:{error.lineno}: not JSON: {error.msg}")
    except (KeyError, TypeError, UnicodeDecodeError, RecursionError):
        fail(f"{file}: is not the output of `strangler replay --json`")


def generalised(made: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rules for all endpoints, where the same form was seen at the same name in two or more, and the rest.

    Not where a fault was seen at that name, and never `ignore`, which another endpoint's field could fall to.
    """
    faulty = {_last(path) for each in made for fault in each.get("faults", ()) for path in fault["paths"]}
    alike: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for each in made:
        for rule in each["rules"]:
            name = _last(_path(rule["rule"]))
            if name and name not in faulty and not {"ignore", "unordered"} & rule["rule"].keys():
                kind = next(iter(rule["rule"]))
                alike.setdefault(f"{kind} {name}", []).append((each["endpoint"], rule))
    shared = [found for found in alike.values() if len({endpoint for endpoint, _ in found}) > 1]
    gone = [id(rule) for found in shared for _, rule in found]
    rest = [{**each, "rules": [rule for rule in each["rules"] if id(rule) not in gone]} for each in made]
    return [_shared(found) for found in shared], rest


def _shared(found: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    widest = max((rule["rule"] for _, rule in found), key=lambda each: str(each.get("within", "")))
    verdicts = [rule["verdict"] for _, rule in found]
    return {
        "rule": {**widest, next(iter(widest)): member_path("**", _last(_path(widest)) or "")},
        "hides": sum(rule["hides"] for _, rule in found),
        "samples": sum(rule["samples"] for _, rule in found),
        "verdict": next((grave for grave in ("fault", "untested", "noise") if grave in verdicts), None),
        "endpoints": sorted({endpoint for endpoint, _ in found}),
    }


def _path(rule: Mapping[str, Any]) -> str:
    """The place that it is for, as the value of its kind."""
    return str(next(iter(rule.values())))


def _last(path: str) -> str | None:
    """The name of the member at the end of a path."""
    try:
        steps = parse_pattern(path).steps
    except ValueError:
        return None
    return steps[-1] if steps and isinstance(steps[-1], str) else None


def yaml_of(made: Sequence[Mapping[str, Any]]) -> str:
    """Ready for routing.yaml; what each rule would hide, and what none should, are comments."""
    general, rest = generalised(made)
    lines = [line for each in rest for line in _to_look_at(each)]
    offered = [each for each in rest if each["rules"]]
    if general:
        lines += ["compare:", "  rules:", *(f"    - {_rule_line(each)}" for each in general)]
    if offered:
        lines.append("endpoints:")
    for each in offered:
        lines.append(
            f"  {json.dumps(each['endpoint'])}:  # {_counted(each)}, {each['left']} left with these rules"
        )
        lines += ["    compare:", "      rules:"]
        lines += [f"        - {_rule_line(rule)}" for rule in each["rules"]]
    return "\n".join(lines or ["# nothing differs in the samples that are kept"])


def _rule_line(rule: Mapping[str, Any]) -> str:
    note = _NOTES.get(rule["verdict"], "")
    hides = f"hides {rule['hides']} in {rule['samples']} samples"
    return f"{rule_text(rule['rule'])}  # {'; '.join(filter(None, (hides, note)))}"


def _to_look_at(each: Mapping[str, Any]) -> list[str]:
    """What no rule is proposed for: faults, and noise that needs none."""
    listed = each.get("faults", [])
    told = {True: "noise, which is set aside without a rule", False: "faults to look at"}
    lines = []
    for noise, heading in sorted(told.items()):
        found = [fault for fault in listed if (fault["verdict"] == "noise") == noise]
        if found:
            lines += [f"# {each['endpoint']}: {heading}", *map(_fault_line, found)]
    return lines


def _fault_line(fault: Mapping[str, Any]) -> str:
    shown = fault["example"]
    ours, theirs = ("has none" if shown[side] is None else shown[side] for side in ("legacy", "async"))
    counted = f"{fault['differences']} in {fault['samples']} samples"
    where = ", ".join(fault["paths"][:5]) + (", ..." if len(fault["paths"]) > 5 else "")
    return printable(
        f"#   {fault['cause']} ({counted}) at {where}; {shown['path']}: legacy {ours}, async {theirs}"
    )


def _counted(each: Mapping[str, Any]) -> str:
    return f"{each['differences']} differences in {each['samples']} samples"

"""`strangler compare --suggest`: rules for what was seen to differ, as YAML for routing.yaml."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from proxy.cli.errors import fail
from proxy.compare.judging import today
from proxy.config.edit_rules import rule_text
from proxy.core.comparison.comparisons import Report, Sample, latest, report, settings_hash
from proxy.core.comparison.parity import PathEvidence
from proxy.core.comparison.suggest import Suggestions, suggest
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import Endpoint
from proxy.store import comparisons

_NOTES: Final = {
    "fault": "differs beyond noise: is it a fault?",
    "noise": "noise: legacy differs from itself as well",
    "untested": "not told from noise yet",
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
    """One endpoint's proposals as JSON has them; `found` says which places are faults."""
    settings = endpoint.compare
    return as_data(endpoint.name, suggest(samples, settings.headers, settings.rules, day), found)


def as_data(endpoint: str, made: Suggestions, found: Report) -> dict[str, Any]:
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
                "verdict": _verdict(each.rule.path, found.parity.paths),
            }
            for each in made.rules
        ],
    }


def _verdict(path: str, paths: Iterable[PathEvidence]) -> str | None:
    """Of what a rule at this path hides: the gravest."""
    below = (f"{path}[", f"{path}.")
    there = [each.verdict for each in paths if each.path == path or each.path.startswith(below)]
    return next((grave for grave in ("fault", "untested", "noise") if grave in there), None)


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
        fail(f"{file}: not what `strangler replay --json` prints")


def yaml_of(made: Sequence[Mapping[str, Any]]) -> str:
    """Ready for routing.yaml; what each rule would hide is a comment beside it."""
    lines = [
        f"# {each['endpoint']}: {_counted(each)}, none that a rule should hide"
        for each in made
        if each["differences"] and not each["rules"]
    ]
    offered = [each for each in made if each["rules"]]
    if not offered:
        return "\n".join(lines or ["# nothing differs in the samples that are kept"])
    lines.append("endpoints:")
    for each in offered:
        lines.append(f"  {json.dumps(each['endpoint'])}:  # {_counted(each)}, {each['left']} left with these")
        lines += ["    compare:", "      rules:"]
        for rule in each["rules"]:
            note = _NOTES.get(rule["verdict"], "")
            hides = f"hides {rule['hides']} in {rule['samples']} samples"
            lines.append(f"        - {rule_text(rule['rule'])}  # {'; '.join(filter(None, (hides, note)))}")
    return "\n".join(lines)


def _counted(each: Mapping[str, Any]) -> str:
    return f"{each['differences']} differences in {each['samples']} samples"

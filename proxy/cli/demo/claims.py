"""What the demo claims, with the figures that prove each claim. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

from proxy.cli.demo.routing import DRY_RUN, QUOTES, READS, WRITE
from proxy.cli.demo.tally import StepTally
from proxy.core.settings import ASYNC, LEGACY

FAULTY_VERSION = "2.0"
SOUND_VERSION = "2.1"
"""Of async with its planted faults, and without."""

SIGMAS = 4.0
"""How many standard deviations the users' split may be off: by chance once in 16,000."""


@dataclass(frozen=True, slots=True)
class Claim:
    text: str
    held: bool
    evidence: str


def split(tally: StepTally, weight: int, before: set[tuple[str, str]]) -> Claim:
    """Reads are split by user at `weight` percent; who was on async (`before`) still is."""
    users = len(tally.sides)
    on_async = tally.on(ASYNC)
    share = 100 * len(on_async) / max(1, users)
    chance = SIGMAS * 100 * sqrt(weight / 100 * (1 - weight / 100) / max(1, users))
    back = len(before & tally.on(LEGACY))
    torn = tally.torn()
    evidence = (
        f"{tally.count(read=True)} reads, {tally.share():.1f} % by async; {len(on_async)} of {users} users "
        f"({share:.1f} %, chance allows {weight} +- {chance:.1f}); {torn} saw both, {back} went back"
    )
    held = users > 0 and abs(share - weight) <= chance and torn == 0 and back == 0
    return Claim(f"reads at {weight} %: each user stays on one side", held, evidence)


def no_failed_reads(tally: StepTally, when: str) -> Claim:
    """Every read of this step brought its answer."""
    failed, reads = tally.failed(read=True), tally.count(read=True)
    examples = f": {'; '.join(tally.failed_reads)}" if failed else ""
    return Claim(
        f"no client-visible error on reads {when}",
        failed == 0 < reads,
        f"{failed} of {reads} reads{examples}",
    )


def writes_moved(tally: StepTally) -> Claim:
    sent, served = tally.count(read=False), tally.count(read=False, backend=ASYNC)
    failed = tally.failed(read=False)
    held = 0 < served == sent and failed == 0
    return Claim(
        "writes move once the reads are at 100",
        held,
        f"{served} of {sent} by async, {failed} failed",
    )


def fell_back(tally: StepTally) -> Claim:
    """With async dead, reads were answered by legacy and writes were refused or not, but sent once."""
    reads = tally.count(read=True)
    by_legacy = tally.count(read=True, backend=LEGACY)
    failed = tally.failed(read=True)
    evidence = (
        f"{by_legacy} of {reads} reads by legacy, {failed} failed; of {tally.count(read=False)} writes "
        f"{tally.failed(read=False)} were answered with an error instead of being sent twice"
    )
    return Claim("async killed: reads fall back to legacy", 0 < by_legacy == reads and not failed, evidence)


def paid_once(total: StepTally, found: int, distinct: int) -> Claim:
    """Each answered payment is in the database once; only an errored one may be there or not."""
    sent, failed = total.of_endpoint(WRITE)
    answered = sent - failed
    evidence = (
        f"{answered} answered 201, {failed} with an error; in the database {found}, {distinct} different"
    )
    held = found == distinct and answered <= found <= answered + failed and answered > 0
    return Claim("every payment was made at most once, and every confirmed one exactly once", held, evidence)


Verdicts = Mapping[str, Mapping[str, Any]]
"""`GET /api/v1/comparisons`, by endpoint."""


def fault_found(verdicts: Verdicts, weight: float, example: str) -> Claim:
    """QA sees the fault in the answers, and nothing else, before any user could meet it."""
    quotes = verdicts[QUOTES]
    wrong = differing(verdicts)
    evidence = (
        f"{QUOTES} at {weight:g} %: {quotes['text']}, {quotes['k']} of {quotes['n']} comparisons; {example}"
    )
    if wrong != [QUOTES]:
        evidence += f"; said to differ: {', '.join(wrong) or 'nothing'}"
    return Claim(
        "QA finds async's wrong answers before any user gets one", wrong == [QUOTES] and weight == 0, evidence
    )


def fault_gone(verdicts: Verdicts) -> Claim:
    """With the repaired version every verdict starts again, with its confidence."""
    quotes = verdicts[QUOTES]
    version = _version(quotes)
    evidence = f"{QUOTES} of async {version}: {quotes['text']} after {quotes['n']} comparisons"
    held = quotes["verdict"] == "likely equal" and version == SOUND_VERSION
    return Claim("after the repair, the verdict is likely equal", held, evidence)


def rehearsed(verdicts: Verdicts) -> Claim:
    """Legacy's real payments were asked of async as dry runs, before any is moved."""
    found = verdicts.get(DRY_RUN)
    held = found is not None and found["verdict"] == "likely equal"
    evidence = f"{DRY_RUN}: {found['text']} after {found['n']}" if found else "nothing was compared"
    return Claim("async would have answered payments as legacy did", held, evidence)


def all_equal(verdicts: Verdicts, version: str) -> Claim:
    """Every read was compared with this async; timestamps, and what other clients changed meanwhile, are
    noise."""
    reads = {name: each for name, each in verdicts.items() if name in READS}
    held = len(reads) == len(READS) and all(
        each["verdict"] == "likely equal" and _version(each) == version for each in reads.values()
    )
    return Claim(
        "every read endpoint is likely equal in the end",
        held,
        "; ".join(f"{name}: {each['text']}" for name, each in reads.items()),
    )


def _version(verdict: Mapping[str, Any]) -> str:
    """Of the async that was compared."""
    evidence = verdict["evidence"]
    return str(evidence["versions"]["async"]) if evidence else "?"


def differing(verdicts: Verdicts) -> list[str]:
    return [name for name, each in verdicts.items() if each["verdict"] == "differs"]

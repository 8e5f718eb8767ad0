"""What the demo says is true, each with the figures that show it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from proxy.cli.demo.tally import Tally
from proxy.core.snapshot import ASYNC, LEGACY

SIGMAS = 4.0
"""How many standard deviations the users' split may be off: by chance once in 16,000."""


@dataclass(frozen=True, slots=True)
class Claim:
    text: str
    held: bool
    evidence: str


def split(tally: Tally, weight: int, before: set[tuple[str, str]]) -> Claim:
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


def no_failed_reads(tally: Tally, when: str) -> Claim:
    """Every read of this step brought its answer."""
    failed, reads = tally.failed(read=True), tally.count(read=True)
    examples = f": {'; '.join(tally.failed_reads)}" if failed else ""
    return Claim(
        f"no client-visible error on reads {when}",
        failed == 0 < reads,
        f"{failed} of {reads} reads{examples}",
    )


def writes_moved(tally: Tally) -> Claim:
    sent, served = tally.count(read=False), tally.count(read=False, backend=ASYNC)
    failed = tally.failed(read=False)
    held = 0 < served == sent and failed == 0
    return Claim(
        "POST /payments moves once the reads are at 100",
        held,
        f"{served} of {sent} by async, {failed} failed",
    )


def fell_back(tally: Tally) -> Claim:
    """With async dead, reads were answered by legacy and writes were refused or not, but sent once."""
    reads = tally.count(read=True)
    by_legacy = tally.count(read=True, backend=LEGACY)
    failed = tally.failed(read=True)
    evidence = (
        f"{by_legacy} of {reads} reads by legacy, {failed} failed; of {tally.count(read=False)} writes "
        f"{tally.failed(read=False)} were answered with an error instead of being sent twice"
    )
    return Claim("async killed: reads fall back to legacy", 0 < by_legacy == reads and not failed, evidence)


def paid_once(total: Tally, found: int, distinct: int) -> Claim:
    """Each answered payment is in the database once; only an errored one may be there or not."""
    failed = total.failed(read=False)
    answered = total.count(read=False) - failed
    evidence = (
        f"{answered} answered 201, {failed} with an error; in the database {found}, {distinct} different"
    )
    held = found == distinct and answered <= found <= answered + failed and answered > 0
    return Claim("every payment was made at most once, every confirmed one exactly once", held, evidence)

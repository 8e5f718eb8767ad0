"""Whether the addresses of the backends answer, from what each worker has seen of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from proxy.core.wire.messages import AddressSeen

FAILURES: Final = 3
"""Failures in a row, without one whole answer between them, that make an address a failing one."""
FORGOTTEN: Final = 120.0
"""Seconds after which they say nothing any more: nobody asks it."""

SILENCE = 5.0
"""Seconds without anything from a backend after which a wait is a long one. Not Final: tests shorten it."""
UNANSWERED: Final = 3
"""Requests that wait long, or did until their clients left, with nothing for others meanwhile, that make an
address a silent one: one may be a report that takes its time."""


def is_failing(seen: AddressSeen) -> bool:
    """Judged by the reports of one worker, or by the merged reports of all."""
    return seen.left_out or not seen.healthy or (seen.failures >= FAILURES and 0 <= seen.failed <= FORGOTTEN)


def merge(lines: Iterable[AddressSeen]) -> list[AddressSeen]:
    """One entry per address: the worst that is not older than a complete answer to any worker."""
    by_address: dict[tuple[str, str], list[AddressSeen]] = {}
    for line in lines:
        by_address.setdefault((line.backend, line.url), []).append(line)
    return [_of_one(lines) for lines in by_address.values()]


def down(lines: Iterable[AddressSeen]) -> dict[str, list[AddressSeen]]:
    """The backends of which every address is failing, with those; `lines` are merged."""
    return {name: seen for name, seen in by_backend(lines).items() if all(map(is_failing, seen))}


def silent(lines: Iterable[AddressSeen]) -> dict[str, list[AddressSeen]]:
    """The backends that hang, as it seems: requests wait at every address, and nothing comes from any."""
    return {name: seen for name, seen in by_backend(lines).items() if all(map(_is_silent, seen))}


def unanswering(lines: Iterable[AddressSeen]) -> list[str]:
    """The backends that do not answer, for either reason."""
    lines = list(lines)
    return [*(found := down(lines)), *(name for name in silent(lines) if name not in found)]


def _is_silent(seen: AddressSeen) -> bool:
    return seen.waiting >= UNANSWERED and not 0 <= seen.heard <= SILENCE


def by_backend(lines: Iterable[AddressSeen]) -> Mapping[str, list[AddressSeen]]:
    """In the order of the configuration."""
    found: dict[str, list[AddressSeen]] = {}
    for line in lines:
        found.setdefault(line.backend, []).append(line)
    return found


def _of_one(lines: list[AddressSeen]) -> AddressSeen:
    answered = min((line.answered for line in lines if line.answered >= 0), default=-1.0)
    failed = min((line.failed for line in lines if line.failed >= 0), default=-1.0)
    news = [line for line in lines if answered < 0 or 0 <= line.failed <= answered]
    return AddressSeen(
        lines[0].backend,
        lines[0].url,
        max((line.failures for line in news), default=0),
        all(line.healthy for line in news),
        failed,
        answered,
        sum(line.waiting for line in lines),
        min((line.heard for line in lines if line.heard >= 0), default=-1.0),
        any(line.left_out for line in lines),
        sorted({host for line in lines for host in line.hosts_out}),
    )

"""What a worker counts. Totals since its start; the control process makes rates of them."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Final

from proxy.core.ledger import shape
from proxy.core.messages import Labelled, Latency, Requests
from proxy.core.stats import BOUNDS

MAX_UNLISTED: Final = 500
OTHER: Final = "other"


class Counters:
    """Plain dictionaries keyed by labels: an update is one hash of strings that hash once."""

    __slots__ = (
        "_reported",
        "_reported_totals",
        "dropped",
        "errors",
        "keyed",
        "latencies",
        "requests",
        "retries",
        "totals",
        "unknown",
        "unlisted",
    )

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, str, int]] = Counter()
        self.latencies: dict[tuple[str, str], list[int]] = {}
        self.totals: dict[tuple[str, str], float] = {}  # seconds
        self.errors: Counter[tuple[str, str]] = Counter()
        self.retries: Counter[tuple[str, str]] = Counter()
        self.unknown: Counter[tuple[str, str]] = Counter()
        self.dropped: Counter[tuple[str, str]] = Counter()
        self.keyed: Counter[tuple[str, str]] = Counter()
        self.unlisted: Counter[tuple[str, str]] = Counter()  # bounded: see count_unlisted
        self._reported: dict[tuple[str, str, str, int], int] = {}
        self._reported_totals: dict[tuple[str, str], float] = {}

    def observe(self, endpoint: str, backend: str, reason: str, status: int, seconds: float) -> None:
        """One finished request; `seconds` from its complete head to its last response byte."""
        key = (endpoint, backend, reason, status)
        requests = self.requests
        requests[key] = requests.get(key, 0) + 1
        pair = (endpoint, backend)
        counts = self.latencies.get(pair)
        if counts is None:
            counts = self.latencies[pair] = [0] * (len(BOUNDS) + 1)
        counts[bisect_left(BOUNDS, seconds)] += 1
        self.totals[pair] = self.totals.get(pair, 0.0) + seconds

    def count_unlisted(self, method: str, target: bytes, backend: str) -> None:
        """A request that no endpoint matched, by the endpoint that it could be."""
        key = (shape(method, target) or OTHER, backend)
        if key not in self.unlisted and len(self.unlisted) >= MAX_UNLISTED:
            key = (OTHER, backend)
        self.unlisted[key] += 1

    def request_rows(self, *, changed: bool) -> list[Requests]:
        """All, or those that `changed` since they were asked for before."""
        before = self._reported if changed else {}
        self._reported = dict(self.requests)
        return [Requests(*key, count) for key, count in self.requests.items() if before.get(key) != count]

    def latency_rows(self, *, changed: bool) -> list[Latency]:
        before = self._reported_totals if changed else {}
        self._reported_totals = dict(self.totals)
        return [
            Latency(*pair, list(counts), self.totals[pair])
            for pair, counts in self.latencies.items()
            if before.get(pair) != self.totals[pair]
        ]


def rows(counter: Counter[tuple[str, str]]) -> list[Labelled]:
    return [Labelled(*pair, count) for pair, count in counter.items()]

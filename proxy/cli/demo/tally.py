"""What the demo's clients saw: counts and latencies, of bounded size however long the demo runs."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass, field

from proxy.core.evidence.stats import BOUNDS, add, quantile
from proxy.core.settings import ASYNC

MAX_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Seen:
    """One finished request. `backend` is x-served-by, "" without one; status 0: no answer at all."""

    endpoint: str
    backend: str
    status: int
    seconds: float
    user: str
    problem: str = ""

    @property
    def is_read(self) -> bool:
        return self.endpoint.startswith("GET ")

    @property
    def failed(self) -> bool:
        return not 200 <= self.status < 300

    @property
    def group(self) -> str:
        """The endpoint's group as the proxy makes it: the first literal segment."""
        return self.endpoint.split("/")[1]


@dataclass(slots=True)
class StepTally:
    """Requests that started in one step of the story."""

    requests: Counter[tuple[str, str]] = field(default_factory=Counter)  # endpoint, backend
    failures: Counter[tuple[str, int]] = field(default_factory=Counter)  # endpoint, status
    latencies: dict[str, list[int]] = field(default_factory=dict)  # backend -> histogram over BOUNDS
    sides: dict[tuple[str, str], set[str]] = field(default_factory=dict)  # group, user -> backends of reads
    failed_reads: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_EXAMPLES))
    failed_writes: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_EXAMPLES))
    failed_users: dict[tuple[str, str], set[str]] = field(default_factory=dict)  # of reads: group, backend
    failed_by: Counter[str] = field(default_factory=Counter)  # reads, by backend
    began: float = field(default_factory=time.time)  # Unix seconds

    def record(self, seen: Seen) -> None:
        self.requests[seen.endpoint, seen.backend] += 1
        if seen.failed:
            self.failures[seen.endpoint, seen.status] += 1
            example = f"{seen.endpoint}: {seen.status or 'no answer'} {seen.problem}".strip()
            (self.failed_reads if seen.is_read else self.failed_writes).append(example)
        if seen.backend:
            counts = self.latencies.setdefault(seen.backend, [0] * (len(BOUNDS) + 1))
            counts[bisect_left(BOUNDS, seen.seconds)] += 1
        if seen.is_read and seen.failed:
            self.failed_by[seen.backend] += 1
            self.failed_users.setdefault((seen.group, seen.backend), set()).add(seen.user)
        if seen.is_read and seen.backend:
            self.sides.setdefault((seen.group, seen.user), set()).add(seen.backend)

    @classmethod
    def of(cls, *parts: StepTally) -> StepTally:
        """The sum of several; who saw which side is a matter of one step and is left out."""
        whole = cls()
        for part in parts:
            whole.requests.update(part.requests)
            whole.failures.update(part.failures)
            whole.failed_reads.extend(part.failed_reads)
            whole.failed_writes.extend(part.failed_writes)
            for backend, counts in part.latencies.items():
                whole.latencies[backend] = add(whole.latencies.get(backend, [0] * len(counts)), counts)
        return whole

    def add_reads(self, part: StepTally, groups: Collection[str]) -> None:
        """Also what `part` saw of reads of these groups, at the same step."""
        for (endpoint, backend), number in part.requests.items():
            if endpoint.startswith("GET ") and endpoint.split("/")[1] in groups:
                self.requests[endpoint, backend] += number
        for where, users in part.failed_users.items():
            if where[0] in groups:
                self.failed_users.setdefault(where, set()).update(users)
        for who, served in part.sides.items():
            if who[0] in groups:
                self.sides.setdefault(who, set()).update(served)

    def count(self, *, read: bool, backend: str | None = None) -> int:
        return sum(
            count
            for (endpoint, served), count in self.requests.items()
            if endpoint.startswith("GET ") == read and backend in (None, served)
        )

    def failed(self, *, read: bool) -> int:
        return sum(
            count for (endpoint, _), count in self.failures.items() if endpoint.startswith("GET ") == read
        )

    def of_endpoint(self, name: str) -> tuple[int, int]:
        """Its requests, and how many of them failed."""
        sent = sum(count for (endpoint, _), count in self.requests.items() if endpoint == name)
        return sent, sum(count for (endpoint, _), count in self.failures.items() if endpoint == name)

    def share(self) -> float:
        """Percent of reads that async answered."""
        return 100 * self.count(read=True, backend=ASYNC) / max(1, self.count(read=True))

    def on(self, backend: str) -> set[tuple[str, str]]:
        return {who for who, served in self.sides.items() if backend in served}

    def users(self, backend: str) -> set[str]:
        """Those of whose reads this backend answered any."""
        return {user for _, user in self.on(backend)}

    def failing(self, backend: str) -> set[str]:
        """Those of whose reads this backend failed any; "" where no backend is to blame."""
        found = (users for (_, of), users in self.failed_users.items() if of == backend)
        return set().union(*found)

    def torn(self) -> int:
        """Users whose reads of one group were answered by both backends."""
        return sum(len(served) > 1 for served in self.sides.values())

    def milliseconds(self, backend: str, q: float) -> float | None:
        value = quantile(self.latencies.get(backend, []), q)
        return None if value is None else value * 1000

"""Two ways to find faults: this project's, and Diffy's as it is described."""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine, Sequence
from datetime import date
from typing import Any, Final, TypeVar

from bench.faultfinder.faults import PACE, Fault, planted
from bench.faultfinder.world import ENDPOINTS, Request, World, encoded
from proxy.compare.aggregate import Aggregate
from proxy.compare.client import Asked
from proxy.compare.judging import AGAIN, Answers, Judging, judged
from proxy.config import load_text
from proxy.core.comparison.comparisons import PACE as PACE_THRESHOLD
from proxy.core.comparison.differences import Answer, Body
from proxy.core.comparison.noise import share_twice
from proxy.core.comparison.units import Asker
from proxy.core.evidence.sequential import one_sided
from proxy.core.http1.request import RequestHead

DAY: Final = date(2030, 3, 1)
RELATIVE: Final = 20.0  # percent, Diffy's defaults
ABSOLUTE: Final = 0.03

_SNAPSHOT: Final = load_text(
    "backends: {legacy: {url: 'http://a'}, async: {url: 'http://b'}}\nendpoints:\n"
    + "".join(f"  {name}: {{}}\n" for name in ENDPOINTS),
    source="bench",
    environ={},
).snapshot

_T = TypeVar("_T")


class Finder:
    """Looks at one endpoint; `found` are the places that were ever called faults, `now` those that are."""

    def __init__(self, world: World, name: str, fault: Fault | None) -> None:
        self._world = world
        self._endpoint = ENDPOINTS[name]
        self._fault = fault
        self.asked = 0
        self.found: set[str] = set()
        self.now: set[str] = set()

    def sample(self) -> None:
        raise NotImplementedError

    def _ask(self, side: str, request: Request) -> Asked:
        self.asked += 1
        reply = self._world.answer(self._endpoint, request)
        if side == "async":
            reply = planted(self._fault, reply, request)
        answer = Answer(reply.status, reply.headers, Body.of(encoded(reply)))
        return Asked(answer, reply.seconds, "", f"http://{side}")


class Ours(Finder):
    """As `proxy.compare.comparer` does it, with one answer after the other."""

    def __init__(self, world: World, name: str, fault: Fault | None) -> None:
        super().__init__(world, name, fault)
        (endpoint,) = (each for each in _SNAPSHOT.endpoints if each.name == name)
        head = RequestHead.of("GET", "/", {})
        self._judging = Judging.of(_SNAPSHOT, name, endpoint.compare, head, b"key", DAY)
        self._aggregate = Aggregate(lambda: 0.0)
        self._slowest: Counter[str] = Counter()

    def sample(self) -> None:
        request = self._world.request()
        judging = self._judging._replace(asker=Asker(request.user, request.id, "no parameters"))
        seen = self._aggregate.seen(judging.name)
        twice = self._world.chance.random() < share_twice(seen)
        sides = ("legacy", "async", AGAIN) if twice else ("legacy", "async")

        async def ask(sides: Sequence[str]) -> Answers:
            return {side: self._ask(side, request) for side in sides}

        answers: Answers = {side: self._ask(side, request) for side in sides}
        finding = judging.finding(answers)
        self._aggregate.learn(finding.scope, None)
        suspects = self._aggregate.suspects(finding.scope, finding.observed)
        finding = _run(judging.follow(finding, suspects, answers, ask))
        self._aggregate.add(finding)
        counts = self._aggregate.seen(judging.name).counts
        self.now = {mark.path for mark, each in counts.items() if each.proven}
        self._slowest[finding.slowest] += 1
        if one_sided(self._slowest["async"], self._slowest["legacy"]) >= PACE_THRESHOLD:
            self.now.add(PACE)
        self.found |= self.now


class Diffy(Finder):
    """Candidate, primary and secondary are asked at the same time, each once.

    A field differs if it differs more often between candidate and primary (raw) than between primary and
    secondary (noise), by more than RELATIVE percent of both together and ABSOLUTE percent of all requests.
    """

    def __init__(self, world: World, name: str, fault: Fault | None) -> None:
        super().__init__(world, name, fault)
        (endpoint,) = (each for each in _SNAPSHOT.endpoints if each.name == name)
        self._settings = endpoint.compare
        self._raw: Counter[str] = Counter()
        self._noise: Counter[str] = Counter()
        self._requests = 0

    def sample(self) -> None:
        request = self._world.request()
        primary, candidate, secondary = (
            self._ask(side, request) for side in ("legacy", "async", "secondary")
        )
        self._requests += 1
        raw, noise = (
            {each.path for each in judged(self._settings, primary, other, DAY).differences}
            for other in (candidate, secondary)
        )
        self._raw.update(raw)
        self._noise.update(noise)
        self.now = {path for path in self._raw if self._differs(path)}
        self.found |= self.now

    def _differs(self, path: str) -> bool:
        raw, noise = self._raw[path], self._noise[path]
        apart = raw - noise
        return (
            raw > noise and 100 * apart / (raw + noise) > RELATIVE and 100 * apart / self._requests > ABSOLUTE
        )


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    """What never really waits."""
    try:
        work.send(None)
    except StopIteration as done:
        value: _T = done.value
        return value
    raise RuntimeError("it waits for something")

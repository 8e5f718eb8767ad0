"""Two backends that answer in memory, observed as the comparer observes them."""

from __future__ import annotations

import random
from collections.abc import Callable

from proxy.core.comparison.differences import walk
from proxy.core.comparison.marks import Mark, distances, farther, marks_of
from proxy.core.comparison.noise import LOOKS, Following, Gain, Look, Observations, Observed, share_twice
from proxy.core.documents.exactjson import Json

Ask = Callable[[str], Json]
"""The answer of one side to the request at hand: legacy, async, or again (legacy)."""


def marks(one: Json, other: Json) -> frozenset[Mark]:
    return marks_of(((each.path, each) for each in walk(one, other)), one, other)


def observe(seen: Observations, ask: Ask, chance: random.Random) -> Gain:
    """One sample: legacy, async, on a share legacy again; and more looks where something differs."""
    twice = chance.random() < share_twice(seen)
    legacy, async_ = ask("legacy"), ask("async")
    again = ask("again") if twice else None
    first = Observed(marks(legacy, async_), marks(legacy, again) if twice else None)
    if twice:
        ours, own = (
            distances((each.path, each) for each in walk(legacy, other)) for other in (async_, again)
        )
        more, less = farther(ours, own)
        first = Observed(first.async_ | more, (first.again or frozenset()) | less)
    following = Following(first, seen.suspects(first))
    for _ in range(LOOKS):
        if not following.open:
            break
        later, their, last = ask("legacy"), ask("async"), ask("again")
        following.add(
            Look(
                marks(later, their),
                marks(later, last),
                marks(legacy, later),
                marks(again if twice else legacy, last),
                marks(async_, their),
            )
        )
    return seen.add(following.result(complete=True))

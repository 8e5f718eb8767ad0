"""What was asked for and is in no endpoint: a list that anybody can write into, and nobody can fill up."""

from __future__ import annotations

from typing import Final

PLACES: Final = 250  # in each half of the list
OTHER: Final = "other"
UNLISTED: Final = "unlisted"  # the name that what matches no endpoint is counted under

Asked = tuple[str, str]
"""(endpoint that it could be, backend)"""


class Unlisted:
    """Counts what came once and what came again, PLACES of each; what was not asked for lately makes room.

    A scanner's paths come once, so they take the places of each other and not of what has clients. What had
    to go and comes again is counted from 1.
    """

    __slots__ = ("_again", "_once", "_others")

    def __init__(self) -> None:
        self._once: dict[Asked, int] = {}  # those asked for last stand at the end
        self._again: dict[Asked, int] = {}
        self._others: dict[Asked, int] = {}  # what could not be an endpoint

    def count(self, shape: str | None, backend: str) -> None:
        if shape is None:
            other = (OTHER, backend)
            self._others[other] = self._others.get(other, 0) + 1
            return
        asked = (shape, backend)
        known = self._again.pop(asked, 0)
        if known:
            self._again[asked] = known + 1
            return
        before = self._once.pop(asked, 0)
        if before:
            self._again[asked] = before + 1
            if len(self._again) > PLACES:
                oldest = next(iter(self._again))
                self._once[oldest] = self._again.pop(oldest)
        else:
            self._once[asked] = 1
        if len(self._once) > PLACES:
            del self._once[next(iter(self._once))]

    def counts(self) -> dict[Asked, int]:
        return {**self._others, **self._again, **self._once}

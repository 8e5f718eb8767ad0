"""Requests that wait for a connection to a backend, in the order of their arrival.

Uploads wait in a separate queue: until its body has arrived completely, an upload occupies a connection
for as long as its client likes. Within the share of slow clients, uploads take turns with other requests;
beyond it, complete requests go first.
"""

from __future__ import annotations

from collections import deque

from proxy.edge.ports import Waiter


class Waiting:
    """Each way is bounded by itself, so that uploads cannot take the places of whole requests."""

    __slots__ = ("_uploads", "_whole")

    def __init__(self) -> None:
        self._whole: deque[Waiter] = deque()
        self._uploads: deque[Waiter] = deque()

    def __len__(self) -> int:
        return len(self._whole) + len(self._uploads)

    @property
    def whole(self) -> int:
        """How many do not depend on their clients any more."""
        return len(self._whole)

    def add(self, waiter: Waiter, upload: bool, limit: int) -> bool:
        """False if as many as may wait already do."""
        line = self._uploads if upload else self._whole
        if len(line) >= limit:
            return False
        line.append(waiter)
        return True

    def discard(self, waiter: Waiter) -> None:
        for line in (self._whole, self._uploads):
            if waiter in line:
                line.remove(waiter)

    def until(self) -> float:
        """The deadline of the whole request that has waited longest; there is one."""
        return self._whole[0].deadline

    def take(self, within: bool, admitted: bool) -> Waiter | None:
        """The next one. `within`: uploads have not used up their share; `admitted`: they may go beyond it."""
        whole, uploads = self._whole, self._uploads
        if uploads and (
            (within and (not whole or uploads[0].deadline < whole[0].deadline)) or (admitted and not whole)
        ):
            return uploads.popleft()
        return whole.popleft() if whole else None

"""How long an answer may take: as its receiver says, otherwise as its backend says."""

from __future__ import annotations

from proxy.core.settings import Backend
from proxy.edge.ports import Receiver


def response_timeout(receiver: Receiver, backend: Backend) -> float:
    """Seconds in which the answer must begin."""
    timeout = receiver.response_timeout
    return backend.timeouts.response if timeout is None else timeout


def idle_timeout(receiver: Receiver | None, backend: Backend) -> float:
    """Seconds that the next piece of the answer may take."""
    timeout = None if receiver is None else receiver.idle_timeout
    return backend.timeouts.idle if timeout is None else timeout

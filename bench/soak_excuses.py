"""Which failures a kill explains, and which are the proxy's own. Nothing is excused for being near a kill."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

WORKER: Final = "worker"
LEGACY: Final = "legacy"
ASYNC: Final = "async"

CUT: Final = frozenset({"IncompleteReadError", "ConnectionResetError", "BrokenPipeError"})
_BAD_GATEWAY: Final = frozenset({"status 502"})
_WRITES: Final = frozenset({"write", "upload", "drip", "expect", "retry", "listen"})
# What may break off when it has begun.
_STREAMS: Final = frozenset({"download", "abort", "tunnel", "sip", "listen"})


class Disturbance(NamedTuple):
    """What was killed: from just before that until it was gone (a worker) or there again (a backend)."""

    what: str
    begun: float
    ended: float


class Failure(NamedTuple):
    """One request that failed, on the clock of the disturbances; `cause` is an exception's name or a text."""

    kind: str
    cause: str
    good: float  # when the last request on its connection that went well was begun, or it was opened
    begun: float
    failed: float


def excuse(failure: Failure, disturbances: Iterable[Disturbance]) -> str:
    """What was killed that explains the failure; "" if nothing does."""
    for each in disturbances:
        if failure.cause not in allowed(each.what, failure.kind):
            continue
        # A worker takes the connections that it had: those on which nothing that was begun after its end went
        # well. (An answer that is read after it may have waited in a buffer.)
        # A backend takes the requests that met it dying, or away.
        since = failure.good if each.what == WORKER else failure.begun
        if since <= each.ended and failure.failed >= each.begun:
            return each.what
    return ""


def allowed(what: str, kind: str) -> frozenset[str]:
    """How a request of this kind may fail when that is killed.

    A worker's death cuts its connections. Legacy has no fallback: what it had is a 502, or breaks off.
    What async had falls back if it is a read of which nothing was relayed; so a small read never fails, and
    a large one only in the middle. A write is never sent twice.
    """
    if what == WORKER:
        return CUT
    if what == LEGACY:
        return _BAD_GATEWAY | CUT if kind in _STREAMS else _BAD_GATEWAY
    if kind in _WRITES:
        return _BAD_GATEWAY | CUT if kind in _STREAMS else _BAD_GATEWAY
    return CUT if kind in ("download", "abort", "sip") else frozenset()

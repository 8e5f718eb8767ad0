"""The states of a client's connection, and what may follow each of them.

    IDLE -> HEAD -> BODY -> ANSWERING -> IDLE
                              any of them -> LINGERING -> CLOSED

A request that comes in one piece goes from IDLE to ANSWERING at once.
"""

from __future__ import annotations

from typing import Final

IDLE: Final = 0  # nothing of a request is here
HEAD: Final = 1  # the beginning of one is, in `_partial`
BODY: Final = 2  # a request is under way, and its body is being read
ANSWERING: Final = 3  # a request is under way, and whole
LINGERING: Final = 4  # the last answer is on its way; what the client still sends is thrown away
CLOSED: Final = 5  # the transport is gone, or another's
STATES: Final = ("idle", "head", "body", "answering", "lingering", "closed")
TRANSITIONS: Final[tuple[frozenset[int], ...]] = (
    frozenset({HEAD, BODY, ANSWERING, LINGERING, CLOSED}),  # IDLE
    frozenset({IDLE, LINGERING, CLOSED}),  # HEAD: it is whole, and taken from there
    frozenset({IDLE, ANSWERING, LINGERING, CLOSED}),  # BODY: it was answered early, or is whole
    frozenset({IDLE, LINGERING, CLOSED}),  # ANSWERING
    frozenset({CLOSED}),  # LINGERING
    frozenset(),  # CLOSED
)

"""The states of an exchange, and of what owns the key of a write; each with the table of what may follow.

Each event is taken only in the states that it belongs to, and every change is made at once, before anything
is awaited: an exchange that is over can neither take a connection nor write.
"""

from __future__ import annotations

from typing import Final

IDLE: Final = 0  # before the first attempt, or between two
WAITING: Final = 1  # for a connection from the pool
SENT: Final = 2  # the request is on its way or sent; nothing of the answer is here
ANSWERED: Final = 3  # the head of the answer is here
SETTLING: Final = 4  # the outcome is known; it is stored, then the client hears of it
ENDED: Final = 5
STATES: Final = ("idle", "waiting", "sent", "answered", "settling", "ended")
TRANSITIONS: Final[tuple[frozenset[int], ...]] = (
    frozenset({WAITING, SETTLING, ENDED}),  # IDLE: an attempt; or none is left, or is wanted
    frozenset({IDLE, SENT, SETTLING, ENDED}),  # WAITING: IDLE also while a key is confirmed
    frozenset({IDLE, ANSWERED, SETTLING, ENDED}),  # SENT
    frozenset({IDLE, SETTLING, ENDED}),  # ANSWERED
    frozenset({ENDED}),  # SETTLING
    frozenset(),  # ENDED
)

# Of a `KeyedWrite`. A request without a key is never in any of these.
READING: Final = 0  # the body: the whole of it is needed for the fingerprint
CLAIMING: Final = 1  # the store is asked whether the key is free
OWNED: Final = 2  # it is ours: the request may be sent
STORING: Final = 3  # the outcome is on its way to the store
RELAYING: Final = 4  # the store knows; the client has, or gets, the answer
RELEASED: Final = 5  # there is no claim, or none any more: the request is over, or goes on without its key
KEY_STATES: Final = ("reading", "claiming", "owned", "storing", "relaying", "released")
KEY_TRANSITIONS: Final[tuple[frozenset[int], ...]] = (
    frozenset({CLAIMING, RELEASED}),  # READING
    frozenset({OWNED, RELEASED}),  # CLAIMING
    frozenset({STORING, RELEASED}),  # OWNED
    frozenset({RELAYING, RELEASED}),  # STORING
    frozenset({RELEASED}),  # RELAYING
    frozenset(),  # RELEASED
)

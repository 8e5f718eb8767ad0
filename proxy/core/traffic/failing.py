"""Whether most of what an endpoint's clients ask of a backend fails: then nothing may say that all is well.

A breaker and an address judge a backend by what it does. This judges by what clients get, whatever the cause:
5xx answers, exchanges that broke off, requests that the other backend had to save, clients that left after
they had waited in vain, and the proxy's own 502, 503 and 504 in place of an answer. It is pure; counts come
from `totals.Window`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

SHORT: Final = 10
LONG: Final = 60
"""Seconds that are looked at: the short ones if there were enough requests in them."""
MANY: Final = 20
"""Requests that are enough to be judged by their majority."""
FEW: Final = 3
"""Requests, all of which failed, that are bad news without a majority..."""
LASTING: Final = 30
"""...if this many seconds have passed since the first of them."""


class Tallied(NamedTuple):
    """Requests of one endpoint to one backend over some seconds, without those whose clients left at once."""

    requests: int = 0
    failed: int = 0  # without `diverted` and `early`
    saved: int = 0  # of the failed ones, those that legacy answered in place of async
    diverted: int = 0  # a breaker sent them to legacy: that is an alarm of its own
    early: int = 0  # their clients left soon: that tells something only where nobody gets an answer


class Failing(NamedTuple):
    """`failed` of `requests` in the last `seconds`."""

    failed: int
    requests: int
    saved: int
    seconds: int


def failing(short: Tallied, long: Tallied, lasting: float, before: bool) -> Failing | None:
    """What to say of an endpoint and a backend, if anything.

    `short` and `long` cover the seconds of these names. `lasting`: seconds since the first failure in `long`.
    `before`: it was failing at the last look. Then requests that a breaker keeps from the backend count as
    failures: they do not show that it works again.
    """
    for seconds, tally in ((SHORT, short), (LONG, long)):
        found = _judged(tally, seconds, before)
        if found.requests >= MANY:
            return found if 2 * found.failed >= found.requests else None
    found = _judged(long._replace(requests=long.requests - long.early, early=0), LONG, before)
    if before:
        return found if found.requests and 2 * found.failed >= found.requests else None
    all_failed = found.requests >= FEW and found.failed == found.requests
    return found if all_failed and lasting >= LASTING else None


def _judged(tally: Tallied, seconds: int, before: bool) -> Failing:
    """Clients that left soon count as failures if nobody got an answer, and not at all otherwise."""
    failed, requests = tally.failed, tally.requests
    if failed + tally.diverted + tally.early == requests:
        failed += tally.early
    else:
        requests -= tally.early
    if before:
        failed += tally.diverted
    else:
        requests -= tally.diverted
    return Failing(failed, requests, tally.saved, seconds)


# the store of idempotency keys

ANSWERED: Final = frozenset(
    {
        "completed",
        "too_large",
        "no_room",
        "released",
        "replayed",
        "mismatch",
        "in_flight",
        "outcome_unknown",
        "settled",
        "response_too_large",
    }
)
"""What becomes of a keyed write only if the store has answered; with the prefix `would_` too."""


def refuses(refused: float | None, served: float | None) -> bool:
    """Whether the store of keys is out of order, from the seconds since a keyed write was last refused
    because the store did not answer, and since one was last served. None: not within LONG.

    Where writes are rare, the next one must show that the store answers again.
    """
    if refused is None:
        return False
    return refused <= SHORT or served is None or served >= refused

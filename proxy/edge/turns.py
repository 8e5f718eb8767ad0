"""Reports state changes, if anybody wants to know (`--log-level debug`).

Callers check `Services.debug` first, so when it is off, a change costs no more than that check.
"""

from __future__ import annotations

import logging
from typing import Final

log: Final = logging.getLogger("strangler.states")

Table = tuple[frozenset[int], ...]


def wanted() -> bool:
    """Whether anybody reads them. Asked once, when a worker begins to serve."""
    return log.isEnabledFor(logging.DEBUG)


def tell(who: object, names: tuple[str, ...], table: Table, before: int, after: int) -> None:
    """`who`, still in the state `before`, is about to be in `after`. What the table lacks is a fault."""
    if after in table[before]:
        log.debug("%s -> %s", repr(who), names[after])  # now: it will have changed
    else:
        log.error("fault in the proxy, please report it: %r -> %s is no transition", who, names[after])

"""How many descriptors the admin port may use, so that the control process always has some for its own work.

Reading routing.yaml, starting workers, the store and the channel need a few at a time. Whatever clients of
the admin port cause to be opened is limited to less than what remains.
"""

from __future__ import annotations

import errno
import resource
from typing import Final

EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

OWN: Final = 48  # listeners, event loop, channel, inotify, store, a process that is being started
PER_WORKER: Final = 3  # its channel, the socket that came with it, a pidfd
PER_CONNECTION: Final = 4  # itself, and what answering it may open: the files of a database
MOST: Final = 255
LEAST: Final = 8


def admin_connections(workers: int) -> int:
    """How many connections the admin port holds at the same time."""
    return share(resource.getrlimit(resource.RLIMIT_NOFILE)[0], workers)


def share(limit: int, workers: int) -> int:
    """The admin port's share of `limit`, the limit of open files."""
    if limit == resource.RLIM_INFINITY:
        return MOST
    return max(LEAST, min(MOST, (limit - OWN - PER_WORKER * workers) // PER_CONNECTION))

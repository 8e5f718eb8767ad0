"""Holds back signals that would end a process which cannot handle them yet, or never does.

Service managers, logrotate scripts and users send them to any process with the right name, even in its
first second, and the system's default is to end the process.
"""

from __future__ import annotations

import signal  # nothing else: until `hold` has run, a signal ends the process

KEPT = frozenset({signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2})


def hold() -> None:
    """From now on they wait until `release`; a process that is started meanwhile inherits that."""
    signal.pthread_sigmask(signal.SIG_BLOCK, KEPT)


def release() -> None:
    """Those that have come are delivered now: set the handlers first."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, KEPT)


def ignore() -> None:
    """For a process that takes its orders in another way; those that have come are dropped."""
    for number in KEPT:
        signal.signal(number, signal.SIG_IGN)
    release()

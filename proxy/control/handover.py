"""What a control process passes to its successor through exec.

The restart itself is in the environment; the descriptors that it names stay open. They are the listening
socket, so that no client is refused even if all workers die at that moment, and the configuration in use,
because the file may have changed since it was validated. The next process validates that change as usual.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Collection
from dataclasses import replace
from typing import NoReturn, TypeVar

import msgspec

from proxy.control.errors import StartupError
from proxy.control.log import log
from proxy.control.supervisor.roll import Restart

T = TypeVar("T")

VARIABLE = "STRANGLER_RESTART"
SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2})


def command() -> tuple[str, ...]:
    """The command with which this process was started."""
    return (sys.executable, *sys.orig_argv[1:])


def replace_process(
    restart: Restart, workers: Collection[int], listener: socket.socket, text: bytes
) -> NoReturn:
    """Start the same command again in this process: its pid and its place under a service manager stay.

    Signals are held back until the next one listens to them. `workers` are the pids of all that live now.
    Other descriptors close, but for the standard ones.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    listener.set_inheritable(True)
    handed = replace(
        restart,
        workers=tuple(workers),
        socket=listener.fileno(),
        text=_keep(text),
        begun=time.monotonic(),
        used=time.process_time(),
    )
    sys.stderr.flush()
    argv = command()
    os.execve(argv[0], argv, {**os.environ, VARIABLE: msgspec.json.encode(handed).decode()})


def announced() -> Restart | None:
    """The restart that this process was started for."""
    return taken(VARIABLE, Restart)


def taken(variable: str, kind: type[T]) -> T | None:
    """Takes what the previous control process put into the environment, so that no child inherits it."""
    text = os.environ.pop(variable, "")
    try:
        return msgspec.json.decode(text, type=kind) if text else None
    except msgspec.DecodeError as error:
        raise StartupError(f"{variable} is set, but not by a restart: {error}; unset it") from error


def handed_text(restart: Restart | None) -> bytes | None:
    """The configuration that was in use, the first time; None if it was not handed over."""
    if restart is None or restart.text < 0:
        return None
    with os.fdopen(restart.text, "rb") as file:
        return file.read()


def handed_socket(restart: Restart | None) -> socket.socket | None:
    """The socket with which the workers were started, the first time; None if it was not handed over."""
    if restart is None or restart.socket < 0:
        return None
    sock = socket.socket(fileno=restart.socket)
    sock.set_inheritable(False)
    return sock


def took(restart: Restart) -> str:
    """How long the exchange took, for the log: long with little work means a busy machine, not a fault."""
    elapsed, used = time.monotonic() - restart.begun, time.process_time() - restart.used
    return f"{elapsed:.1f} s, {used:.1f} s of them on a processor"


def _keep(text: bytes) -> int:
    """A descriptor that survives exec and reads the text from its start; -1 where there is none to be had."""
    if not hasattr(os, "memfd_create"):
        return -1
    try:
        fd = os.memfd_create("configuration", 0)
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(text)
    except OSError as error:
        log.error("cannot hand over the configuration: %s; the next process reads the file", error.strerror)
        return -1
    os.lseek(fd, 0, os.SEEK_SET)
    return fd

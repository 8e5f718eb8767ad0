"""Which processes use an address that the proxy needs, as far as this user can see them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

PROC: Final = Path("/proc")
LISTENING: Final = "0A"  # TCP_LISTEN in /proc/net/tcp
WORDS: Final = 3  # of a command: what it is, without arguments that may be secret
WIDTH: Final = 80
SHOWN: Final = 8  # processes


class Holder(NamedTuple):
    pid: int
    command: str


def in_use(port: int) -> str:
    """`in use by another process (...): end it with ...`; which one, if the system tells."""
    found = holders(port)
    if not found:
        return (
            "in use by another process, which this user is not allowed to see "
            f"(as root, `ss -ltnp 'sport = :{port}'` names it)"
        )
    named = ", ".join(f"pid {each.pid}, {each.command}" for each in found)
    pids = " ".join(str(each.pid) for each in found)
    return f"in use by another process ({named}): end it with `kill {pids}`"


def holders(port: int) -> list[Holder]:
    """Processes that listen on this TCP port, at any address."""
    inodes = set(_inodes(port))
    found: list[Holder] = []
    for entry in PROC.glob("[0-9]*") if inodes else ():
        if len(found) < SHOWN and int(entry.name) != os.getpid() and _has(entry, inodes):
            found.append(Holder(int(entry.name), _command(entry)))
    return sorted(found)


def _inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            lines = (PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield f"socket:[{fields[9]}]"


def _has(process: Path, inodes: set[str]) -> bool:
    """Whether it has one of these sockets open; False if this user is not allowed to see, or it has ended."""
    try:
        return any(_link(each) in inodes for each in (process / "fd").iterdir())
    except OSError:
        return False


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _command(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")[:WORDS]
    except OSError:
        words = []
    text = " ".join(words).strip()[:WIDTH] or "unknown"
    return "".join(char if char.isprintable() else "?" for char in text)

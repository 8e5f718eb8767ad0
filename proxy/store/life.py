"""Which workers are alive on a SQLite file: a lock for each incarnation, and the file that it has open.

An incarnation holds a lock (flock) on its own file for as long as it lives; the kernel drops the lock when
the process ends, however it ends. Whoever can take the lock of another incarnation knows that it is dead.

A database that is deleted or replaced stays open in the processes that had opened it: each would continue
with its own file and not know the keys of the others. So a worker compares the file under the name with
the one it has opened, and records the latter in its lock's file; a worker that starts beside it must find
the same file. MARKER tells the same to workers that start when no worker is left, after crashes or a
rolling restart, until the whole proxy has stopped. The lock `places.WORKERS` shows when that is: each
worker shares it from its start to its end.

A copy may have the same inode number as the file that it replaces. So rounds of housekeeping are counted
in the database (`user_version`, which SQLite leaves to its users), and then in MARKER: a copy has counted
fewer.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from proxy.store import statements
from proxy.store.places import StoreUnavailable, private_file, private_folder
from proxy.store.schema import incarnations

_SIBLINGS: Final = ("", "-wal", "-shm")  # SQLite keeps all three open
_REFERENCE: Final = getattr(os, "O_PATH", os.O_RDONLY)  # an open file's number is given to no other

MARKER: Final = ".file"

Identity = tuple[str, ...]


def start_anew(directory: Path, file: Path) -> bool:
    """If no worker lives, whether or not it has opened the file, that may be another one from now on.

    Returns whether what was known of keys is gone: the file is, or it is an older copy.
    """
    if not directory.is_dir():
        return not file.exists()
    if not all(_is_dead(path) for path in directory.iterdir() if path.name != MARKER):
        return False
    identity, rounds = _remembered(directory)
    (directory / MARKER).unlink(missing_ok=True)
    return bool(identity) and _rounds_of(file) < rounds


class OpenFile:
    """The database under a name, and whether it still is the one that was opened."""

    def __init__(self, file: Path) -> None:
        self._paths = [f"{file}{suffix}" for suffix in _SIBLINGS]
        self._opened: Identity = ()
        self._kept: int | None = None  # keeps the first file's number while SQLite has it closed

    def found(self) -> Identity:
        """Of what is under the names now."""
        return tuple(_identity(path) for path in self._paths)

    def keep(self) -> None:
        """This is the file from now on, made if missing. Raises StoreUnavailable if it was another before."""
        if self._kept is None:
            os.close(private_file(self._paths[0]))
            self._kept = os.open(self._paths[0], _REFERENCE)
        if _identity(self._paths[0]) != _number(os.fstat(self._kept)):
            raise self._loss()

    def opened(self) -> Identity:
        """SQLite has it open; what it has."""
        self.keep()
        self._opened = self.found()
        return self._opened

    def lost(self) -> StoreUnavailable | None:
        """The error to give if something of it was deleted or replaced since `opened`."""
        return None if self.found() == self._opened else self._loss()

    def close(self) -> None:
        if self._kept is not None:
            os.close(self._kept)

    def _loss(self) -> StoreUnavailable:
        name = next((p for p, it in zip(self._paths, self._opened, strict=False) if _identity(p) != it), "")
        return StoreUnavailable(
            f"{name or self._paths[0]} was deleted or replaced while it was in use, and its keys are missing:"
            " restore the original file, or stop all workers and start without it"
        )


class Life:
    """This incarnation's lock, and a look at those of the others."""

    def __init__(self, directory: Path, incarnation: str) -> None:
        self._directory = directory
        self._own = directory / incarnation
        self._incarnation = incarnation
        self._lock: int | None = None
        self._said: Identity = ()
        self._rounds = 0  # that are in the database for certain, when this last looked

    def begin(self) -> None:
        """Takes the lock; only then is the incarnation registered, so nobody finds it without."""
        if self._lock is not None and _identity(str(self._own)) != _number(os.fstat(self._lock)):
            os.close(self._lock)  # somebody has deleted it: the others call us dead until there is a new one
            self._lock = None
        if self._lock is None:
            private_folder(self._directory)
            lock = private_file(self._own)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._lock = lock
            self.say(self._said)

    def say(self, opened: Identity) -> None:
        """What this incarnation has open, for the others; nothing: nothing."""
        self._said = opened
        if self._lock is not None:
            text = " ".join(opened).encode()
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, text, 0)

    def agree(self, found: Identity) -> None:
        """Raises StoreUnavailable if a living incarnation has another database open than `found`, or had."""
        with contextlib.suppress(FileNotFoundError):
            for path in self._directory.iterdir():
                if path not in (self._own, self._directory / MARKER) and _is_other(path, found):
                    raise StoreUnavailable(
                        f"a worker ({path.name}) still has another claims file open, which was deleted or"
                        " replaced: restore it, or stop all workers and start without it"
                    )
        if _remembered(self._directory)[0] not in ("", found[0]):
            raise StoreUnavailable(
                "the claims file of the previous workers was deleted or replaced, and its keys are missing:"
                " restore it, or stop the whole proxy and start it without the file"
            )

    def recognise(self, connection: sa.Connection) -> None:
        """Raises StoreUnavailable if the file that was opened is an older copy of the one before."""
        rounds = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
        if rounds < max(self._rounds, _remembered(self._directory)[1]):
            raise StoreUnavailable(
                "the claims file is an older copy of the one that workers had, and newer keys are missing:"
                " restore the newer file, or stop the whole proxy and start it with the copy"
            )
        self._rounds = rounds

    def count(self, connection: sa.Connection) -> None:
        """A round of the house, unless another worker has just counted one.

        What was read is on disk, and only that is said in MARKER: it never says more than the file has.
        """
        before = self._rounds
        self.recognise(connection)
        if self._rounds == before:
            connection.exec_driver_sql(f"PRAGMA user_version = {before + 1:d}")
        self.remember(self._said)

    def remember(self, opened: Identity) -> None:
        """For those that come when this one is gone. The first to open the file says which it is."""
        if _remembered(self._directory)[0] in ("", opened[0]):
            marker = private_file(self._directory / MARKER)
            os.pwrite(marker, f"{opened[0]} {self._rounds:010d}".encode(), 0)
            os.close(marker)

    def bury_the_dead(self, connection: sa.Connection) -> int:
        """Returns how many claims have become unknown."""
        self.begin()
        others = list(connection.scalars(sa.select(incarnations.c.id)))
        if self._incarnation not in others:
            connection.execute(incarnations.insert().values(id=self._incarnation, expires_at=0.0))
        dead = [each for each in others if each != self._incarnation and _is_dead(self._directory / each)]
        if dead:
            connection.execute(incarnations.delete().where(incarnations.c.id.in_(dead)))
        lost = statements.lose_orphans(connection)
        for each in dead:  # a row that comes back because this transaction fails has no file: dead as well
            (self._directory / each).unlink(missing_ok=True)
        return lost

    def end(self) -> None:
        if self._lock is not None:
            os.close(self._lock)


def _remembered(directory: Path) -> tuple[str, int]:
    """What MARKER says: the database's identity, and its rounds; "" and 0 if it says nothing."""
    with contextlib.suppress(FileNotFoundError):
        said = (directory / MARKER).read_text().split()
        return (said[0] if said else ""), (int(said[1]) if len(said) > 1 else 0)
    return "", 0


def _rounds_of(file: Path) -> int:
    """That a file has counted which nobody has open; -1 without a database."""
    if not file.exists():
        return -1
    try:
        with contextlib.closing(sqlite3.connect(file)) as connection:
            return int(connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error:
        return -1


def _is_dead(path: Path) -> bool:
    try:
        lock = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def _is_other(path: Path, found: Identity) -> bool:
    """Whether a living incarnation says that it has something else open. Version 0.1 says nothing."""
    try:
        said = path.read_text().split()
    except (OSError, UnicodeDecodeError):
        return False
    return bool(said) and tuple(said) != found and not _is_dead(path)


def _identity(path: str) -> str:
    try:
        return _number(os.stat(path))
    except OSError:
        return "none"


def _number(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}"

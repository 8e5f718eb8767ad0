"""Where `server.state` is, and what is raised if it does not answer.

Separate from the engines, because a worker that stores nothing needs no SQLAlchemy, so it starts faster
and is smaller.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Final

WORKERS: Final = ".workers"  # among the incarnations: a lock that all workers share


class StoreUnavailable(Exception):
    """The store did not answer, or not in time. Nothing is known about what was asked of it."""

    explains = True  # it says why


def is_sqlite(url: str) -> bool:
    return url.startswith("sqlite:///")


def state_file(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def claims_file(url: str) -> Path:
    """Beside the state's file: `state.db` -> `state.claims.db`. They are written too often to share one."""
    return _beside(url, "claims")


def incarnations_of(url: str) -> Path:
    """The folder in which workers say that they live."""
    return claims_file(url).with_suffix(".incarnations")


def attend(url: str) -> int | None:
    """Says that a process lives which may have to know the claims, for as long as the descriptor is open.

    A worker may never have opened its store, or been refused it, and so hold no lock of its own. None: with
    PostgreSQL there is nothing to hold, and where nothing can be written the store cannot be opened either.
    """
    if not is_sqlite(url):
        return None
    folder = incarnations_of(url)
    try:
        private_folder(folder)
        lock = private_file(folder / WORKERS)
        fcntl.flock(lock, fcntl.LOCK_SH)  # nobody has it exclusively for longer than a look
    except OSError:
        return None
    return lock


def comparisons_file(url: str) -> Path:
    """`state.db` -> `state.comparisons.db`, for the same reason."""
    return _beside(url, "comparisons")


def _beside(url: str, part: str) -> Path:
    file = state_file(url)
    return file.with_name(f"{file.stem}.{part}{file.suffix}")


def private_folder(folder: Path) -> None:
    """Made if missing, for its owner only, whatever the umask; one that is there stays as it is."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        folder.chmod(0o700)


def private_file(file: str | os.PathLike[str], flags: int = os.O_RDWR) -> int:
    """Opened, and made if missing: for its owner only, whatever the umask. It holds what clients sent."""
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(file, flags | os.O_CREAT | os.O_EXCL, 0o600)
        os.fchmod(descriptor, 0o600)
        return descriptor
    return os.open(file, flags | os.O_CREAT, 0o600)

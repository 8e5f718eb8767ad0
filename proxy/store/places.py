"""Where `server.state` is, and what is raised if it does not answer.

Apart from the engines: a worker that stores nothing needs no SQLAlchemy, so it starts sooner and is smaller.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


class StoreUnavailable(Exception):
    """The store did not answer, or not in time. Nothing is known about what was asked of it."""


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

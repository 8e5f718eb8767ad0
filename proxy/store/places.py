"""Where `server.state` is, and what is raised if it does not answer.

Apart from the engines: a worker that stores nothing needs no SQLAlchemy, so it starts sooner and is smaller.
"""

from __future__ import annotations

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

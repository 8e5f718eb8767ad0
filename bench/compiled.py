"""The proxy with a compiled data path: where `make compiled` leaves it, and whether it is current."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SITE = ROOT / "build" / "compiled"


def stale(sources: Path = ROOT / "proxy", built: Path = SITE / "proxy") -> Iterator[Path]:
    """Sources that are not in the build as they are now; the build has a copy of each."""
    for source in sorted(sources.rglob("*.py")):
        copy = built / source.relative_to(sources)
        if not copy.is_file() or copy.read_bytes() != source.read_bytes():
            yield source


def is_current() -> bool:
    return next(stale(), None) is None


def environment() -> dict[str, str]:
    """With it, `python -m proxy` runs the compiled build and not the sources."""
    return {"PYTHONPATH": str(SITE), "PYTHONSAFEPATH": "1"}  # or the folder we are in comes first

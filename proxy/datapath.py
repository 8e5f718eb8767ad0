"""Whether the data path of this process is machine code or Python, and why it is not machine code."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from proxy import __version__
from proxy.core.http1 import scan

NOTE: Final = Path(__file__).with_name("interpreted.txt")
"""Of an installed wheel that was not compiled: its build wrote why, and how the next one is."""
SOURCES: Final = (
    "these are the sources; `pip install .` in them, without -e, compiles it if a C compiler is there"
)

DataPath = Literal["compiled", "interpreted"]


def data_path() -> DataPath:
    return "compiled" if scan.COMPILED else "interpreted"


def why_interpreted(note: Path = NOTE) -> str:
    """One line, with what to do about it."""
    try:
        return note.read_text().strip()
    except OSError:
        return SOURCES


def described(kind: DataPath, why: str) -> str:
    """The line of `strangler --version` and of the log."""
    line = f"strangler, version {__version__}, data path {kind}"
    return line if kind == "compiled" else f"{line}: {why}"


def this_build() -> str:
    return described(data_path(), why_interpreted())

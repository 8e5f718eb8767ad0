"""How a process of ours starts another one, so that both run the same code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

OURS: Final = Path(__file__).parent.parent


def module_command(module: str, ours: Path = OURS) -> tuple[str, ...]:
    """`python -m module`, with the code that this process runs.

    In a folder that has a `proxy/`, such as a checkout, -m alone would run that one: a compiled control
    process would have interpreted workers.
    """
    return (sys.executable, *(() if _is_here(ours) else ("-P",)), "-m", module)


def _is_here(ours: Path) -> bool:
    try:
        return Path.cwd() == ours.resolve()
    except FileNotFoundError:  # the folder was removed
        return False

"""Errors of a routing.yaml, with their places."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

Path = tuple[str | int, ...]
"""Where a value stands: ("endpoints", "GET /x", "weight")."""

MAX_ERRORS: Final = 1000


class ConfigError(NamedTuple):
    """`line` and `column` count from 1; 0 where there is no place to point at. `value` is as written, masked
    where it is a secret. `message` is a sentence that says what is allowed."""

    line: int
    column: int
    key: str
    value: str
    message: str

    def __str__(self) -> str:
        place = f"{self.line}:{self.column}: " if self.line else ""
        return f"{place}{self.key}: {self.message}" if self.key else f"{place}{self.message}"


class ConfigErrors(Exception):
    """Everything that is wrong, in the order of the file."""

    def __init__(self, source: str, errors: Iterable[ConfigError]) -> None:
        self.source = source
        self.errors: tuple[ConfigError, ...] = tuple(
            sorted(errors, key=lambda error: (error.line, error.column))[:MAX_ERRORS]
        )
        super().__init__(source, self.errors)

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """One line per error: "routing.yaml:12:5: key: message"."""
        return [f"{self.source}:{'' if error.line else ' '}{error}" for error in self.errors]


def printable(text: str) -> str:
    """For a terminal or a log line: what cannot be shown is a question mark."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


def key_text(path: Path) -> str:
    """('endpoints', 'GET /x', 'weight') -> 'endpoints."GET /x".weight'; list positions as [0]."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        plain = part.replace("_", "").replace("-", "").isalnum()
        text += ("." if text else "") + (part if plain else f'"{part}"')
    return text

"""Replaces ${NAME}, ${NAME:-default} and ${file:PATH} by environment variables and the contents of files.

A file contains one secret, as orchestrators and systemd provide them. Contents are kept only for one load;
the next load reads the files again.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

MAX_FILE: Final = 64 * 1024  # bytes
_VARIABLE: Final = re.compile(r"\$\{([^}]*)(\}?)")
_REFERENCE: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_FILE: Final = "file:"
_SYNTAX: Final = "${ starts a variable: ${NAME}, ${NAME:-default} or ${file:PATH}"


class Variables:
    """`folder` is where relative paths begin. `contents` are those of the files that were read."""

    def __init__(self, environ: Mapping[str, str], folder: Path = Path()) -> None:
        self._environ = environ
        self._folder = folder
        self._files: dict[str, str] = {}

    @property
    def contents(self) -> frozenset[str]:
        return frozenset(self._files.values())

    def fill(self, text: str) -> str:
        """The text with its variables replaced; a default also stands in for an empty one.

        Raises ValueError for a variable that is not set and has no default, and for a file that
        cannot be had.
        """
        return _VARIABLE.sub(self._value, text)

    def _value(self, found: re.Match[str]) -> str:
        if found[1].startswith(_FILE):
            return self._content(found[1].removeprefix(_FILE), closed=bool(found[2]))
        reference = _REFERENCE.fullmatch(found[1]) if found[2] else None
        if reference is None:
            raise ValueError(_SYNTAX)
        name, default = reference.groups()
        if default is not None:
            return self._environ.get(name) or str(default)
        if name not in self._environ:
            raise ValueError(
                f"the environment variable {name} is not set; ${{{name}:-default}} gives a default"
            )
        return self._environ[name]

    def _content(self, path: str, *, closed: bool) -> str:
        if not closed or not path or "${" in path:
            raise ValueError(f"{_SYNTAX}; the path is literal and ends at the closing brace")
        if path not in self._files:
            self._files[path] = read_secret(self._folder / path)
        return self._files[path]


def read_secret(path: Path) -> str:
    """The file's text without the line end that editors and `echo` put last.

    Raises ValueError with what is wrong and what to do; the content is never part of it.
    """
    try:
        # A pipe that nobody writes to would keep us waiting at once, without O_NONBLOCK.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            data = _read(descriptor) if regular else b""
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ValueError(_unreadable(path, error)) from None
    if not regular:
        raise ValueError(f"the file {path} is a directory, pipe or device: name the file with the secret")
    return _text(path, data)


def _read(descriptor: int) -> bytes:
    """All of it, or more than is allowed."""
    data = b""
    while len(data) <= MAX_FILE and (piece := os.read(descriptor, MAX_FILE + 1)):
        data += piece
    return data


def _text(path: Path, data: bytes) -> str:
    if len(data) > MAX_FILE:
        raise ValueError(f"the file {path} is over {MAX_FILE} bytes: name the file with the secret alone")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"the file {path} is not UTF-8 (byte {error.start}): write the secret as text, such as base64"
        ) from None
    text = text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")
    if not text:
        raise ValueError(f"the file {path} is empty: write the secret into it")
    return text


def _unreadable(path: Path, error: OSError) -> str:
    remedies: dict[type[OSError], str] = {
        FileNotFoundError: "create it, or correct the path (a relative one begins at this file's folder)",
        PermissionError: f"let the user with uid {os.geteuid()} read it",
        NotADirectoryError: "correct the path",
    }
    remedy = remedies.get(type(error), "make it readable")
    return f"the file {path} cannot be read ({error.strerror}): {remedy}"

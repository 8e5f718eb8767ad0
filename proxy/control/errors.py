"""Why `strangler serve` does not start, and why a requested change is refused."""

from __future__ import annotations

from proxy.config import ConfigError


class StartupError(Exception):
    """The process cannot start; the message names the setting and what to do. Exit code 2."""


class Refusal(Exception):
    """A requested change or restart is refused; `status` is the HTTP status of the problem."""

    def __init__(self, status: int, detail: str, errors: tuple[ConfigError, ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors

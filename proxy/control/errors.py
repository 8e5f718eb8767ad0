"""Errors that end `strangler serve` before it serves."""

from __future__ import annotations


class StartupError(Exception):
    """The process cannot start; the message names the setting and what to do. Exit code 2."""

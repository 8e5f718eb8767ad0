"""A moment as text: RFC 3339, UTC, as in every answer, line of a log and table."""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp(seconds: float) -> str:
    """To the millisecond, such as 2024-05-01T12:00:00.250Z."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_the_second(seconds: float) -> str:
    """Such as 2024-05-01T12:00:00Z, for people's eyes."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

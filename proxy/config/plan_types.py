"""The kinds of values in `rollouts:`. Each error is a phrase that follows the value, as in `types`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

from pydantic import PlainValidator

from proxy.config import types as t
from proxy.config.urls import parse_webhook

SHORTEST_DWELL: Final = 1.0  # seconds
MAX_KEY: Final = 256  # bytes of one key in `first`
OFF: Final = "off"


def or_off(parse: Callable[[Any], float], allowed: str) -> Callable[[Any], float | None]:
    """As `parse`, or None for `off`."""

    def parsed(value: Any) -> float | None:
        if value == OFF:
            return None
        try:
            return parse(value)
        except ValueError:
            raise ValueError(f"is not {allowed} or off") from None

    return parsed


def parse_times(value: Any) -> float:
    """How many times as often: what is not above 1 could never be shown."""
    if type(value) not in (int, float) or not 1.01 <= value <= 20:
        raise ValueError
    return float(value)


def parse_alpha(value: Any) -> float:
    if type(value) not in (int, float) or not 0 < value <= 0.1:
        raise ValueError("is not a number above 0 and at most 0.1, such as 0.001")
    return float(value)


def parse_hours_text(value: Any) -> str:
    """In one spelling."""
    if not isinstance(value, str):
        raise ValueError('is not hours such as "mon-fri 09:00-17:00 Europe/Berlin"')
    if not value:
        return value
    from proxy.core.rollout.hours import parse_hours  # time zones: only who has hours waits for them at start

    return str(parse_hours(value))


def parse_sticky_key(value: Any) -> str:
    """What a client could send as its key; a number may have lost its zeros by now."""
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError("is not a sticky key: write it as clients send it, in quotes")
    if not value or value != value.strip():
        raise ValueError("is not a sticky key: it is empty, or has blanks around it, which no client sends")
    if len(value.encode()) > MAX_KEY:
        raise ValueError(
            f"is longer than {MAX_KEY} bytes: send x-backend with override.token for such clients"
        )
    return value


Share = Annotated[float | None, PlainValidator(or_off(t.parse_parity, "a percentage from 0.01% to 50%"))]
Times = Annotated[float | None, PlainValidator(or_off(parse_times, "a number from 1.01 to 20"))]
Alpha = Annotated[float, PlainValidator(parse_alpha)]
Dwell = Annotated[float, PlainValidator(t.lasting(SHORTEST_DWELL)), t.SECONDS]
To = Annotated[str, PlainValidator(t.choice("0", "previous"))]
Retry = Annotated[str, PlainValidator(t.choice("person", "version"))]
HoursText = Annotated[str, PlainValidator(parse_hours_text)]
Webhook = Annotated[str, PlainValidator(parse_webhook)]
StickyKey = Annotated[str, PlainValidator(parse_sticky_key)]

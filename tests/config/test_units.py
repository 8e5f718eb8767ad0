from __future__ import annotations

from typing import Annotated

from pydantic import Field

from proxy.config import types as t
from proxy.config.model import Section
from proxy.config.units import ENDPOINT, SETTINGS, units


class Inner(Section):
    pause: t.Duration | None = None


class Outer(Section):
    """A section with everything that a unit may stand in."""

    size: t.Size = 0
    rate: Annotated[int, t.BYTES_PER_SECOND] = 0
    share: t.Share = 0.0
    inner: Inner = Field(default=Inner(), alias="in")


def test_the_unit_is_that_of_the_type_at_any_depth() -> None:
    assert units(Outer) == {"size": " bytes", "rate": " bytes per second", "in.pause": "s"}


def test_keys_are_those_of_the_file() -> None:
    assert SETTINGS["backends.async.timeouts.pool_idle"] == "s"
    assert SETTINGS["server.limits.min_rate"] == " bytes per second"
    assert "retries.budget" not in SETTINGS


def test_an_endpoint_has_the_units_of_the_general_settings_that_it_holds() -> None:
    assert ENDPOINT["response_timeout"] == ENDPOINT["compare.ttl"] == ENDPOINT["breaker.window"] == "s"
    assert ENDPOINT["buffers.response"] == " bytes"

"""Numbers on the command line, spelled as in routing.yaml: Python would also take `1_0` and `٣`."""

from __future__ import annotations

from typing import Any, Final

import click

from proxy.config.values import resolve

_DIGITS: Final = frozenset("0123456789")


class Percent(click.ParamType):  # type: ignore[type-arg]  # generic in later versions only
    """A weight as routing.yaml has it; its range is judged there."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = resolve(value) if isinstance(value, str) else value
        if isinstance(found, bool) or not isinstance(found, int | float):
            self.fail(f"{value!r} is not a number from 0 to 100, such as 25 or 33.33", param, ctx)
        return float(found)


class WholeNumber(click.IntRange):
    """A whole number in a range, of the digits 0 to 9."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and not (value and _DIGITS.issuperset(value)):
            self.fail(f"{value!r} is not a whole number", param, ctx)
        return super().convert(value, param, ctx)

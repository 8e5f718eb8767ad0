"""JSON with exact values: 1 is not 1.0, and 0.1 is a tenth (RFC 8259).

Integers are int, other numbers are Decimal. Documents that two parsers may read differently are not
accepted as JSON: duplicate names, NaN, and nesting or numbers beyond what parsers commonly support.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Final

Json = None | bool | int | Decimal | str | list["Json"] | dict[str, "Json"]

MAX_DEPTH: Final = 100
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_MAX_DIGITS: Final = 1000
_MAX_EXPONENT: Final = 10_000  # beyond it arithmetic on Decimals takes memory by the exponent


def parse(data: bytes) -> Json:
    """Raises ValueError if this is not JSON with one reading."""
    try:
        value: Json = json.loads(
            data.decode("utf-8-sig"),
            parse_float=_decimal,
            parse_constant=_refuse,
            object_pairs_hook=_object,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    _check_depth(value)
    return value


def text_of(value: Json) -> str:
    """The value as compact JSON; numbers keep their digits."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{quoted(name)}:{text_of(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(text_of, value)) + "]"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Decimal):
        return str(value)
    return json.dumps(value)


def kind_of(value: Json) -> str:
    """null, boolean, integer, decimal, text, array or object."""
    if value is None:
        return "null"
    return _KINDS[type(value)]


_KINDS: Final[dict[type, str]] = {
    bool: "boolean",
    int: "integer",
    Decimal: "decimal",
    str: "text",
    list: "array",
    dict: "object",
}


def quoted(text: str) -> str:
    """As JSON. Lone surrogates, which a backend may send, stay escaped: nothing could store or print them."""
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


def _decimal(text: str) -> Decimal:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a number of more than {_MAX_DIGITS} characters")
    try:
        value = Decimal(text)
    except ArithmeticError:  # the exponent alone is beyond what Decimal holds
        value = Decimal("Infinity")
    if not value.is_finite() or abs(value.adjusted()) > _MAX_EXPONENT:
        raise ValueError(f"a number beyond 10^{_MAX_EXPONENT}")
    return value


def _refuse(text: str) -> Json:
    raise ValueError(f"{text} is not a JSON number")


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _check_depth(value: Json) -> None:
    level: list[Json] = [value]
    for _ in range(MAX_DEPTH + 1):
        inner: list[Json] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        if not inner:
            return
        level = inner
    raise ValueError(f"nested deeper than {MAX_DEPTH}")

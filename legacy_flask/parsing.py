"""Reads what clients send. Everything that is wrong with a request is reported at once, by field."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn
from uuid import UUID

from flask import request
from gunicorn.http.errors import ParseException

from legacy_flask import cursors
from legacy_flask.errors import FieldError, Problem, not_found
from legacy_flask.money import DECIMALS, parse_amount

MAX_BODY = 16 * 1024
MAX_DEPTH = 32
MAX_LIMIT = 100
MAX_FIELD = 64  # characters of a field's name that are repeated in an error

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TEXT = re.compile(r"[^\x00-\x1f\x7f]+")
_MONTH = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


class Fields:
    """The fields of one object or query string; wrong ones are collected until `check`."""

    def __init__(self, values: Mapping[str, Any], allowed: Collection[str], prefix: str = "") -> None:
        self.values = values
        self.prefix = prefix
        self.errors = [FieldError(self._name(name), "is not known") for name in values if name not in allowed]

    def _name(self, name: str) -> str:
        return f"{self.prefix}{name}"[:MAX_FIELD]

    def wrong(self, name: str, message: str) -> None:
        self.errors.append(FieldError(self._name(name), message))

    def check(self) -> None:
        if self.errors:
            raise Problem("invalid-request", "Some fields are missing or wrong.", self.errors)

    def _string(self, name: str, required: bool) -> str | None:
        value = self.values.get(name)
        if value is None and (name not in self.values or not required):
            if required:
                self.wrong(name, "is required")
        elif not isinstance(value, str):
            self.wrong(name, "must be a string")
        else:
            return value
        return None

    def text(self, name: str, maximum: int, *, required: bool = True) -> str:
        """Printable text of 1 to `maximum` characters; "" when it is absent or wrong."""
        value = self._string(name, required)
        if value is None:
            return ""
        if not _TEXT.fullmatch(value) or len(value) > maximum:
            self.wrong(name, f"must be 1 to {maximum} characters without control characters")
        return value

    def choice(self, name: str, allowed: Collection[str], *, required: bool = True) -> str:
        value = self._string(name, required)
        if value is not None and value not in allowed:
            self.wrong(name, f"must be one of {', '.join(sorted(allowed))}")
        return value or ""

    def uuid(self, name: str, *, required: bool = True) -> UUID | None:
        value = self._string(name, required)
        if value is None:
            return None
        if not _UUID.fullmatch(value):
            self.wrong(name, "must be a UUID in lower case")
            return None
        return UUID(value)

    def amount(self, name: str, currency: str, *, positive: bool) -> int:
        """Minor units of `currency`; 0 when it is wrong."""
        value = self._string(name, required=True)
        if value is None or currency not in DECIMALS:
            return 0
        try:
            minor = parse_amount(value, currency)
        except ValueError as error:
            self.wrong(name, str(error))
            return 0
        if positive and minor == 0:
            self.wrong(name, "must be greater than zero")
        return minor

    def money(self, name: str, *, positive: bool = True, required: bool = True) -> tuple[int, str] | None:
        """Minor units and currency, or None when it is absent or wrong."""
        value = self.values.get(name)
        if value is None and (name not in self.values or not required):
            if required:
                self.wrong(name, "is required")
            return None
        if not isinstance(value, dict):
            self.wrong(name, 'must be an object such as {"amount": "12.34", "currency": "EUR"}')
            return None
        inner = Fields(value, {"amount", "currency"}, f"{self._name(name)}.")
        currency = inner.choice("currency", DECIMALS)
        minor = inner.amount("amount", currency, positive=positive)
        self.errors += inner.errors
        return None if inner.errors else (minor, currency)

    def month(self, name: str) -> tuple[datetime, datetime]:
        """First moments (UTC) of the month `YYYY-MM` and of the one after it."""
        value = self._string(name, required=True)
        if value is None or not _MONTH.fullmatch(value):
            if value is not None:
                self.wrong(name, "must be a month such as 2026-01, from 2000 to 2099")
            return datetime.min, datetime.min
        start = datetime(int(value[:4]), int(value[5:]), 1, tzinfo=UTC)
        return start, (start + timedelta(days=31)).replace(day=1)

    def limit(self) -> int:
        value = self.values.get("limit", "20")
        if not re.fullmatch(r"[0-9]{1,3}", value) or not 1 <= int(value) <= MAX_LIMIT:
            self.wrong("limit", f"must be a whole number from 1 to {MAX_LIMIT}")
            return 1
        return int(value)

    def cursor(self, scope: str) -> int:
        """The sequence number to go on below."""
        value = self.values.get("cursor")
        if value is None:
            return cursors.LAST
        try:
            return cursors.decode(value, scope)
        except ValueError as error:
            self.wrong("cursor", str(error))
            return 0


def query(allowed: Collection[str]) -> Fields:
    """The parameters that the endpoint knows; others are ignored. Raises Problem (422)."""
    known = {name: value for name, value in request.args.items() if name in allowed}
    return Fields(known, allowed)


def refuse_repeated() -> None:
    """Frameworks differ in which of two values they take, so none may be given twice. Raises Problem."""
    repeated = [name[:MAX_FIELD] for name, values in request.args.lists() if len(values) > 1]
    if repeated:
        errors = [FieldError(name, "must be given once") for name in repeated]
        raise Problem("invalid-request", "Some parameters are given more than once.", errors)


def body(allowed: Collection[str]) -> Fields:
    """The fields of the JSON object in the body. Raises Problem."""
    return fields(document(), allowed)


def document() -> object:
    """The JSON in the body. Raises Problem."""
    if request.mimetype != "application/json":
        raise Problem("unsupported-media-type", "Send the body with Content-Type: application/json.")
    return _load(_read())


def fields(value: object, allowed: Collection[str]) -> Fields:
    """Those of a document, which must be an object. Raises Problem."""
    if not isinstance(value, dict):
        raise Problem("invalid-request", "The body must be an object.", [FieldError("", "must be an object")])
    return Fields(value, allowed)


def path_id(text: str, what: str) -> UUID:
    """An id from the path; one that cannot exist is not found like any other."""
    if not _UUID.fullmatch(text):
        raise not_found(what)
    return UUID(text)


def _read() -> bytes:
    """The body, up to its limit; Werkzeug's MAX_CONTENT_LENGTH cuts a chunked one short without a word."""
    raw = b""
    try:
        while len(raw) <= MAX_BODY and (block := request.stream.read(MAX_BODY + 1 - len(raw))):
            raw += block
    except (ParseException, OSError) as error:  # gunicorn's: broken chunks, or an end before the end
        raise Problem("malformed-body", "The body ends early, or its chunks are broken.") from error
    if len(raw) > MAX_BODY:
        raise Problem("body-too-large", f"The body may have {MAX_BODY} bytes.")
    return raw


def _load(raw: bytes) -> object:
    """Strict JSON: UTF-8, no NaN, no lone surrogates, at most MAX_DEPTH deep."""
    bare = _STRING.sub(b"", raw)
    depth = deepest = 0
    for byte in bare:
        depth += (byte in b"[{") - (byte in b"]}")
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise Problem("malformed-body", f"The JSON is nested more than {MAX_DEPTH} levels deep.")
    try:
        value: object = json.loads(raw.decode(), parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate fails here
    except ValueError as error:
        raise Problem("malformed-body", f"The body is not valid JSON: {error}"[:200]) from error
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")

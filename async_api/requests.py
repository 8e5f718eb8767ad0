"""How requests are read, in this order: API key (401), repeated parameters (422), body (415, 413, 400), then
ids (404) and fields (422) by FastAPI."""

from __future__ import annotations

import json
import re
from codecs import register_error
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn
from urllib.parse import parse_qsl, quote_from_bytes
from uuid import UUID

from fastapi import Request, Response
from fastapi.routing import APIRoute

from async_api.auth import authenticate
from async_api.errors import MAX_FIELD, FieldError, Problem, not_found
from async_api.models import UUID_PATTERN
from async_api.ownership import Ownership
from async_api.reads import SHARED, Reads

MAX_BODY = 16 * 1024
MAX_DEPTH = 32

KEEP_ESCAPED = "async_api.keep_escaped"
"""For bytes that are not UTF-8: they stay escaped, as in Werkzeug, so that different names stay different."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class ReadRequest(Request):
    """A request whose body has been read and parsed."""

    def __init__(self, request: Request, raw: bytes, value: object) -> None:
        super().__init__(request.scope, request.receive)
        self._body = raw
        self._json = value


class AuthenticatedRoute(APIRoute):
    """A route that needs an API key and reads its body strictly."""

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()
        has_body = self.body_field is not None

        async def answer(request: Request) -> Response:
            _refuse_repeated(request)
            return await handler(request)

        async def read(request: Request) -> Response:
            reads: Reads = request.app.state.reads
            return await reads.answer(request, answer)

        async def handle(request: Request) -> Response:
            request.state.merchant_id = await authenticate(request)
            if not has_body:
                return await answer(request)
            _refuse_repeated(request)
            raw = await _read(request)
            response = await handler(ReadRequest(request, raw, load(raw)))
            ownership: Ownership = request.app.state.ownership
            await ownership.settle()
            return response

        return read if self.name in SHARED else handle


def path_id(text: str, what: str) -> UUID:
    """An id from the path; one that cannot exist is not found like any other."""
    if not UUID_PATTERN.fullmatch(text):
        raise not_found(what)
    return UUID(text)


async def _read(request: Request) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip(" \t").lower() != "application/json":
        raise Problem("unsupported-media-type", "Send the body with Content-Type: application/json.")
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY:
            raise Problem("body-too-large", f"The body may have {MAX_BODY} bytes.")
    return raw


def load(raw: bytes) -> object:
    """Strict JSON: UTF-8, no NaN, no lone surrogates, at most MAX_DEPTH deep. Raises Problem (400)."""
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


def _keep_escaped(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return quote_from_bytes(error.object[error.start : error.end], safe=""), error.end


register_error(KEEP_ESCAPED, _keep_escaped)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse_repeated(request: Request) -> None:
    """Frameworks differ in which of two values they take, so none may be given twice."""
    query = request.scope["query_string"].decode("latin-1")
    counts = Counter(name for name, _ in parse_qsl(query, keep_blank_values=True, errors=KEEP_ESCAPED))
    errors = [FieldError(name[:MAX_FIELD], "must be given once") for name in counts if counts[name] > 1]
    if errors:
        raise Problem("invalid-request", "Some parameters are given more than once.", errors)

"""Errors as problem+json (RFC 9457). Types are part of the contract; titles and details are for people."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import asyncpg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from async_api import tracing

logger = logging.getLogger("async_api")

BASE = "https://payments.example/problems/"
RETRY_AFTER = "1"  # seconds
MAX_FIELD = 64  # characters of a field's name that are repeated in an error


class Kind(NamedTuple):
    status: int
    title: str


KINDS = {
    "malformed-request": Kind(400, "The request cannot be read in one way only"),
    "malformed-body": Kind(400, "The body is not usable JSON"),
    "idempotency-key-invalid": Kind(400, "The idempotency key is not usable"),
    "unauthorized": Kind(401, "A valid API key is needed"),
    "not-found": Kind(404, "There is no such thing"),
    "method-not-allowed": Kind(405, "This method is not allowed here"),
    "idempotency-key-in-use": Kind(409, "The first request with this key is still running"),
    "body-too-large": Kind(413, "The body is too large"),
    "target-too-long": Kind(414, "The request line is too long"),
    "unsupported-media-type": Kind(415, "The body must be application/json"),
    "expectation-failed": Kind(417, "This expectation cannot be met"),
    "invalid-request": Kind(422, "Some values are not allowed"),
    "idempotency-key-reused": Kind(422, "The idempotency key belongs to another request"),
    "insufficient-funds": Kind(422, "The account does not hold enough"),
    "account-frozen": Kind(422, "The account is frozen"),
    "currency-mismatch": Kind(422, "The currencies differ"),
    "no-settlement-account": Kind(422, "There is no settlement account in this currency"),
    "refund-exceeds-payment": Kind(422, "More than what is left of the payment"),
    "headers-too-large": Kind(431, "The header is too large"),
    "internal": Kind(500, "Something went wrong on our side"),
    "outcome-unknown": Kind(500, "Whether this was done is not known"),
    "unavailable": Kind(503, "Try again later"),
    "fx-unavailable": Kind(503, "The exchange rate could not be had"),
}

# What asyncpg and the socket raise when the database is stopped, restarting, out of connections or silent.
UNAVAILABLE: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.OperatorInterventionError,
)


class FieldError(NamedTuple):
    field: str  # "amount.currency"
    message: str


class Problem(Exception):
    """Answers the request with the problem of this kind."""

    def __init__(self, kind: str, detail: str, errors: Iterable[FieldError] = ()) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.errors = sorted(errors)

    def response(self) -> Response:
        status, title = KINDS[self.kind]
        body: dict[str, object] = {
            "type": BASE + self.kind,
            "title": title,
            "status": status,
            "detail": self.detail,
        }
        if self.errors:
            body["errors"] = [error._asdict() for error in self.errors]
        if trace_id := tracing.trace_id():
            body["trace_id"] = trace_id
        response = Response(json.dumps(body), status, media_type="application/problem+json")
        if status == 401:
            response.headers["WWW-Authenticate"] = 'Bearer realm="payments"'
        if status == 503:
            response.headers["Retry-After"] = RETRY_AFTER
        return response


def not_found(what: str) -> Problem:
    return Problem("not-found", f"There is no {what} with this id.")


def unavailable(error: Exception) -> Problem:
    logger.warning("database: %s: %s", type(error).__name__, error)
    return Problem("unavailable", "The database cannot be reached at the moment.")


def init_app(app: FastAPI) -> None:
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)


async def _problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return invalid(error.errors()).response()


def invalid(errors: Sequence[Any]) -> Problem:
    """From Pydantic's errors; the first element of a location says body, query or path."""
    wrong = {
        FieldError(
            ".".join(map(str, error["loc"][1:]))[:MAX_FIELD], error["msg"].removeprefix("Value error, ")
        )
        for error in errors
    }
    return Problem("invalid-request", "Some fields are missing or wrong.", wrong)


async def _http_error(request: Request, error: Exception) -> Response:
    """What the router itself refuses."""
    assert isinstance(error, HTTPException)
    kinds = {404: "not-found", 405: "method-not-allowed"}
    response = Problem(kinds.get(error.status_code, "internal"), error.detail).response()
    if error.status_code == 405:
        response.headers["Allow"] = ", ".join(_allowed(request))
    return response


def _allowed(request: Request) -> list[str]:
    """All methods of this path: Starlette's own answer names those of the first route that matches only."""
    methods: set[str] = set()
    for template, operations in request.app.openapi()["paths"].items():
        if compile_path(template)[0].match(request.scope["path"]):
            methods.update(method.upper() for method in operations)
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))


async def _unexpected(_request: Request, _error: Exception) -> Response:
    """Starlette raises the error again afterwards, so that the server logs it."""
    return Problem("internal", "The error has been logged.").response()

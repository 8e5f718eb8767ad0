"""Errors as problem+json (RFC 9457). Types are part of the contract; titles and details are for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from flask import Flask, Response, current_app
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from legacy_flask import tracing

BASE = "https://payments.example/problems/"
RETRY_AFTER = "1"  # seconds


class Kind(NamedTuple):
    status: int
    title: str


KINDS = {
    "malformed-request": Kind(400, "The request cannot be read in one way only"),
    "malformed-body": Kind(400, "The body is not usable JSON"),
    "unauthorized": Kind(401, "A valid API key is needed"),
    "not-found": Kind(404, "There is no such thing"),
    "method-not-allowed": Kind(405, "This method is not allowed here"),
    "body-too-large": Kind(413, "The body is too large"),
    "unsupported-media-type": Kind(415, "The body must be application/json"),
    "invalid-request": Kind(422, "Some values are not allowed"),
    "insufficient-funds": Kind(422, "The account does not hold enough"),
    "account-frozen": Kind(422, "The account is frozen"),
    "currency-mismatch": Kind(422, "The currencies differ"),
    "no-settlement-account": Kind(422, "There is no settlement account in this currency"),
    "refund-exceeds-payment": Kind(422, "More than what is left of the payment"),
    "internal": Kind(500, "Something went wrong on our side"),
    "unavailable": Kind(503, "Try again later"),
    "fx-unavailable": Kind(503, "The exchange rate could not be had"),
}


class FieldError(NamedTuple):
    field: str  # "amount.currency"
    message: str


class Problem(Exception):
    """Answers the request with the problem of this kind."""

    def __init__(self, kind: str, detail: str, errors: Sequence[FieldError] = ()) -> None:
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
        response = Response(json.dumps(body), status, content_type="application/problem+json")
        if status == 401:
            response.headers["WWW-Authenticate"] = 'Bearer realm="payments"'
        if status == 503:
            response.headers["Retry-After"] = RETRY_AFTER
        return response


def not_found(what: str) -> Problem:
    return Problem("not-found", f"There is no {what} with this id.")


def init_app(app: Flask) -> None:
    app.register_error_handler(Problem, Problem.response)
    app.register_error_handler(HTTPException, _http_error)
    for unavailable in (OperationalError, InterfaceError, PoolTimeout):
        app.register_error_handler(unavailable, _unavailable)
    app.register_error_handler(Exception, _unexpected)


def _http_error(error: HTTPException) -> Response:
    """What Flask itself refuses: unknown paths and methods."""
    kinds = {404: "not-found", 405: "method-not-allowed"}
    kind = kinds.get(error.code or 500)
    if kind is None:
        return _unexpected(error)
    response = Problem(kind, error.description or "").response()
    for name, value in error.get_headers():
        if name == "Allow":
            response.headers["Allow"] = ", ".join(sorted(value.split(", ")))
    return response


def _unavailable(error: Exception) -> Response:
    current_app.logger.warning("database: %s", str(error).splitlines()[0])
    return Problem("unavailable", "The database cannot be reached at the moment.").response()


def _unexpected(error: Exception) -> Response:
    current_app.logger.error("unexpected error", exc_info=error)
    return Problem("internal", "The error has been logged.").response()

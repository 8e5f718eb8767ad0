"""What routes share: dependencies, parameters, and how problems are documented."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response, Security
from pydantic import BaseModel, BeforeValidator

from async_api import cursors
from async_api.auth import scheme
from async_api.database import Database
from async_api.errors import FieldError, Problem
from async_api.fx import Rates
from async_api.requests import AuthenticatedRoute, path_id

REASONS = {
    400: "The body is not usable JSON.",
    401: "The API key is missing, unknown or revoked.",
    404: "There is no such thing, or it is another merchant's.",
    409: "The first request with this `Idempotency-Key` is still running.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    422: "Some values are not allowed, or the money cannot be moved.",
    500: "Something went wrong; after a write, `outcome-unknown` says that it may have taken place.",
    503: "Try again later: nothing was done.",
}
READ = (401, 404, 422, 500, 503)
WRITE = (400, 401, 404, 409, 413, 415, 422, 500, 503)

NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "The client has this content already (`If-None-Match`)."}
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these problems."""
    schema = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": REASONS[status], "content": schema} for status in statuses}


def router(prefix: str, tag: str) -> APIRouter:
    return APIRouter(
        prefix=prefix, tags=[tag], route_class=AuthenticatedRoute, dependencies=[Security(scheme)]
    )


def answered(status: int, shown: BaseModel, location: str | None = None) -> Response:
    """The whole answer of a write, made inside its transaction so that it can be stored there."""
    headers = None if location is None else {"Location": location}
    return Response(shown.model_dump_json(by_alias=True), status, headers, "application/json")


def database(request: Request) -> Database:
    opened: Database = request.app.state.database
    return opened


def rates(request: Request) -> Rates:
    opened: Rates = request.app.state.rates
    return opened


def _digits(value: object) -> object:
    """Pydantic alone would take "+5", " 5" and "5.0" too."""
    if isinstance(value, str) and not (value.isascii() and value.isdecimal() and len(value) <= 3):
        raise ValueError("must be a whole number from 1 to 100")
    return value


def account_key(account_id: Annotated[str, Path(json_schema_extra={"format": "uuid"})]) -> UUID:
    return path_id(account_id, "account")


def payment_key(payment_id: Annotated[str, Path(json_schema_extra={"format": "uuid"})]) -> UUID:
    return path_id(payment_id, "payment")


Db = Annotated[Database, Depends(database)]
RateSource = Annotated[Rates, Depends(rates)]
AccountKey = Annotated[UUID, Depends(account_key)]
PaymentKey = Annotated[UUID, Depends(payment_key)]
Limit = Annotated[int, Query(ge=1, le=100, description="Items per page."), BeforeValidator(_digits)]
Month = Annotated[str, Query(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$", examples=["2026-01"])]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]


def below(cursor: str | None, scope: str) -> int:
    """The sequence number to go on below. Raises Problem (422)."""
    if cursor is None:
        return cursors.LAST
    try:
        return cursors.decode(cursor, scope)
    except ValueError as error:
        raise Problem("invalid-request", "The cursor is wrong.", [FieldError("cursor", str(error))]) from None

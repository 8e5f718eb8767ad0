"""The OpenAPI document: FastAPI's own, with problems as they are really answered."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from async_api.models import Problem

DESCRIPTION = """Accounts and payments on a double-entry ledger.

Errors are `application/problem+json` (RFC 9457); `type` says which. Money is a decimal string with exactly
the currency's places. Lists are read page by page: pass `next_cursor` as `cursor` until it is null."""


def openapi(app: FastAPI) -> dict[str, Any]:
    """Made once. FastAPI documents a 422 body of its own, which this service never sends."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
        schemas = made["components"]["schemas"]
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(problem.pop("$defs"))
        schemas["Problem"] = problem
        app.openapi_schema = made
    return app.openapi_schema

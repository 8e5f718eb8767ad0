"""Errors of the admin port as problem details (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response


def problem(status: int, detail: str, headers: dict[str, str] | None = None, **members: Any) -> JSONResponse:
    """`{"title", "status", "detail", ...members}` with its media type."""
    content = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail, **members}
    return JSONResponse(content, status, headers, media_type="application/problem+json")


async def on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = f"{request.method} {request.url.path}: {error.detail}"
    return problem(error.status_code, detail, dict(error.headers or {}))


async def on_error(request: Request, error: Exception) -> Response:
    return problem(500, "internal error; see the log of the control process")

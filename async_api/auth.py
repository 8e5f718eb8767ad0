"""API keys: `Authorization: Bearer <key>`; only their hashes are stored."""

from __future__ import annotations

import hashlib
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from async_api.database import Database
from async_api.errors import Problem

QUERY = "SELECT merchant_id FROM api_keys WHERE digest = $1 AND revoked_at IS NULL"

scheme = HTTPBearer(auto_error=False, description="An API key.")
"""Documents the scheme; `authenticate` does the work, before the body is read."""


def digest(key: str) -> bytes:
    # Header values arrive as Latin-1; hashing is meant for random keys, so one round is enough.
    return hashlib.sha256(key.encode("latin-1", "replace")).digest()


async def authenticate(request: Request) -> UUID:
    """The merchant of this request's key. Raises Problem (401)."""
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not key.strip():
        raise Problem("unauthorized", "Send Authorization: Bearer <api key>.")
    database: Database = request.app.state.database
    merchant_id: UUID | None = await database.fetchval(QUERY, digest(key.strip()))
    if merchant_id is None:
        raise Problem("unauthorized", "This API key is not known or was revoked.")
    return merchant_id


def merchant(request: Request) -> UUID:
    merchant_id: UUID = request.state.merchant_id
    return merchant_id


Merchant = Annotated[UUID, Depends(merchant)]

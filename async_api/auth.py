"""API keys: `Authorization: Bearer <key>`; only their hashes are stored."""

from __future__ import annotations

import hashlib
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from async_api.cache import Cache, Found
from async_api.config import Settings
from async_api.database import Database
from async_api.errors import Problem

QUERY = "SELECT merchant_id FROM api_keys WHERE digest = $1 AND revoked_at IS NULL"

scheme = HTTPBearer(auto_error=False, description="An API key.")
"""Documents the scheme; `authenticate` does the work, before the body is read."""


def digest(key: str) -> bytes:
    # Header values arrive as Latin-1; hashing is meant for random keys, so one round is enough.
    return hashlib.sha256(key.encode("latin-1", "replace")).digest()


def credential(request: Request) -> bytes:
    """Digest of the request's key. Raises Problem (401)."""
    lines = ",".join(request.headers.getlist("authorization"))  # several are one that nobody has, as in WSGI
    kind, _, key = lines.partition(" ")
    if kind.lower() != "bearer" or not key.strip():
        raise Problem("unauthorized", "Send Authorization: Bearer <api key>.")
    return digest(key.strip())


class Keys:
    """Finds the merchant of a key, also in the cache: a revoked one may work for `cache_key_ttl` more."""

    def __init__(self, database: Database, cache: Cache | None, settings: Settings) -> None:
        self._database = database
        self._cache = cache
        self._prefix = settings.cache_prefix
        self._ttl = settings.cache_key_ttl

    async def merchant(self, digest: bytes) -> UUID:
        """Raises Problem (401). What is unknown is asked for each time: a new key works at once."""
        if self._cache is None:
            return await self._find(digest)

        async def load() -> Found:
            return Found((await self._find(digest)).bytes, self._ttl)

        return UUID(bytes=await self._cache.fetch("api_key", f"{self._prefix}:key:{digest.hex()}", load))

    async def _find(self, digest: bytes) -> UUID:
        merchant_id: UUID | None = await self._database.fetchval(QUERY, digest)
        if merchant_id is None:
            raise Problem("unauthorized", "This API key is not known or was revoked.")
        return merchant_id


async def authenticate(request: Request) -> UUID:
    """The merchant of this request's key. Raises Problem (401)."""
    keys: Keys = request.app.state.keys
    return await keys.merchant(credential(request))


def merchant(request: Request) -> UUID:
    merchant_id: UUID = request.state.merchant_id
    return merchant_id


Merchant = Annotated[UUID, Depends(merchant)]

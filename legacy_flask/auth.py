"""API keys: `Authorization: Bearer <key>`; only their hashes are stored."""

from __future__ import annotations

import hashlib
from uuid import UUID

from flask import g, request
from sqlalchemy import select

from legacy_flask.db import session
from legacy_flask.errors import Problem
from legacy_flask.models import ApiKey


def digest(key: str) -> bytes:
    # Header values arrive as Latin-1; hashing is meant for random keys, so one round is enough.
    return hashlib.sha256(key.encode("latin-1", "replace")).digest()


def authenticate() -> None:
    """Find the merchant of this request's key. Raises Problem (401)."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Problem("unauthorized", "Send Authorization: Bearer <api key>.")
    query = select(ApiKey.merchant_id).where(
        ApiKey.digest == digest(key.strip()), ApiKey.revoked_at.is_(None)
    )
    merchant_id = session().scalar(query)
    if merchant_id is None:
        raise Problem("unauthorized", "This API key is not known or was revoked.")
    g.merchant_id = merchant_id


def merchant() -> UUID:
    merchant_id: UUID = g.merchant_id
    return merchant_id

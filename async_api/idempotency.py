"""Idempotency keys: claim, effect and stored answer are one transaction, so there is nothing in between.

A lock on the key that ends with the transaction lets one request in; the others get 409. What was rolled back
is as if it had never been asked for: the key is free again. Answers are kept for a day.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import Depends, Header, Request, Response

from async_api import transactions
from async_api.auth import Merchant
from async_api.database import Connection, Database
from async_api.errors import Problem

LOCK = "SELECT pg_try_advisory_xact_lock($1)"
EXISTS = "SELECT 1 FROM idempotency_keys WHERE merchant_id = $1 AND scope = $2 AND key = $3"
FIND = """
    SELECT fingerprint, status, media_type, location, body FROM idempotency_keys
    WHERE merchant_id = $1 AND scope = $2 AND key = $3 AND created_at > now() - interval '1 day'"""
STORE = """
    INSERT INTO idempotency_keys
        (merchant_id, scope, key, fingerprint, status, media_type, location, body, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now())
    ON CONFLICT (merchant_id, scope, key) DO UPDATE SET
        fingerprint = excluded.fingerprint, status = excluded.status, media_type = excluded.media_type,
        location = excluded.location, body = excluded.body, created_at = excluded.created_at"""
PRUNE = """
    DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM idempotency_keys WHERE created_at < now() - interval '1 day'
        LIMIT 2 FOR UPDATE SKIP LOCKED))"""  # two for each that is added: it never grows beyond a day's keys

_KEY = re.compile(r'"(?:[ !#-\[\]-~]|\\["\\]){1,255}"|[!#-~][ -~]{0,254}')


class Claim(NamedTuple):
    """`scope` is method and path template; `fingerprint` is over target and body as they came."""

    merchant_id: UUID
    scope: str
    key: str
    fingerprint: bytes

    @property
    def place(self) -> tuple[UUID, str, str]:
        return self.merchant_id, self.scope, self.key


class Done(NamedTuple):
    """What a write answers, and a query that finds a row only if it took place."""

    response: Response
    proof: transactions.Query


Work = Callable[[Connection], Awaitable[Done]]


KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="1 to 255 printable ASCII characters: a repetition within a day gets the first answer.",
    ),
]


async def claim(request: Request, merchant: Merchant, declared: KeyHeader = None) -> Claim | None:
    """What the request's Idempotency-Key stands for. Raises Problem (400).

    `declared` is for the document; it would hide a second header line.
    """
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        raise Problem("idempotency-key-invalid", "Send one key of 1 to 255 printable ASCII characters.")
    key = keys[0]
    if key.startswith('"'):  # "abc" and abc are one key
        key = re.sub(r"\\(.)", r"\1", key[1:-1])
    target = f"{request.url.path}?{request.url.query}".encode()
    fingerprint = hashlib.sha256(target + b"\n" + await request.body()).digest()
    return Claim(merchant, f"{request.method} {request.scope['route'].path}", key, fingerprint)


OptionalClaim = Annotated[Claim | None, Depends(claim)]


async def execute(database: Database, claim: Claim, work: Work, retry: transactions.Retry) -> Response:
    """The answer of `work`, once committed; or, for a key that was used before, the answer of that time.

    Raises Problem: `idempotency-key-in-use` (409), `idempotency-key-reused` (422), and the transaction's own.
    """

    async def once(connection: Connection) -> Done:
        return await _once(connection, claim, work)

    return (await transactions.run(database, once, lambda done: done.proof, retry)).response


async def _once(connection: Connection, claim: Claim, work: Work) -> Done:
    proof = (EXISTS, *claim.place)
    if not await connection.fetchval(LOCK, _number(claim)):
        raise Problem("idempotency-key-in-use", "The first request with this key is still running.")
    row = await connection.fetchrow(FIND, *claim.place)
    if row is not None:
        if row["fingerprint"] != claim.fingerprint:
            raise Problem("idempotency-key-reused", "This key was used for another request.")
        response = Response(row["body"], row["status"], media_type=row["media_type"])
        if row["location"] is not None:
            response.headers["Location"] = row["location"]
        response.headers["Idempotent-Replayed"] = "true"
        return Done(response, proof)
    response = (await work(connection)).response
    await connection.execute(PRUNE)
    await connection.execute(
        STORE,
        *claim.place,
        claim.fingerprint,
        response.status_code,
        response.media_type,
        response.headers.get("location"),
        bytes(response.body),
    )
    return Done(response, proof)


def _number(claim: Claim) -> int:
    """The lock's number: two keys that share one only exclude each other for a moment."""
    digest = hashlib.sha256("\0".join(map(str, claim.place)).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)

"""Erases one person's, or one path's, stored answers and samples, in memory and in the store.

First the comparer is told, so that nothing that it holds comes into the store afterwards. Then it is written
to the audit log, without the person's data, and erased.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from proxy import owned
from proxy.control.errors import Refusal
from proxy.control.log import log
from proxy.control.state import State
from proxy.core.privacy.erasure import MAX_NAME, NameMatcher, PathMatcher, PathPattern
from proxy.core.privacy.redact import KEY_BYTES, KEY_NAME, digests_of
from proxy.core.resilience.identity import is_principal, principals_of
from proxy.core.traffic.authors import Author
from proxy.store import StoreUnavailable, audit
from proxy.store.erasure import Erased, ErasureRequest, erase
from proxy.store.migrations import TooNew


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /api/v1/forget`: one of the first two."""

    principal: str = ""
    path: str = ""
    dry_run: bool = False


class Erasure(NamedTuple):
    """`left` says what could not be erased, and what to do."""

    erased: Erased
    waiting: int  # samples that were not in the store yet
    left: tuple[str, ...]


async def forget(state: State, request: Request, author: Author) -> Erasure:
    """Raises Refusal: 422 for what cannot be looked for, 503 if the store does not answer."""
    wanted = _wanted(state, request)
    url = state.reloader.started.server.state
    try:
        if request.dry_run:
            found = await erase(url, wanted, dry_run=True)
            return Erasure(found, 0, tuple(_left(request, found)))
        waiting = await _tell_comparer(state, request)
        found = await erase(url, wanted, dry_run=True)
        await _record(url, request, found, author)
        found = await erase(url, wanted, dry_run=False)
    except (StoreUnavailable, TimeoutError) as error:
        reason = str(error) or "it took too long"
        raise Refusal(
            503, f"the store does not answer: {reason}; run this again, it erases the rest"
        ) from None
    log.info("erased by %s: %d stored answers, %d samples", author.name or "?", found.keys, found.samples)
    left = list(_left(request, found))
    if waiting is None:
        left.append("the comparer does not answer, and may store samples yet: run this again in a minute")
    return Erasure(found, waiting or 0, tuple(left))


def _wanted(state: State, request: Request) -> ErasureRequest:
    if bool(request.principal) == bool(request.path):
        raise Refusal(422, "give one of principal and path")
    if request.path:
        try:
            pattern = PathPattern.parse(request.path)
        except ValueError as error:
            raise Refusal(422, f"the path {error}") from None
        return ErasureRequest(covers=pattern.covers, sample=PathMatcher(pattern))
    name = request.principal
    if len(name) > MAX_NAME or not name.strip():
        raise Refusal(422, f"the principal is not 1 to {MAX_NAME} characters")
    try:
        principals = principals_of(name, state.reloader.running.snapshot.idempotency.principal)
    except UnicodeEncodeError:
        raise Refusal(422, "the principal is not text") from None
    key = None if state.comparer is None else _redaction_key(state.comparer.folder)
    return ErasureRequest(principals, sample=NameMatcher(name, () if key is None else digests_of(name, key)))


def _redaction_key(folder: Path) -> bytes | None:
    """Of the comparer; None if it has never run, or somebody else has put it there."""
    try:
        with os.fdopen(owned.open_own(folder / KEY_NAME, os.O_RDONLY), "rb") as file:
            key = file.read(KEY_BYTES + 1)
    except OSError:
        return None
    return key if len(key) == KEY_BYTES else None


async def _tell_comparer(state: State, request: Request) -> int | None:
    if state.comparer is None:
        return 0
    return await state.comparer.forget(request.principal, request.path)


async def _record(url: str, request: Request, found: Erased, author: Author) -> None:
    """Raises StoreUnavailable: what is erased is always in the audit log, and its data never."""
    by = "principal" if request.principal else "path"
    details: dict[str, Any] = {"by": by, "keys": found.keys, "samples": found.samples}
    if author.claimed:
        details["claimed"] = author.claimed
    try:
        async with audit.opened(url) as engine, engine.begin() as connection:
            await audit.append(connection, time.time(), author.name, "forget", details)
    except (SQLAlchemyError, OSError, TooNew) as error:
        raise StoreUnavailable(f"the audit log: {getattr(error, 'orig', None) or error}") from error


def _left(request: Request, found: Erased) -> Iterator[str]:
    if found.under_way:
        yield (
            f"{found.under_way} writes have no outcome yet, and an answer that still comes is stored: "
            "run this again once `strangler writes --state sent` has none of them"
        )
    if found.unsure:
        yield (
            f"{found.unsure} stored answers of endpoints with parameters may be of this path, "
            "but paths of writes are not stored: use --principal"
        )
    if found.unreadable:
        yield f"{found.unreadable} samples were written by another version and cannot be read"
    if is_principal(request.principal):
        yield "samples do not show the hash of a principal: run this with its value, or with --path"
    for file in found.unclean:
        yield f"{file} is in use and may hold what was erased until its next checkpoint: run this again"

"""What reads have in common: identical ones are collapsed, some are cached, and each answer has its ETag.

What may be cached depends on who writes. While Flask still does, only what can no longer change: payments
that are refunded in full. Once this service is the only writer (ownership.py), also balances and lists,
each until a row that it shows changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import Request, Response

from async_api import conditional, metrics
from async_api.auth import Keys, credential
from async_api.cache import Cache, Found
from async_api.config import Settings
from async_api.flights import Flights
from async_api.models import Account, Payment, PaymentPage, TransactionPage
from async_api.ownership import Ownership

Handler = Callable[[Request], Awaitable[Response]]

MAX_TARGET = 256  # characters of a target that is cached
SETTLED = "refunded"  # the status after which a payment never changes

SHARED: Final = frozenset({"get_account", "list_transactions", "get_payment", "list_payments", "get_quote"})
"""Routes that answer with a whole JSON document. The statement is a stream and goes its own way."""


def version() -> str:
    """Of the answers' shape: after a change of the models, old values are not found any more."""
    models = (Account, TransactionPage, Payment, PaymentPage)
    shapes = json.dumps([model.model_json_schema(mode="serialization") for model in models])
    return hashlib.blake2b(shapes.encode(), digest_size=4).hexdigest()


def tag(request: Request) -> str:
    """The row whose change ends the answer, as the database's triggers name it; see migration 0003."""
    parameters, name = request.path_params, request.scope["route"].name
    if name == "get_payment":
        return f"payment:{parameters['payment_id']}"
    account = parameters.get("account_id") or request.query_params.get("account_id")
    return f"account:{account}" if account else f"merchant:{request.state.merchant_id}"


class Reads:
    def __init__(self, settings: Settings, keys: Keys, cache: Cache | None, ownership: Ownership) -> None:
        self._keys = keys
        self._cache = cache
        self._ownership = ownership
        self._tags = settings.cache_prefix  # without the version: all versions hear of a change
        self._prefix = f"{settings.cache_prefix}:{version()}"
        self._settled_ttl = settings.cache_settled_ttl
        self._owned_ttl = settings.cache_owned_ttl
        self._flights: Flights[Response] | None = None
        if settings.collapse:
            self._flights = Flights(settings.collapse_wait, metrics.COLLAPSED.labels("read").inc)

    async def answer(self, request: Request, handler: Handler) -> Response:
        """Raises Problem."""
        digest = credential(request)

        async def read() -> Response:
            request.state.merchant_id = await self._keys.merchant(digest)
            return conditional.tag(await self._read(request, handler))

        if self._flights is None:
            return conditional.answer(request, await read())
        key = (digest, request.scope["raw_path"], request.scope["query_string"])
        return conditional.answer(request, await self._flights.join(key, read))

    async def _read(self, request: Request, handler: Handler) -> Response:
        route = request.scope["route"].name
        target = f"{request.url.path}?{request.url.query}"
        owned = self._ownership.trusted
        if (
            self._cache is None
            or route == "get_quote"
            or not (owned or route == "get_payment")
            or len(target) > MAX_TARGET
        ):
            return await handler(request)

        async def load() -> Found:
            body = bytes((await handler(request)).body)
            if owned:
                return Found(body, self._owned_ttl)
            return Found(body, self._settled_ttl if json.loads(body)["status"] == SETTLED else 0)

        name = f"{self._prefix}:{request.state.merchant_id}:{target}"
        if owned:
            place = f"{self._tags}:{tag(request)}"
            body = await self._cache.fetch_tagged(route, f"{name}:owned", place, load)
        else:
            body = await self._cache.fetch_if_kept(route, name, load)
        return Response(body, media_type="application/json")

"""What an amount is worth in another currency."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from async_api.models import Quote, QuoteRequest
from async_api.money import Money, to_minor
from async_api.routes.common import NOT_MODIFIED, RateSource, problems, router

routes = router("/quotes", "quotes")


@routes.get("", responses=NOT_MODIFIED | problems(401, 422, 500, 503))
async def get_quote(wanted: Annotated[QuoteRequest, Query()], rates: RateSource) -> Quote:
    found = await rates.rate(wanted.base, wanted.quote)
    minor = to_minor(wanted.amount)
    return Quote.model_construct(
        base=wanted.base,
        quote=wanted.quote,
        rate=found.rate,
        amount=Money.of(minor, wanted.base),
        converted=Money.of(rates.convert(minor, wanted.base, wanted.quote, found.rate), wanted.quote),
        quoted_at=found.quoted_at,
        expires_at=found.expires_at,
    )

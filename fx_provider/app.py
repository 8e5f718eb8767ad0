"""`GET /rates/{base}/{quote}`, `GET /healthz`; `PUT /behaviour` changes latency and failure while running."""

from __future__ import annotations

import asyncio
import random
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

PER_EURO = {"CHF": "0.9412", "EUR": "1", "GBP": "0.8571", "JPY": "163.27", "KWD": "0.3329", "USD": "1.0842"}


@dataclass(slots=True)
class Behaviour:
    latency: float = 0.02  # seconds before every answer
    failure: float = 0.0  # share of requests answered with 500, from 0 to 1
    valid_for: float = 30.0  # seconds that a rate stands
    drift: float = 0.0  # rates vary by up to this share, as real ones do


def create_app(behaviour: Behaviour, seed: int = 1) -> Starlette:
    """The provider; the same seed fails the same requests."""
    dice = random.Random(seed)

    async def rate(request: Request) -> Response:
        await asyncio.sleep(behaviour.latency)
        if dice.random() < behaviour.failure:
            return JSONResponse({"error": "out of order"}, 500)
        base, quote = request.path_params["base"], request.path_params["quote"]
        if base not in PER_EURO or quote not in PER_EURO:
            return JSONResponse({"error": f"pair {base}/{quote} is not traded"}, 404)
        factor = Decimal(1 + behaviour.drift * dice.uniform(-1, 1))
        value = Decimal(PER_EURO[quote]) / Decimal(PER_EURO[base]) * factor
        answer = {"base": base, "quote": quote, "rate": f"{value:.6f}", "valid_for": behaviour.valid_for}
        return JSONResponse(answer | {"as_of": datetime.now(UTC).isoformat()})

    async def change(request: Request) -> Response:
        try:
            wanted = {name: float(value) for name, value in (await request.json()).items()}
            unknown = wanted.keys() - asdict(behaviour).keys()
        except (ValueError, TypeError, AttributeError):
            return JSONResponse({"error": "an object of numbers is needed"}, 422)
        if unknown or any(not 0 <= value <= 3600 for value in wanted.values()):
            return JSONResponse({"error": f"numbers from 0 for {', '.join(asdict(behaviour))}"}, 422)
        for name, value in wanted.items():
            setattr(behaviour, name, value)
        return JSONResponse(asdict(behaviour))

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/rates/{base}/{quote}", rate),
            Route("/behaviour", change, methods=["PUT"]),
            Route("/healthz", healthz),
        ]
    )

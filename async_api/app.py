"""The application factory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from async_api import document, errors, metrics, tracing
from async_api.auth import Keys
from async_api.cache import Cache
from async_api.config import Settings
from async_api.database import Database
from async_api.middleware import Envelope, Measured, Metering
from async_api.outbox import Outbox
from async_api.ownership import Ownership
from async_api.rates import SharedRates
from async_api.reads import Reads
from async_api.routes import accounts, health, payments, quotes
from async_api.transactions import Retry
from async_api.wire import OneReading


def create_app(settings: Settings | None = None) -> FastAPI:
    """Raises pydantic.ValidationError naming the environment variables at fault."""
    settings = settings or Settings()
    database = Database(settings)
    cache = Cache(settings) if settings.redis_url else None
    rates = SharedRates(settings, cache)
    outbox = Outbox(database, cache, settings.cache_prefix) if cache else None
    ownership = Ownership(settings, outbox)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await database.open()
        metrics.POOL_SIZE.set(settings.pool_max)
        watch = asyncio.create_task(ownership.run())
        yield
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        await rates.close()
        if cache:
            await cache.close()
        await database.close()
        tracing.close()

    app = FastAPI(
        title="Payments",
        version="1.0",
        lifespan=lifespan,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.openapi = lambda: document.openapi(app)  # type: ignore[method-assign]
    app.state.settings = settings
    app.state.database = database
    app.state.rates = rates
    app.state.retry = Retry(
        settings.retry_attempts, settings.retry_base, settings.retry_cap, settings.settle_timeout
    )
    app.state.keys = Keys(database, cache, settings)
    app.state.ownership = ownership
    app.state.reads = Reads(settings, app.state.keys, cache, ownership)
    _wrap(app, settings)
    errors.init_app(app)
    for routes in (accounts.routes, payments.routes, quotes.routes, health.routes):
        app.include_router(routes)
    tracing.init_app(app)
    return app


def _wrap(app: FastAPI, settings: Settings) -> None:
    """The last one added is the outermost."""
    if "metering" in settings.async_fault:
        app.add_middleware(Metering)
    app.add_middleware(OneReading)
    app.add_middleware(Envelope, version=settings.app_version)
    if settings.metrics_port:
        app.add_middleware(Measured)

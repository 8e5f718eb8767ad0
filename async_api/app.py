"""The application factory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from async_api import document, errors, tracing
from async_api.config import Settings
from async_api.database import Database
from async_api.fx import Rates
from async_api.middleware import Envelope
from async_api.routes import accounts, health, payments, quotes
from async_api.transactions import Retry


def create_app(settings: Settings | None = None) -> FastAPI:
    """Raises pydantic.ValidationError naming the environment variables at fault."""
    settings = settings or Settings()
    database, rates = Database(settings), Rates(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await database.open()
        yield
        await rates.close()
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
    app.add_middleware(Envelope, version=settings.app_version)
    errors.init_app(app)
    for routes in (accounts.routes, payments.routes, quotes.routes, health.routes):
        app.include_router(routes)
    tracing.init_app(app)
    return app

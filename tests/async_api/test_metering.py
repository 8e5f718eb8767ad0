"""The planted fault that only users meet: no comparison may find it."""

from __future__ import annotations

import asyncio
from zlib import crc32

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from async_api.app import create_app
from async_api.config import Settings
from async_api.middleware import Metering

USERS = [f"user-{number:04}" for number in range(200)]


def statuses(path: str, method: str = "GET", headers: dict[str, str] | None = None) -> dict[str, int]:
    """By user, of a service that answers everything."""

    async def answer(_request: Request) -> Response:
        return PlainTextResponse("ok")

    routes = [Route("/{rest:path}", answer, methods=["GET", "PUT", "POST"])]
    app = Metering(Starlette(routes=routes))

    async def ask() -> dict[str, int]:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://it") as client:
            return {
                user: (
                    await client.request(method, path, headers={"x-user-id": user, **(headers or {})})
                ).status_code
                for user in USERS
            }

    return asyncio.run(ask())


def test_two_users_in_five_are_failed_and_always_the_same() -> None:
    found = statuses("/accounts/a/transactions")
    assert found == {user: 500 if crc32(user.encode()) % 5 < 2 else 200 for user in USERS}
    assert 60 < list(found.values()).count(500) < 100


@pytest.mark.parametrize(
    ("path", "method", "headers"),
    [("/accounts/a", "GET", {"x-shadow": "1"}), ("/accounts/a", "PUT", None), ("/payments", "GET", None)],
)
def test_nothing_else_is_metered(path: str, method: str, headers: dict[str, str] | None) -> None:
    assert set(statuses(path, method, headers).values()) == {200}


@pytest.mark.parametrize(
    ("fault", "planted"), [("", False), ("quote-rounding", False), ("quote-rounding,metering", True)]
)
def test_it_is_planted_by_its_name(fault: str, planted: bool) -> None:
    settings = Settings(database_url="postgresql://nowhere/x", async_fault=fault)
    middleware = [each.cls for each in create_app(settings).user_middleware]
    assert (Metering in middleware) is planted

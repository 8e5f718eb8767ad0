"""Whether this process can do its work."""

from __future__ import annotations

from fastapi import APIRouter

from async_api.models import Health
from async_api.routes.common import Db, problems

routes = APIRouter(tags=["health"])


@routes.get("/healthz", responses=problems(500, 503))
async def healthz(database: Db) -> Health:
    await database.fetchval("SELECT 1")
    return Health(status="ok")

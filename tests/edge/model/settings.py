"""Routing tables with pools so small that requests wait all the time, and timeouts that pass together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from proxy.config import load_text
from proxy.core.routing.snapshot import Snapshot


@dataclass(frozen=True)
class Settings:
    connections: int = 1
    idempotent: bool = False
    health: bool = False
    weight: int = 0
    pool_idle: int = 4


@lru_cache(maxsize=256)
def snapshot(settings: Settings) -> Snapshot:
    health = ", health: {path: /health, interval: 1s}" if settings.health else ""
    common = (
        f"connections: {settings.connections}, idempotent: {str(settings.idempotent).lower()}{health}, "
        f"timeouts: {{connect: 2s, response: 2s, idle: 2s, pool_idle: {settings.pool_idle}s}}"
    )
    text = f"""
server:
  state: sqlite:////nowhere/state.db
  timeouts: {{header: 2s, body: 2s, keep_alive: 20s}}
  buffers: {{request: 8}}
idempotency: {{max_response: 1KiB}}
backends:
  legacy: {{url: 'http://127.0.0.1:1', {common}}}
  async: {{urls: ['http://127.0.0.1:2', 'http://127.0.0.1:3'], {common}}}
endpoints:
  GET /read: {{weight: {settings.weight}}}
  POST /pay: {{weight: {settings.weight}, force: model}}
  PUT /move: {{weight: {settings.weight}, force: model, fallback: legacy, idempotency: optional}}
"""
    return load_text(text, source="model", environ={}).snapshot

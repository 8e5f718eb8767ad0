"""Plain HTTP. Without `verify`, httpx2 reads the system's certificates anew for every client it makes: 60 ms
of CPU each, which waiting for a condition would pay many times."""

from __future__ import annotations

import ssl
from typing import Any

import httpx2

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def get(url: str, **options: Any) -> httpx2.Response:
    """As `httpx2.get`, without proxies of the environment."""
    return httpx2.get(url, trust_env=False, verify=NO_TLS, **options)


def post(url: str, **options: Any) -> httpx2.Response:
    """As `httpx2.post`, without proxies of the environment."""
    return httpx2.post(url, trust_env=False, verify=NO_TLS, **options)


def client(**options: Any) -> httpx2.Client:
    return httpx2.Client(trust_env=False, verify=NO_TLS, **options)


def async_client(**options: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(trust_env=False, verify=NO_TLS, **options)

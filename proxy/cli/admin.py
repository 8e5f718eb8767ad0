"""Asks the admin port of a running proxy."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from proxy.cli.errors import NO, fail

TOKEN = "STRANGLER_ADMIN_TOKEN"


def get(admin: str, path: str) -> Any:
    """The JSON answer; exits 1 if there is none."""
    status, content = _ask(admin, "GET", path, 10.0)
    if status >= 400:
        fail(f"{admin}: {detail(content)}", NO)
    return content


def detail(answer: Any) -> str:
    """Why the admin port says no."""
    return str(answer.get("detail", answer) if isinstance(answer, dict) else answer)


def ask(admin: str, path: str) -> tuple[int, Any]:
    """Status and JSON answer; exits 1 if there is none."""
    return _ask(admin, "GET", path, 10.0)


def post(
    admin: str, path: str, timeout: float, *, params: dict[str, str] | None = None, json: object = None
) -> tuple[int, Any]:
    """Status and JSON answer of a change, with token and author; exits 1 if there is none."""
    return _ask(admin, "POST", path, timeout, params=params, json=json, headers=headers())


def _ask(admin: str, method: str, path: str, timeout: float, **more: Any) -> tuple[int, Any]:
    import httpx2  # only commands that ask pay for it

    try:
        # Never through a proxy of the environment: the admin port is on this machine or network.
        with httpx2.Client(timeout=timeout, trust_env=False) as client:
            answer = client.request(method, admin + path, **more)
            return answer.status_code, answer.json()
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        fail(f"{admin}: {error}; is the proxy running? Otherwise check --config and --admin", NO)
    except ValueError:
        fail(f"{admin} is not the admin port of a proxy; check --admin", NO)


def peek(admin: str, path: str) -> Any:
    """The JSON answer of a proxy that may or may not run there; None if there is none."""
    import httpx2

    with (
        contextlib.suppress(httpx2.HTTPError, httpx2.InvalidURL, ValueError),
        httpx2.Client(base_url=admin, timeout=2.0, trust_env=False) as client,
    ):
        answer = client.get(path)
        return answer.json() if answer.status_code == 200 else None
    return None


def announce(admin: str, hash: str) -> None:
    """Tells the proxy who is about to save this configuration; it ignores this without the token."""
    import httpx2

    with (
        contextlib.suppress(httpx2.HTTPError, httpx2.InvalidURL),
        httpx2.Client(base_url=admin, timeout=2.0, trust_env=False) as client,
    ):
        client.post("/api/v1/announce", json={"hash": hash}, headers=headers())


def author() -> str:
    """Who runs this command, according to the environment."""
    name = os.environ.get("SUDO_USER") or os.environ.get("USER") or os.environ.get("LOGNAME") or ""
    return "".join(char for char in name if " " <= char <= "~")[:100]


def headers() -> dict[str, str]:
    """Token (from STRANGLER_ADMIN_TOKEN) and author of a change."""
    token = os.environ.get(TOKEN, "")
    return {"x-author": author(), **({"authorization": f"Bearer {token}"} if token else {})}

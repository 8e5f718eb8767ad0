"""The status page: the API's figures for people."""

from __future__ import annotations

import secrets
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from proxy.control.state import State

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class Pages:
    """Handlers of the pages; `routes` lists them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._status = _TEMPLATES.get_template("status.html")

    def routes(self) -> list[Route]:
        return [Route("/", self.status)]

    async def status(self, request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        html = self._status.render(
            nonce=nonce,
            config=self._state.config(),
            figures=self._state.endpoints(),
            ready=self._state.supervisor.ready(),
            draining=self._state.supervisor.draining,
        )
        policy = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return HTMLResponse(html, headers={"content-security-policy": policy})

"""Keyed writes on the admin port: the list, and settling unknown outcomes."""

from __future__ import annotations

from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from proxy.control.admin.json.records import write_json, writes_json
from proxy.control.admin.problems import problem
from proxy.control.admin.requests import author_of, limit_of, limited_body
from proxy.control.state import State
from proxy.store import StoreUnavailable
from proxy.store.writes import STATES, NotSettled, page, settle


class Settlement(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /api/v1/writes/{id}/settle`."""

    as_: Literal["done", "not-done"] = msgspec.field(name="as")
    reason: str


class WritesHandler:
    """Handlers over the store that `server.state` names; `routes` lists them."""

    def __init__(self, state: State) -> None:
        self._url = state.reloader.started.server.state

    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/writes", self.listing),
            Route("/api/v1/writes/{id}/settle", self.settle, methods=["POST"]),
        ]

    async def listing(self, request: Request) -> Response:
        """Those that changed last first; `?state=unknown`, `?limit=100`."""
        wanted = request.query_params.get("state")
        state = next((each for each in STATES if each == wanted), None)
        if wanted is not None and state is None:
            return problem(400, f"state must be one of {', '.join(STATES)}")
        limit = limit_of(request)
        try:
            found = await page(self._url, state, limit)
        except (StoreUnavailable, TimeoutError) as error:
            return problem(503, f"the store does not answer: {error}", {"retry-after": "1"})
        return JSONResponse(writes_json(found))

    async def settle(self, request: Request) -> Response:
        """Body: `{"as": "done" | "not-done", "reason": "..."}`."""
        try:
            wanted = msgspec.json.decode(await limited_body(request), type=Settlement)
        except msgspec.DecodeError as error:
            return problem(400, f'the body is not {{"as": "done" or "not-done", "reason"}}: {error}')
        if not wanted.reason.strip():
            return problem(400, "reason must not be empty")
        author = author_of(request)
        try:
            record = await settle(
                self._url,
                request.path_params["id"],
                done=wanted.as_ == "done",
                reason=wanted.reason,
                author=author.name,
                claimed=author.claimed,
            )
        except NotSettled as error:
            return problem(409, str(error))
        except (StoreUnavailable, TimeoutError) as error:
            return problem(503, f"the store does not answer: {error}", {"retry-after": "1"})
        return JSONResponse(write_json(record))

"""Erasing one person's data on the admin port."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from proxy.control import forgetting
from proxy.control.admin.changes import refused
from proxy.control.admin.json.records import erased_json
from proxy.control.admin.problems import problem
from proxy.control.admin.requests import author_of, limited_body
from proxy.control.errors import Refusal
from proxy.control.state import State


class ForgetHandler:
    """A handler over the store that `server.state` names; `routes` lists it."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        return [Route("/api/v1/forget", self.forget, methods=["POST"])]

    async def forget(self, request: Request) -> Response:
        """Body: `{"principal": "..."}` or `{"path": "..."}`, and `"dry_run": true` to count only."""
        try:
            wanted = msgspec.json.decode(await limited_body(request), type=forgetting.Request)
            outcome = await forgetting.forget(self._state, wanted, author_of(request))
        except msgspec.DecodeError:  # its text may hold what was sent
            return problem(400, 'the body is not {"principal" or "path", "dry_run"}')
        except Refusal as refusal:
            return refused(refusal)
        return JSONResponse(erased_json(outcome))

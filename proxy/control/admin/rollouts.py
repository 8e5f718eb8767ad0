"""Rollouts on the admin port: where they stand, and what people do to them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from proxy.control.admin.changes import refused
from proxy.control.admin.json.rollouts import dry_run_json, freeze_json, history_of_json, rollouts_json
from proxy.control.admin.problems import problem
from proxy.control.admin.requests import author_of, limit_of, limited_body
from proxy.control.errors import Refusal
from proxy.control.rollouts.parts import Rollouts
from proxy.control.rollouts.planning import dry_run
from proxy.control.state import State
from proxy.core.rollout.actions import ACTIONS
from proxy.store import StoreUnavailable

Text = Annotated[str, msgspec.Meta(max_length=1000)]
NONE = "this process runs no rollouts"


class RolloutAction(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /api/v1/rollouts/{action}`."""

    endpoint: Text
    reason: Text = ""


class FreezeRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /api/v1/rollouts/freeze` and `unfreeze`."""

    reason: Text


class RolloutsHandler:
    """Handlers over the state; `routes` lists them."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/rollouts", self.listing),
            Route("/api/v1/rollouts/history", self.history),
            Route("/api/v1/rollouts/plan", self.plan),
            Route("/api/v1/rollouts/freeze", self.freeze, methods=["POST"]),
            Route("/api/v1/rollouts/unfreeze", self.unfreeze, methods=["POST"]),
            Route("/api/v1/rollouts/{action}", self.act, methods=["POST"]),
        ]

    async def listing(self, request: Request) -> Response:
        """Every endpoint in a rollout, in the order of the file."""
        try:
            return JSONResponse(rollouts_json(self._rollouts.figures()))
        except Refusal as refusal:
            return refused(refusal)

    async def history(self, request: Request) -> Response:
        """`?endpoint=` of one, `?limit=100`; newest first."""
        limit = limit_of(request)
        try:
            found = await self._rollouts.past(request.query_params.get("endpoint"), limit)
        except Refusal as refusal:
            return refused(refusal)
        except StoreUnavailable as error:
            return problem(503, f"the state database does not answer: {error}", {"retry-after": "1"})
        return JSONResponse(history_of_json(found))

    async def plan(self, request: Request) -> Response:
        """`?endpoint=`, and `?plan=` for another plan than its own."""
        name = request.query_params.get("endpoint", "")
        if not name:
            return problem(400, "endpoint is missing: ?endpoint=GET%20/path")
        snapshot = self._state.reloader.effective
        try:
            found = dry_run(snapshot, self._state.collector, name, request.query_params.get("plan", ""))
        except Refusal as refusal:
            return refused(refusal)
        return JSONResponse(dry_run_json(found))

    async def act(self, request: Request) -> Response:
        """Body: `{"endpoint": "METHOD /path", "reason": ""}`."""
        action = next((each for each in ACTIONS if each == request.path_params["action"]), None)
        if action is None:
            return problem(404, f"actions are {', '.join(ACTIONS)}, freeze and unfreeze")
        try:
            wanted = msgspec.json.decode(await limited_body(request), type=RolloutAction)
            author = author_of(request)
            done = await self._rollouts.actions.perform(
                action, wanted.endpoint, author, wanted.reason.strip()
            )
        except msgspec.DecodeError as error:
            return problem(400, f'the body is not {{"endpoint", "reason"}}: {error}')
        except Refusal as refusal:
            return refused(refusal)
        found = rollouts_json(self._rollouts.figures())
        mine = [each for each in found["rollouts"] if each["endpoint"] in done]
        return JSONResponse({**found, "rollouts": mine})

    async def freeze(self, request: Request) -> Response:
        """Body: `{"reason": "..."}`. Nothing advances anywhere until `unfreeze`; lowering still works."""
        return await self._freeze(request, True)

    async def unfreeze(self, request: Request) -> Response:
        return await self._freeze(request, False)

    async def _freeze(self, request: Request, frozen: bool) -> Response:
        try:
            wanted = msgspec.json.decode(await limited_body(request), type=FreezeRequest)
        except msgspec.DecodeError as error:
            return problem(400, f'the body is not {{"reason"}}: {error}')
        if not wanted.reason.strip():
            return problem(400, "reason must not be empty")
        try:
            rollouts = self._rollouts
            found = await rollouts.actions.freeze(frozen, author_of(request), wanted.reason.strip())
        except Refusal as refusal:
            return refused(refusal)
        return JSONResponse({"frozen": freeze_json(found)})

    @property
    def _rollouts(self) -> Rollouts:
        if self._state.rollouts is None:
            raise Refusal(503, NONE)
        return self._state.rollouts

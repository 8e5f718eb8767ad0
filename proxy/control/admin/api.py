"""The admin API: health, metrics, figures, reload."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from proxy.config import set_weight
from proxy.control.admin.changes import carry_out, judged, refused
from proxy.control.admin.json.comparisons import summary_json
from proxy.control.admin.json.config import config_json, restart_json, user_json
from proxy.control.admin.json.endpoints import endpoints_json, history_json
from proxy.control.admin.json.records import audit_json, ledger_json
from proxy.control.admin.problems import problem
from proxy.control.admin.requests import author_of, limited_body, user_of
from proxy.control.errors import Refusal
from proxy.control.state import State
from proxy.control.unknown import UnknownWrites


class WeightChange(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /api/v1/weights`. `hash`, if given, is the configuration that it was decided on."""

    endpoint: str
    weight: float
    hash: str = ""
    preview: bool = False


class Announcement(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /api/v1/announce`."""

    hash: Annotated[str, msgspec.Meta(max_length=64)]


class Api:
    """Handlers over the state; `routes` lists them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._unknown = UnknownWrites(state.reloader.started.server.state)

    def routes(self) -> list[Route]:
        return [
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
            Route("/api/v1/config", self.config),
            Route("/api/v1/endpoints", self.endpoints),
            Route("/api/v1/history", self.history),
            Route("/api/v1/audit", self.audit),
            Route("/api/v1/ledger", self.ledger),
            Route("/api/v1/me", self.me),
            Route("/api/v1/weights", self.weights, methods=["POST"]),
            Route("/api/v1/announce", self.announce, methods=["POST"]),
            Route("/api/v1/reload", self.reload, methods=["POST"]),
            Route("/api/v1/restart", self.restart, methods=["POST"]),
        ]

    async def healthz(self, request: Request) -> Response:
        """The control process answers."""
        return PlainTextResponse("ok\n")

    async def readyz(self, request: Request) -> Response:
        """At least one worker listens, lives and serves the newest configuration."""
        unready = self._state.supervisor.unready()
        if unready:
            return problem(503, unready)
        crowded = [alarm.text for alarm in self._state.alarmed() if alarm.kind == "connections"]
        return PlainTextResponse("\n".join(["ready", *crowded, ""]))

    async def metrics(self, request: Request) -> Response:
        if any(each.compare.sample for each in self._state.reloader.running.snapshot.endpoints):
            self._state.verdicts.refresh()  # for the next scrape
        from proxy.control import metrics  # with Prometheus's client: at the first scrape, not at each start

        body, content_type = metrics.render(self._state, request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    async def config(self, request: Request) -> Response:
        return JSONResponse(config_json(self._state.config()))

    async def endpoints(self, request: Request) -> Response:
        await self._state.verdicts.current()
        alarms = [*self._state.alarmed(), *await self._unknown.current()]
        return JSONResponse(endpoints_json(self._state.overview(), alarms))

    async def me(self, request: Request) -> Response:
        """Whose token this is. Without users everybody may change things."""
        return JSONResponse(user_json(user_of(request)))

    async def history(self, request: Request) -> Response:
        return JSONResponse(history_json(self._state.history()))

    async def audit(self, request: Request) -> Response:
        return JSONResponse(audit_json(self._state.audit()))

    async def ledger(self, request: Request) -> Response:
        if self._state.ledger is None:
            return problem(503, "there is no ledger")
        self._state.ledger.look()
        return JSONResponse(ledger_json(self._state.ledger.migration()))

    async def weights(self, request: Request) -> Response:
        """Changes one weight in the file, or with `"preview": true` says what that would do."""
        reloader = self._state.reloader
        if not reloader.running.snapshot.server.admin_write:
            return problem(
                403, "server.admin_write is false: change weights in the file, or with `strangler set`"
            )
        try:
            wanted = msgspec.json.decode(await limited_body(request), type=WeightChange)
            verdict = await carry_out(reloader, request, wanted, partial(_weigh, wanted))
        except msgspec.DecodeError as error:
            return problem(400, f'the body is not {{"endpoint", "weight", "hash", "preview"}}: {error}')
        except Refusal as refusal:
            return refused(refusal)
        if not wanted.preview:
            return judged(verdict, applied=True)
        await self._state.verdicts.current()
        listed = {each.name: each for each in reloader.running.snapshot.endpoints}
        comparison = summary_json(self._state.verdicts.parity(listed.get(wanted.endpoint)))
        return judged(verdict, applied=False, comparison=comparison)

    async def announce(self, request: Request) -> Response:
        """`x-author` is about to save the configuration with this hash."""
        try:
            wanted = msgspec.json.decode(await limited_body(request), type=Announcement)
        except msgspec.DecodeError as error:
            return problem(400, f'the body is not {{"hash"}}: {error}')
        self._state.reloader.announce(wanted.hash, author_of(request))
        return JSONResponse({})

    async def reload(self, request: Request) -> Response:
        """Judges the file now; answers once every worker serves it, or after some seconds.

        `?force=true` takes `unlisted: 404` although unlisted paths are still asked for.
        """
        force = request.query_params.get("force", "false")
        if force not in ("true", "false"):
            return problem(400, "force is not true or false")
        verdict = await self._state.reloader.reload(
            "POST /api/v1/reload", author_of(request), force=force == "true"
        )
        return judged(verdict)

    async def restart(self, request: Request) -> Response:
        """Begins a rolling restart; `GET /api/v1/config` of the next process tells how it goes."""
        try:
            restart = await self._state.restarter.request("POST /api/v1/restart", author_of(request))
        except Refusal as refusal:
            return refused(refusal)
        return JSONResponse(restart_json(restart), 202)


def _weigh(wanted: WeightChange, text: str, source: str) -> str:
    return set_weight(text, wanted.endpoint, wanted.weight, source=source)

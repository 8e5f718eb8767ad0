"""The admin API: health, metrics, figures, reload."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from proxy.control import metrics
from proxy.control.admin.problems import problem
from proxy.control.state import State, error_json


class Api:
    """Handlers over the state; `routes` lists them."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        return [
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
            Route("/api/v1/config", self.config),
            Route("/api/v1/endpoints", self.endpoints),
            Route("/api/v1/history", self.history),
            Route("/api/v1/reload", self.reload, methods=["POST"]),
        ]

    async def healthz(self, request: Request) -> Response:
        """The control process answers."""
        return PlainTextResponse("ok\n")

    async def readyz(self, request: Request) -> Response:
        """At least one worker listens and serves the newest configuration."""
        if self._state.supervisor.ready():
            return PlainTextResponse("ready\n")
        if self._state.supervisor.draining:
            return problem(503, "shutting down")
        return problem(503, "no worker serves the newest configuration yet")

    async def metrics(self, request: Request) -> Response:
        body, content_type = metrics.render(self._state, request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    async def config(self, request: Request) -> Response:
        return JSONResponse(self._state.config())

    async def endpoints(self, request: Request) -> Response:
        return JSONResponse(self._state.endpoints())

    async def history(self, request: Request) -> Response:
        return JSONResponse(self._state.history())

    async def reload(self, request: Request) -> Response:
        """Judges the file now; answers once every worker serves it, or after some seconds."""
        verdict = await self._state.reloader.reload("POST /api/v1/reload")
        if verdict.loaded is None:
            return problem(
                422,
                "the configuration file was refused; the running configuration stays",
                errors=[error_json(error) for error in verdict.errors],
            )
        return JSONResponse(
            {"hash": verdict.loaded.snapshot.hash, "difference": list(verdict.changes)},
        )

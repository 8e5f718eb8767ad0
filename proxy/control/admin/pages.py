"""The status page: the API's figures for people, live."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from proxy.control.admin.feed import Feed
from proxy.control.admin.problems import problem
from proxy.control.admin.rollouts_past import RolloutsPast
from proxy.control.admin.rollouts_view import RolloutsView, rollouts_view
from proxy.control.admin.template import Template
from proxy.control.admin.view import METRICS, phases, unlisted
from proxy.control.state import State
from proxy.control.storage import told
from proxy.control.unknown import UnknownWrites

HERE = Path(__file__).parent
CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Pages:
    """Handlers of the page; `routes` lists them, `feed` is closed when the server stops."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._page = Template("status.html")
        self._figures = Template("figures.html")
        self.unknown = UnknownWrites(state.reloader.started.server.state)
        self.past = RolloutsPast(state.rollouts)
        self.feed = Feed(self._fragment)

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/", self.status),
            Route("/events", self.events),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ]

    async def status(self, request: Request) -> Response:
        server = self._state.reloader.running.snapshot.server
        await self.past.current()  # without scripts the page is looked at once
        html = self._page.render(
            figures=self._fragment(),
            write=server.admin_write,
            token=bool(self._state.users()),
        )
        return HTMLResponse(html, headers={"content-security-policy": CSP})

    async def events(self, request: Request) -> Response:
        """Server-sent events: `figures` with the page's changing part as HTML."""
        if self.feed.full():
            return problem(503, "too many pages are open", {"retry-after": "10"})
        return StreamingResponse(self.feed.events(), media_type="text/event-stream")

    def _fragment(self) -> str:
        state = self._state
        self.unknown.refresh()
        self.past.refresh()
        state.verdicts.refresh()
        found, hours = state.overview(), state.history()
        return self._figures.render(
            config=state.config(),
            phases=phases(state, found, hours),
            rollouts=self._rollouts(),
            unlisted=unlisted(found.unlisted, hours),
            audit=state.audit()[:5],
            unknown=self.unknown,
            storage=found.storage and told(found.storage),
            alarms=[*state.alarmed(), *self.unknown.alarms()],
            metrics=METRICS,
            unready=state.supervisor.unready(),
            draining=state.supervisor.draining,
            patience=f"{state.supervisor.pulse.bound:g}",
            write=state.reloader.running.snapshot.server.admin_write,
        )

    def _rollouts(self) -> RolloutsView | None:
        rollouts = self._state.rollouts
        return None if rollouts is None else rollouts_view(rollouts.figures(), self.past.changes)

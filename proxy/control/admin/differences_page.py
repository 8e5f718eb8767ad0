"""The Differences page: from verdicts to fields to samples, and a one-off comparison."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from proxy.control.admin import differences_view as view
from proxy.control.admin.differences import Differences, Looked
from proxy.control.admin.json.comparisons import rules_json
from proxy.control.admin.pages import CSP
from proxy.control.admin.template import Template
from proxy.control.state import State
from proxy.control.verdicts import Standing, parity_asked
from proxy.core.comparison.differences import Pairing, by_position
from proxy.core.comparison.judge import pairing
from proxy.core.comparison.parity import nothing
from proxy.core.settings import Endpoint
from proxy.core.weights import percent

SAMPLES: Final = 5  # that one page shows


class DifferencesPage:
    """Handlers over those of the API; `routes` lists them. The page's state is in its URL.

    Samples hold answers of clients: with a token set they are loaded by the script, which sends it.
    """

    def __init__(self, state: State, differences: Differences) -> None:
        self._state = state
        self._differences = differences
        self._page = Template("differences.html")
        self._samples = Template("samples.html")
        self._answers = Template("answers.html")

    def routes(self) -> list[Route]:
        return [
            Route("/differences", self.page),
            Route("/differences/samples", self.samples),
            Route("/differences/compare", self.compare, methods=["POST"]),
        ]

    async def page(self, request: Request) -> Response:
        """`?endpoint=`, `?path=` and `?scope=` choose what is shown; `?method=`, `?target=` fill the form."""
        query = request.query_params
        verdicts = self._state.verdicts
        await verdicts.current()
        server = self._state.reloader.running.snapshot.server
        values: dict[str, Any] = {
            "query": {
                name: query.get(name, "") for name in ("endpoint", "path", "scope", "method", "target")
            },
            "error": verdicts.error,
            "write": server.admin_write,
            "token": bool(self._state.users()),
            "hash": self._state.reloader.running.snapshot.hash,
            "endpoints": [],
            "chosen": None,
            "samples": None,
        }
        try:
            if query.get("endpoint"):
                looked = await self._differences.look(query["endpoint"], query.get("scope") or None)
                values["chosen"] = self._chosen(looked)
                if query.get("path") and not values["token"]:
                    values["samples"] = await self._fragment(looked, query["path"])
            else:
                values["endpoints"] = [self._listed(each) for each in verdicts.standings.values()]
        except HTTPException as error:
            return self._html(self._page.render(**{**values, "error": error.detail}), error.status_code)
        return self._html(self._page.render(values))

    async def samples(self, request: Request) -> Response:
        """`?endpoint=&path=&scope=`: the samples as a part of the page. Needs the token, as its values do."""
        query = request.query_params
        looked = await self._differences.look(query.get("endpoint", ""), query.get("scope") or None)
        return self._html(await self._fragment(looked, query.get("path", "")))

    async def compare(self, request: Request) -> Response:
        """A one-off comparison as a part of the page; the body is that of `POST /api/v1/compare`."""
        result = await self._differences.one_off(await self._differences.asked(request))
        pair = await asyncio.to_thread(view.one_off_view, result, self._pairing(result.endpoint))
        hidden = [(rule, count) for rule, count in result.hidden if count]
        return self._html(self._answers.render(result=result, pair=pair, hidden=hidden))

    async def _fragment(self, looked: Looked, path: str) -> str:
        found = await self._differences.samples_of(looked, path, SAMPLES)
        how = view.Looking(
            view.base_url(self._state.reloader.started.server.listen),
            path,
            view.noise_paths(looked.chosen) - {path},
            self._pairing(looked.endpoint) if looked.is_current else by_position,
        )
        views = await asyncio.to_thread(lambda: [view.sample_view(each, how) for each in found])
        return self._samples.render(samples=views, path=path)

    def _pairing(self, name: str | None) -> Pairing:
        """As the rules in force pair the elements of arrays."""
        endpoint = self._endpoint(name or "")
        settings = self._state.reloader.running.snapshot.compare if endpoint is None else endpoint.compare
        return pairing(settings.rules, date.today())

    def _listed(self, standing: Standing) -> dict[str, Any]:
        endpoint = self._endpoint(standing.endpoint)
        found = standing.parity
        return {
            "name": standing.endpoint,
            "weight": None if endpoint is None else percent(endpoint.weight),
            "badge": view.badge(found),
            "sure": view.sure(standing, found, _sampled(endpoint)),
            "fields": view.fields(standing.report, "fault", "untested")[:3],
            "n": found.n,
        }

    def _chosen(self, looked: Looked) -> dict[str, Any]:
        endpoint = self._endpoint(looked.endpoint)
        standing = self._state.verdicts.standings.get(looked.endpoint)
        report = looked.chosen
        running = self._state.reloader.running.snapshot
        listed = {each.name: each for each in running.endpoints}
        limit = parity_asked(looked.endpoint, listed, running.compare.parity)
        found = report.parity if report else nothing(limit)
        skipped = standing.skipped if standing else {}
        return {
            "name": looked.endpoint,
            "listed": endpoint is not None,
            "weight": None if endpoint is None else percent(endpoint.weight),
            "badge": view.badge(found),
            "parity": found,
            "sure": view.sure(standing, found, _sampled(endpoint)),
            "unsure": view.unsure(report, skipped),
            "report": report,
            "versions": "" if report is None else view.versions(report),
            "is_current": looked.is_current,
            "faults": view.fields(report, "fault", "untested")[: view.MAX_SHOWN],
            "noise": view.fields(report, "noise")[: view.MAX_SHOWN],
            "rules": rules_json(endpoint, report, date.today()),
            "scopes": view.scopes(looked.tallies, looked.current),
        }

    def _endpoint(self, name: str) -> Endpoint | None:
        return self._state.reloader.running.snapshot.endpoint(name)

    def _html(self, html: str, status: int = 200) -> Response:
        return HTMLResponse(html, status, {"content-security-policy": CSP})


def _sampled(endpoint: Endpoint | None) -> bool:
    return endpoint is None or endpoint.compare.sample > 0

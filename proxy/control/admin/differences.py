"""The API of comparisons: verdicts, fields, samples, a one-off comparison, and accepting a difference."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from proxy.config import add_rule
from proxy.control.admin.changes import carry_out, judged, refused
from proxy.control.admin.json.comparisons import (
    comparisons_json,
    fields_csv,
    fields_json,
    one_off_json,
    samples_json,
)
from proxy.control.admin.problems import problem
from proxy.control.admin.requests import limited_body
from proxy.control.errors import Refusal
from proxy.control.state import State
from proxy.control.verdicts import in_force, parity_asked
from proxy.core.comparison.comparisons import Report, Sample, Tally, Traffic, report
from proxy.core.comparison.one_off import NotCompared, OneOff
from proxy.store import StoreUnavailable, comparison_reader
from proxy.store.comparisons import StoredCounts

AT_ONCE: Final = 4  # one-off comparisons
ONE_OFF_TIMEOUT: Final = 60.0  # seconds
SAMPLES: Final = 20
MAX_SAMPLES: Final = 100
_RULE_KEYS: Final = ("by", "within", "values", "reason", "owner", "expires")


class OneOffBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /api/v1/compare`."""

    method: str
    path: str
    headers: dict[str, str] = {}


class AcceptBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /api/v1/comparisons/accept`: one rule, as it would stand in routing.yaml."""

    endpoint: str
    kind: str
    path: str
    reason: str
    by: str | None = None
    within: str | None = None
    values: list[str | int | float | bool | None] | None = None
    owner: str | None = None
    expires: str | None = None
    hash: str = ""
    preview: bool = False


@dataclass(frozen=True, slots=True)
class Looked:
    """One endpoint's evidence: of the scope that was asked for, else of the one in force; None: nothing."""

    endpoint: str
    chosen: Report | None
    current: str  # id of the scope in force, "" if there is none
    tallies: list[Tally]
    traffic: list[Traffic]

    @property
    def is_current(self) -> bool:
        return self.chosen is not None and self.chosen.scope.id == self.current


class Differences:
    """What the API and the page ask; `routes` lists the API."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._url = state.reloader.started.server.state
        self._free = asyncio.Semaphore(AT_ONCE)

    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/comparisons", self.comparisons),
            Route("/api/v1/comparisons/accept", self.accept, methods=["POST"]),
            Route("/api/v1/comparisons/{endpoint:path}/fields", self.fields),
            Route("/api/v1/comparisons/{endpoint:path}/samples", self.samples),
            Route("/api/v1/compare", self.compare, methods=["POST"]),
        ]

    async def comparisons(self, request: Request) -> Response:
        """Every endpoint with its verdict and what it rests on."""
        verdicts = self._state.verdicts
        await verdicts.current()
        listed = {each.name: each for each in self._state.reloader.running.snapshot.endpoints}
        standings = verdicts.standings.values()
        return JSONResponse(comparisons_json(standings, listed, date.today(), verdicts.error))

    async def fields(self, request: Request) -> Response:
        """Where something differed, most significant first; `?scope=ID` for other versions and rules.

        `?format=csv` for a spreadsheet.
        """
        form = request.query_params.get("format", "json")
        if form not in ("json", "csv"):
            raise HTTPException(400, "format is not json or csv")
        looked = await self.look(request.path_params["endpoint"], request.query_params.get("scope"))
        found = fields_json(looked.endpoint, looked.chosen, looked.tallies, looked.current)
        if form == "csv":
            headers = {"content-disposition": 'attachment; filename="differences.csv"'}
            return PlainTextResponse(fields_csv(found["fields"]), headers=headers, media_type="text/csv")
        return JSONResponse(found)

    async def samples(self, request: Request) -> Response:
        """Newest first: `?path=items[].id`, `?scope=ID`, `?limit=20`."""
        digits = request.query_params.get("limit", str(SAMPLES))
        limit = int(digits) if re.fullmatch("[0-9]{1,3}", digits) else 0
        if not 1 <= limit <= MAX_SAMPLES:
            raise HTTPException(400, f"limit is not a number from 1 to {MAX_SAMPLES}")
        looked = await self.look(request.path_params["endpoint"], request.query_params.get("scope"))
        found = await self.samples_of(looked, request.query_params.get("path"), limit)
        return JSONResponse(samples_json(looked.endpoint, found))

    async def compare(self, request: Request) -> Response:
        """Asks both backends one safe request; nothing is stored."""
        result = await self.one_off(await self.asked(request))
        return JSONResponse(one_off_json(result))

    async def accept(self, request: Request) -> Response:
        """Writes a rule into the endpoint's `compare.rules`; with `"preview": true` says what that does."""
        reloader = self._state.reloader
        if not reloader.running.snapshot.server.admin_write:
            return problem(403, "server.admin_write is false: write rules in the file")
        try:
            wanted = msgspec.json.decode(await limited_body(request), type=AcceptBody)
            if not wanted.reason.strip():
                return problem(400, "reason must not be empty")
            verdict = await carry_out(reloader, request, wanted, partial(_accept, wanted))
        except msgspec.DecodeError as error:
            return problem(400, f'the body is not {{"endpoint", "kind", "path", "reason", ...}}: {error}')
        except Refusal as refusal:
            return refused(refusal)
        return judged(verdict, applied=not wanted.preview)

    async def look(self, endpoint: str, scope: str | None = None) -> Looked:
        """HTTPException 404 for an endpoint or a scope that is not there, 503 without the store."""
        snapshot = self._state.reloader.running.snapshot
        by_name = {each.name: each for each in snapshot.endpoints}
        listed = by_name.get(endpoint)
        found = await self._read(endpoint)
        if listed is None and not found.tallies and not found.traffic:
            raise HTTPException(404, f"{endpoint!r} is not listed, and nothing was compared under this name")
        limit = parity_asked(endpoint, by_name, snapshot.compare.parity)
        current = in_force(found.tallies, listed, endpoint, date.today(), limit)
        tally = current if scope is None else comparison_reader.of_scope(found, scope)
        if scope is not None and tally is None:
            raise HTTPException(404, f"{endpoint!r} has no evidence with the id {scope!r}")
        chosen = None if tally is None else await asyncio.to_thread(report, tally, found.traffic, limit)
        return Looked(
            endpoint, chosen, "" if current is None else current.scope.id, found.tallies, found.traffic
        )

    async def samples_of(self, looked: Looked, path: str | None, limit: int) -> list[Sample]:
        if looked.chosen is None:
            return []
        try:
            return await comparison_reader.samples(self._url, looked.chosen.scope.id, path, limit)
        except StoreUnavailable as error:
            raise _no_store(error) from None

    async def asked(self, request: Request) -> OneOffBody:
        """The body of a one-off comparison; HTTPException 400 if it is none."""
        try:
            return msgspec.json.decode(await limited_body(request), type=OneOffBody)
        except msgspec.DecodeError as error:
            raise HTTPException(400, f'the body is not {{"method", "path", "headers"}}: {error}') from None

    async def one_off(self, wanted: OneOffBody) -> OneOff:
        """HTTPException 422 for what is not asked twice, 502 if a backend gives no answer, 503 if busy."""
        ask = self._state.one_off
        if ask is None:
            raise HTTPException(503, "this process cannot compare requests")
        if self._free.locked():
            raise HTTPException(503, f"{AT_ONCE} comparisons are running; try again", {"retry-after": "1"})
        snapshot = self._state.reloader.running.snapshot
        async with self._free:
            try:
                async with asyncio.timeout(ONE_OFF_TIMEOUT):
                    return await ask(snapshot, wanted.method, wanted.path, wanted.headers)
            except NotCompared as error:
                raise HTTPException(error.status, error.detail) from None
            except TimeoutError:
                raise HTTPException(502, f"no answer within {ONE_OFF_TIMEOUT:g} seconds") from None

    async def _read(self, endpoint: str) -> StoredCounts:
        try:
            return await comparison_reader.of_endpoint(self._url, endpoint)
        except StoreUnavailable as error:
            raise _no_store(error) from None


def _no_store(error: StoreUnavailable) -> HTTPException:
    return HTTPException(503, f"the store does not answer: {error}", {"retry-after": "1"})


def _accept(wanted: AcceptBody, text: str, source: str) -> str:
    given = {name: getattr(wanted, name) for name in _RULE_KEYS}
    rule: dict[str, Any] = {
        wanted.kind: wanted.path,
        **{k: v for k, v in given.items() if v not in (None, "")},
    }
    return add_rule(text, wanted.endpoint, rule, source=source)

"""Changes of routing.yaml that the admin API is asked for: made or only previewed, and how that went."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from proxy.control.admin.json.config import error_json, verdict_json
from proxy.control.admin.problems import problem
from proxy.control.admin.requests import author_of, client_of
from proxy.control.edits import Edit, change, propose
from proxy.control.errors import Refusal
from proxy.control.reload import Reloader, ReloadResult


class EditRequest(Protocol):
    """A request's body. `hash`, if given, is the configuration that it was decided on."""

    @property
    def hash(self) -> str: ...

    @property
    def preview(self) -> bool: ...


async def carry_out(reloader: Reloader, request: Request, wanted: EditRequest, edit: Edit) -> ReloadResult:
    """Makes the edit in the file, or with `preview` says what it would do. Raises Refusal."""
    if wanted.hash and wanted.hash != reloader.running.snapshot.hash:
        raise Refusal(409, "the configuration has changed since you looked; look at it again")
    if wanted.preview:
        return (await asyncio.to_thread(propose, reloader, edit)).verdict
    trigger = f"{request.method} {request.url.path} from {client_of(request)}"
    return await change(reloader, edit, trigger, author_of(request))


def refused(refusal: Refusal) -> Response:
    return problem(refusal.status, refusal.detail, errors=[error_json(error) for error in refusal.errors])


def judged(verdict: ReloadResult, **more: Any) -> Response:
    """What the reloader said to the file."""
    if verdict.loaded is None:
        return problem(
            422,
            "the configuration file was refused; the running configuration stays",
            errors=[error_json(error) for error in verdict.errors],
        )
    return JSONResponse({**verdict_json(verdict.loaded, verdict.changes), **more})

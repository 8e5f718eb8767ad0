"""Puts the admin app together."""

from __future__ import annotations

from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from proxy.control.admin import openapi
from proxy.control.admin.api import Api
from proxy.control.admin.busy import Busy
from proxy.control.admin.differences import Differences
from proxy.control.admin.differences_page import DifferencesPage
from proxy.control.admin.forget import ForgetHandler
from proxy.control.admin.guard import Guard
from proxy.control.admin.pages import Pages
from proxy.control.admin.problems import on_error, on_http_exception
from proxy.control.admin.rollouts import RolloutsHandler
from proxy.control.admin.writes import WritesHandler
from proxy.control.state import State

BUSY: Final = 64  # requests at the same time, unless the caller knows how many descriptors there are


def build(state: State, pages: Pages | None = None, busy: int = BUSY) -> Starlette:
    """The admin app over the state. Who serves it for long closes `pages.feed` at the end."""
    differences = Differences(state)
    return Starlette(
        routes=[
            *Api(state).routes(),
            *openapi.routes(),
            *WritesHandler(state).routes(),
            *ForgetHandler(state).routes(),
            *RolloutsHandler(state).routes(),
            *differences.routes(),
            *DifferencesPage(state, differences).routes(),
            *(pages or Pages(state)).routes(),
        ],
        middleware=[
            Middleware(Guard, state=state, bound=state.reloader.started.server.admin),
            Middleware(Busy, most=busy),
        ],
        exception_handlers={HTTPException: on_http_exception, Exception: on_error},
    )

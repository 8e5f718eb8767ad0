"""The OpenAPI document of the admin port: `openapi.yaml` beside this file, as JSON."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from proxy import __version__

PATH = "/api/v1/openapi.json"


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """Read when it is first asked for: few ask, and every start would pay."""
    text = Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    found["info"]["version"] = __version__
    return found


def routes() -> list[Route]:
    return [Route(PATH, _serve)]


async def _serve(request: Request) -> Response:
    return JSONResponse(document())

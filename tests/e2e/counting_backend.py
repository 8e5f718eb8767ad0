"""Notes the id of every write on disk before it answers: `python counting_backend.py PORT FILE`."""

from __future__ import annotations

import os
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


def application(path: str) -> Starlette:
    notes = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    async def read(request: Request) -> PlainTextResponse:
        return PlainTextResponse("read")

    async def write(request: Request) -> PlainTextResponse:
        os.write(notes, await request.body() + b"\n")
        return PlainTextResponse("written", 201)

    return Starlette(routes=[Route("/a", read), Route("/w", write, methods=["POST"])])


if __name__ == "__main__":
    uvicorn.run(application(sys.argv[2]), port=int(sys.argv[1]), log_level="warning")

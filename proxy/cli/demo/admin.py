"""What the demo requests from the admin port and the command line, as an engineer would."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

from proxy.cli.demo.services import DemoError
from proxy.interpreter import module_command

PATIENCE = 15.0
"""Seconds until a change must have reached every worker."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A finished command."""

    code: int
    lines: tuple[str, ...]

    @property
    def output(self) -> str:
        """On one line."""
        return " ".join(" ".join(self.lines).split())


class Admin:
    def __init__(self, url: str, client: httpx2.AsyncClient) -> None:
        self.url = url
        self.client = client

    async def config(self) -> dict[str, Any]:
        return await self._get("/api/v1/config")

    async def endpoints(self) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = (await self._get("/api/v1/endpoints"))["endpoints"]
        return answer

    async def rollouts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self._get("/api/v1/rollouts"))["rollouts"]
        return found

    async def changes(self) -> list[dict[str, Any]]:
        """What became of all rollouts, the oldest change first."""
        found: list[dict[str, Any]] = (await self._get("/api/v1/rollouts/history?limit=1000"))["changes"]
        return found[::-1]

    async def verdicts(self) -> dict[str, dict[str, Any]]:
        """What comparisons say, by endpoint."""
        found = await self._get("/api/v1/comparisons")
        return {each["endpoint"]: each for each in found["endpoints"]}

    async def samples(self, endpoint: str, path: str) -> list[dict[str, Any]]:
        """Comparisons of this endpoint in which something differed at this path, the newest first."""
        where = f"/api/v1/comparisons/{quote(endpoint, safe='')}/samples"
        found = await self._get(f"{where}?path={quote(path)}")
        samples: list[dict[str, Any]] = found["samples"]
        return samples

    async def everywhere(self, before: str) -> dict[str, Any]:
        """Waits until every worker serves a table other than `before`. Raises DemoError."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            config = await self.config()
            hashes = {worker["hash"] for worker in config["workers"]}
            if config["hash"] != before and hashes == {config["hash"]}:
                return config
            await asyncio.sleep(0.05)
        raise DemoError(f"not every worker had the change within {PATIENCE:.0f} s: {config}")

    async def refusal(self) -> dict[str, Any]:
        """Waits until a refused file shows as last_error. Raises DemoError."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            config = await self.config()
            if config["last_error"]:
                return config
            await asyncio.sleep(0.05)
        raise DemoError("the broken file was not reported by /api/v1/config")

    async def set(self, endpoint: str, weight: int, path: Path) -> Ran:
        """`strangler set ENDPOINT WEIGHT --config FILE --admin URL`."""
        return await self._strangler("set", endpoint, str(weight), "--config", str(path))

    async def rollout(self, action: str, endpoint: str, *options: str) -> Ran:
        """`strangler rollout ACTION ENDPOINT --admin URL`."""
        return await self._strangler("rollout", action, endpoint, *options)

    async def _strangler(self, *arguments: str) -> Ran:
        process = await asyncio.create_subprocess_exec(
            *(*module_command("proxy"), *arguments, "--admin", self.url),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode is not None
        return Ran(process.returncode, tuple(output.decode(errors="replace").splitlines()))

    async def _get(self, path: str) -> dict[str, Any]:
        try:
            answer = await self.client.get(self.url + path)
            answer.raise_for_status()
        except httpx2.HTTPError as error:
            raise DemoError(f"{self.url}{path}: {type(error).__name__}: {error}") from None
        body: dict[str, Any] = answer.json()
        return body

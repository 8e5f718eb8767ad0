"""Closed-loop load from wrk: as many requests as the connections can carry."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.processes import BenchError, Cores

LUA = Path(__file__).parent / "lua"


@dataclass(frozen=True)
class Load:
    """What wrk saw. Latencies in milliseconds."""

    requests: int
    seconds: float
    bytes: int
    errors: int  # answers other than 2xx and 3xx, and socket errors
    p50: float
    p99: float
    p999: float


@dataclass(frozen=True)
class Recipe:
    """A wrk script with its arguments; see bench/lua."""

    script: str
    arguments: tuple[str, ...]

    @classmethod
    def keys(cls, endpoints: int, keys: int = 20_000) -> Recipe:
        return cls("keys.lua", (str(endpoints), str(keys)))

    @classmethod
    def fixed(
        cls, path: str = "/resource7/1", method: str = "GET", body: int = 0, close: bool = False
    ) -> Recipe:
        return cls("fixed.lua", (method, path, str(body), "1" if close else "0"))


def wrk(port: int, recipe: Recipe, connections: int, seconds: float, cores: Cores) -> Load:
    argv = [
        *("wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{round(seconds)}s"),
        *("--timeout", "10s", "--script", str(LUA / recipe.script), f"http://127.0.0.1:{port}"),
        *("--", *recipe.arguments),
    ]
    result = subprocess.run(
        ["taskset", "--cpu-list", ",".join(map(str, cores.load)), *argv],
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=False,
    )
    if result.returncode:
        raise BenchError(f"wrk failed: {result.stderr.strip() or result.stdout.strip()}")
    return _parse(result.stdout.splitlines())


def _parse(lines: Sequence[str]) -> Load:
    figures = json.loads(next(line for line in reversed(lines) if line.startswith("{")))
    return Load(
        requests=figures["requests"],
        seconds=figures["duration_us"] / 1e6,
        bytes=figures["bytes"],
        errors=figures["status_errors"] + figures["socket_errors"],
        p50=figures["p50"] / 1e3,
        p99=figures["p99"] / 1e3,
        p999=figures["p999"] / 1e3,
    )

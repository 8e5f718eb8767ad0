"""Child processes that are told what to do, and answer, in lines of JSON."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.processes import BenchError, Child


def start(name: str, arguments: Sequence[str], directory: Path) -> Child:
    """`python -m ARGUMENTS`, its errors in a log. It is to end when its standard input does."""
    log = directory / f"{name}.log"
    with log.open("wb") as errors:
        argv = [sys.executable, "-m", *arguments]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
    return Child(name, process, log)


def tell(child: Child, command: dict[str, Any]) -> None:
    """Raises BenchError if it has ended."""
    assert child.process.stdin is not None
    try:
        child.process.stdin.write(json.dumps(command).encode() + b"\n")
        child.process.stdin.flush()
    except BrokenPipeError:
        raise BenchError(child.failure()) from None


def hear(child: Child, until: float) -> Any:
    """Its next answer. Raises BenchError if it ends, or nothing has come at `until` (time.monotonic)."""
    assert child.process.stdout is not None
    descriptor = child.process.stdout.fileno()
    received = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while not received.endswith(b"\n"):
            if not selector.select(max(0.0, until - time.monotonic())):
                raise BenchError(f"{child.name} did not answer in time")
            data = os.read(descriptor, 1 << 20)
            if not data:
                raise BenchError(child.failure())
            received += data
    return json.loads(received)

"""One invocation of a bench: everything is started, measured and ended, and the results are kept."""

from __future__ import annotations

import argparse
import json
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import compiled, report
from bench.processes import BenchError

Run = Callable[[ExitStack, Path, argparse.Namespace], dict[str, Any]]


def measure(name: str, options: argparse.Namespace, run: Run) -> dict[str, Any]:
    """What `run` found, with when, where and how, as it was written to `options.output`.

    Raises SystemExit: 2 if something did not start or ended by itself, 130 if interrupted.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # children are stopped on the way out
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    started = time.monotonic()
    try:
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{name}-")))
            found = run(stack, directory, options)
    except BenchError as error:
        print(f"{name}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": report.machine(),
        "data_path": "compiled" if compiled.is_current() else "interpreted",
        "took": round(time.monotonic() - started),
        "settings": {name: str(value) for name, value in vars(options).items()},
        **found,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(document, indent=1) + "\n")
    return document

"""`python -m fx_provider --port 5003 --latency 20ms --failure 0.0`."""

from __future__ import annotations

import argparse
import re
import signal
import sys

import uvicorn

from fx_provider.app import Behaviour, create_app

UNITS = {"ms": 0.001, "s": 1.0}


def duration(text: str) -> float:
    """Seconds from `20ms` or `1.5s`."""
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]+)?)(ms|s)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 20ms or 1.5s")
    return float(match[1]) * UNITS[match[2]]


def share(text: str) -> float:
    """A number from 0 to 1."""
    if not re.fullmatch(r"0(\.[0-9]+)?|1(\.0+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return float(text)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="fx_provider", description="Exchange rates, slow and failing as told."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5003)
    parser.add_argument("--latency", type=duration, default="20ms", help="before every answer")
    parser.add_argument("--failure", type=share, default="0", help="share of requests answered with 500")
    parser.add_argument("--valid-for", type=duration, default="30s", help="how long a rate stands")
    parser.add_argument("--drift", type=share, default="0", help="rates vary by up to this share")
    parser.add_argument("--seed", type=int, default=1, help="the same seed fails the same requests")
    options = parser.parse_args(arguments)
    behaviour = Behaviour(options.latency, options.failure, options.valid_for, options.drift)
    app = create_app(behaviour, options.seed)
    # uvicorn drains, then raises the signal again for whoever had it before: a drained stop is a success.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,  # nobody loses anything by a rate that does not come
    )


if __name__ == "__main__":
    main()

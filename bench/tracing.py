"""What tracing costs the data path: `python -m bench.tracing`, with the options of `python -m bench`.

The same proxy three times, in interleaved rounds: untraced, with one request in a hundred sampled, and with
all of them. Spans go to a collector on the other core that takes everything and keeps nothing.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bench import __main__ as bench
from bench import compiled
from bench.targets import STARTERS, Site, Target, strangler

RATIOS = {"traced-1": "0.01", "traced-100": "1"}


class Collector(BaseHTTPRequestHandler):
    """Reads what comes and says yes."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def traced(name: str, site: Site) -> Target:
    """A proxy that samples its ratio of the requests."""
    collector = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=_serve, args=(collector, site), daemon=True).start()
    environment = {
        **compiled.environment(),  # as the untraced one is
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": RATIOS[name],
    }
    return strangler(site, name, environment)


def _serve(collector: ThreadingHTTPServer, site: Site) -> None:
    os.sched_setaffinity(0, site.cores.load)  # of this thread, and of those that it starts
    collector.serve_forever()


def main() -> int:
    for name in RATIOS:
        STARTERS[name] = functools.partial(traced, name)
    names = ",".join(["strangler", *RATIOS])
    return bench.main(["--only", names, "--scenario", "keys", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())

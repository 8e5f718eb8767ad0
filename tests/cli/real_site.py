"""A proxy with its real workers, and small backends for it."""

from __future__ import annotations

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.control.site import Site


def backend(name: str) -> ThreadingHTTPServer:
    """A server that answers every GET with its name."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(name)))
            self.end_headers()
            self.wfile.write(name.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 512  # with its 5, connections of a burst are dropped and tried again much later

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


class RealSite(Site):
    """A site that serves with `strangler serve` and has backends."""

    def __init__(self, directory: Path, legacy: int, asynchronous: int) -> None:
        self.ports = (legacy, asynchronous)
        self.options: tuple[str, ...] = ()  # of `strangler serve`
        self.strangler: tuple[str, ...] = (sys.executable, "-m", "proxy")
        self.folder: Path | None = None  # that it is started in; None: ours
        super().__init__(directory)

    def text(self, weight: object, workers: int = 2) -> str:
        text = super().text(weight, workers)
        return text.replace("1:1", f"1:{self.ports[0]}").replace("1:2", f"1:{self.ports[1]}")

    def start(self, environ: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        with (self.directory / "control.log").open("ab") as log:
            process = subprocess.Popen(
                [*self.strangler, "serve", "--config", str(self.config), *self.options],
                cwd=self.folder,
                stderr=log,
                stdin=subprocess.DEVNULL,
                preexec_fn=self.limit,
            )
        self.processes.append(process)
        return process

"""Ours, nginx and HAProxy, each in front of an upstream of its own, with the same limits as far as they go.

Peers get what a careful operator would write: keep-alive upstream, Host kept, X-Forwarded-*, WebSocket.
Timeouts are short, so that a case ends soon.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bench.conformance.upstream import Upstream
from bench.processes import BenchError, Child, free_port, spawn, wait_for_port

START = 60.0  # seconds that a proxy may take to come up
LIMITS = "header_bytes: 4KiB, headers: 20, target_bytes: 1KiB, body_bytes: 64KiB"
_STRANGLER = """\
server:
  listen: 127.0.0.1:{port}
  admin: 127.0.0.1:{admin}
  workers: 1
  runtime_dir: {directory}/run
  state: sqlite:///{directory}/state.db
  limits: {{{limits}}}
  timeouts: {{header: 300ms, body: 300ms, keep_alive: 300ms}}
backends:
  legacy: {{url: "http://127.0.0.1:{upstream}", timeouts: {{response: 1s, idle: 1s}}}}
  async: {{url: "http://127.0.0.1:{upstream}"}}
retries: {{budget: 0%, min_per_second: 0}}
endpoints:
  GET /listed: {{weight: 0}}
"""
_NGINX = """\
worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log stderr error;
{user}
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  large_client_header_buffers 4 1k;
  client_max_body_size 64k;
  client_header_timeout 300ms;
  client_body_timeout 300ms;
  keepalive_timeout 300ms;
  lingering_timeout 300ms;
  map $http_upgrade $upgrade {{ default upgrade; "" ""; }}
  upstream backend {{ server 127.0.0.1:{upstream}; keepalive 16; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_read_timeout 1s;
      proxy_set_header Connection $upgrade;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
    }}
  }}
}}
"""
_HAPROXY = """\
global
  nbthread 1
  tune.bufsize 8192
  tune.http.maxhdr 20
defaults
  mode http
  timeout connect 1s
  timeout client 300ms
  timeout http-request 300ms
  timeout http-keep-alive 300ms
  timeout server 1s
  timeout tunnel 1s
frontend in
  bind 127.0.0.1:{port}
  http-request deny deny_status 413 if {{ req.body_size gt 65536 }}
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  default_backend out
backend out
  server one 127.0.0.1:{upstream}
"""


@dataclass(frozen=True)
class Proxy:
    """One that runs."""

    name: str
    version: str
    port: int
    upstream: Upstream
    child: Child

    def stop(self) -> None:
        self.child.stop()
        self.upstream.close()


def start(name: str, directory: Path) -> Proxy:
    """Raises BenchError if it does not come up."""
    template, argv, release = PROXIES[name]
    upstream, port = Upstream(), free_port()
    place = directory / name
    place.mkdir()
    config = place / "config"
    config.write_text(
        template.format(
            directory=place,
            port=port,
            admin=free_port(),
            upstream=upstream.port,
            limits=LIMITS,
            user="user root;" if os.geteuid() == 0 else "",
        )
    )
    child = spawn(name, argv(place, config), place, frozenset(os.sched_getaffinity(0)))
    proxy = Proxy(name, release(), port, upstream, child)
    try:
        wait_for_port(child, port, START)
    except BenchError:
        proxy.stop()
        raise
    return proxy


def _version(*argv: str) -> str:
    """The first number with dots that the program says of itself."""
    said = subprocess.run(argv, capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+(?:\.\d+)?", said.stdout + said.stderr)
    return found[0] if found else "of unknown version"


Argv = Callable[[Path, Path], list[str]]
PROXIES: dict[str, tuple[str, Argv, Callable[[], str]]] = {
    "strangler": (
        _STRANGLER,
        lambda place, config: [sys.executable, "-m", "proxy", "serve", "--config", str(config)],
        lambda: version("strangler"),
    ),
    "nginx": (
        _NGINX,
        lambda place, config: ["nginx", "-p", str(place), "-c", str(config)],
        lambda: _version("nginx", "-v"),
    ),
    "haproxy": (
        _HAPROXY,
        lambda place, config: ["haproxy", "-db", "-q", "-f", str(config)],
        lambda: _version("haproxy", "-v"),
    ),
}

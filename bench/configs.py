"""Configuration files of the upstream and of every proxy that is measured.

All proxies do the same work: keep-alive on both sides, Host preserved, X-Forwarded-* set, no access log.
"""

from __future__ import annotations

import os
from pathlib import Path

ENDPOINTS = 50
BODIES = {"10k": 10 * 1024, "1000k": 1000 * 1024}
JSON = (
    '{"id":"acc_01HZX3T8M2","owner":"Ada Lovelace","status":"active","balance":{"amount":"1234.56",'
    '"currency":"EUR"},"limits":{"daily":"5000.00","monthly":"20000.00"},"created_at":"2024-05-01T12:00:00Z"}'
)

_NGINX_BASE = """\
worker_processes 1;
daemon off;
pid {directory}/{name}.pid;
error_log stderr warn;
{user}
events {{ worker_connections 8192; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000000;
  client_max_body_size 0;
  client_body_temp_path {directory}/{name}.body;
  proxy_temp_path {directory}/{name}.proxy;
  fastcgi_temp_path {directory}/{name}.fastcgi;
  uwsgi_temp_path {directory}/{name}.uwsgi;
  scgi_temp_path {directory}/{name}.scgi;
{http}
}}
"""

_UPSTREAM = """\
  server {{
    listen 127.0.0.1:{first} backlog=4096;
    listen 127.0.0.1:{second} backlog=4096;
    default_type application/json;
    location / {{ add_header x-nonce $http_x_nonce; return 200 '{json}'; }}
    location ~ /10k$ {{ alias {directory}/10k; }}
    location ~ /1000k$ {{ alias {directory}/1000k; }}
  }}
"""

_PROXY = """\
  upstream backend {{
    server 127.0.0.1:{upstream};
    keepalive 1024;
    keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
    }}
  }}
"""

_HAPROXY = """\
global
  nbthread 1
  maxconn 8000
defaults
  mode http
  timeout connect 2s
  timeout client 75s
  timeout server 30s
  timeout http-keep-alive 75s
  http-reuse always
  option forwardfor
frontend in
  bind 127.0.0.1:{port} backlog 4096
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  default_backend out
backend out
  server one 127.0.0.1:{upstream}
"""

_CADDY = """\
{{
  admin off
  auto_https off
}}
http://:{port} {{
  bind 127.0.0.1
  reverse_proxy 127.0.0.1:{upstream} {{
    transport http {{
      keepalive_idle_conns_per_host 1024
      compression off
    }}
  }}
}}
"""

_ROUTING_HEAD = """\
server:
  listen: 127.0.0.1:{port}
  admin: 127.0.0.1:{admin}
  workers: {workers}
  runtime_dir: {directory}/run
  state: sqlite:///{directory}/state.db
backends:
  legacy: {{url: "http://127.0.0.1:{first}"}}
  async: {{url: "http://127.0.0.1:{second}"}}
endpoints:
"""


def nginx_upstream(directory: Path, first: int, second: int) -> str:
    for name, size in BODIES.items():
        (directory / name).write_bytes(b"x" * size)
    server = _UPSTREAM.format(first=first, second=second, json=JSON, directory=directory)
    return _nginx("upstream", directory, server)


def nginx_proxy(directory: Path, port: int, upstream: int, workers: int) -> str:
    text = _nginx("nginx", directory, _PROXY.format(port=port, upstream=upstream))
    return text.replace("worker_processes 1;", f"worker_processes {workers};")


def haproxy(port: int, upstream: int, workers: int) -> str:
    return _HAPROXY.format(port=port, upstream=upstream).replace("nbthread 1", f"nbthread {workers}")


def caddy(port: int, upstream: int) -> str:
    return _CADDY.format(port=port, upstream=upstream)


def routing(directory: Path, port: int, admin: int, upstreams: tuple[int, int], workers: int) -> str:
    """Fifty endpoints: every read split in the middle, so that each request is hashed; writes on legacy."""
    head = _ROUTING_HEAD.format(
        port=port,
        admin=admin,
        workers=workers,
        directory=directory,
        first=upstreams[0],
        second=upstreams[1],
    )
    reads = [f"  GET /resource{n}/{{id}}: {{weight: 50}}" for n in range(ENDPOINTS - 5)]
    writes = [f"  POST /resource{n}/{{id}}: {{weight: 0}}" for n in range(5, 10)]
    return head + "\n".join(reads + writes) + "\n"


def _nginx(name: str, directory: Path, http: str) -> str:
    # Started by root, nginx would run its workers as nobody, who cannot read a private temporary directory.
    user = "user root;" if os.geteuid() == 0 else ""
    return _NGINX_BASE.format(name=name, directory=directory, user=user, http=http)

"""How each proxy under measurement is started."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import compiled, configs
from bench.processes import BenchError, Child, Cores, free_port, spawn, wait_for_port

APT = {"nginx": "nginx-light", "haproxy": "haproxy", "caddy": "caddy", "wrk": "wrk", "strace": "strace"}


@dataclass(frozen=True)
class Site:
    """Where a run keeps its files, its cores, and the two addresses of the upstream."""

    directory: Path
    cores: Cores
    upstreams: tuple[int, int]
    workers: int


@dataclass(frozen=True)
class Target:
    name: str
    port: int
    child: Child
    upstream: int  # its port


def require(*programs: str) -> None:
    """Raises BenchError with the command that installs what is missing."""
    missing = [program for program in dict.fromkeys(programs) if shutil.which(program) is None]
    if missing:
        packages = " ".join(APT[program] for program in missing)
        raise BenchError(
            f"{', '.join(missing)} not found; on Debian: apt-get install {packages}; --only leaves peers out"
        )


def start_upstream(directory: Path, cores: Cores) -> tuple[Child, tuple[int, int]]:
    """nginx with a small JSON answer on two ports, one for each backend."""
    ports = free_port(), free_port()
    config = directory / "upstream.conf"
    config.write_text(configs.nginx_upstream(directory, *ports))
    child = spawn("upstream", ["nginx", "-p", str(directory), "-c", str(config)], directory, cores.load)
    wait_for_port(child, ports[0])
    return child, ports


def start(name: str, site: Site) -> Target:
    """Raises BenchError with the tail of its log if it does not come up."""
    target = STARTERS[name](site)
    try:
        wait_for_port(target.child, target.port)
    except BenchError:
        target.child.stop()
        raise
    return target


def _nginx(site: Site) -> Target:
    port = free_port()
    text = configs.nginx_proxy(site.directory, port, site.upstreams[0], site.workers)
    config = _write(site, "nginx.conf", text)
    return _spawn("nginx", port, ["nginx", "-p", str(site.directory), "-c", config], site)


def _haproxy(site: Site) -> Target:
    port = free_port()
    config = _write(site, "haproxy.cfg", configs.haproxy(port, site.upstreams[0], site.workers))
    return _spawn("haproxy", port, ["haproxy", "-db", "-q", "-f", config], site)


def _caddy(site: Site) -> Target:
    port = free_port()
    config = _write(site, "Caddyfile", configs.caddy(port, site.upstreams[0]))
    environment = {
        "GOMAXPROCS": str(site.workers),
        "XDG_CONFIG_HOME": str(site.directory),
        "XDG_DATA_HOME": str(site.directory),
    }
    argv = ["caddy", "run", "--adapter", "caddyfile", "--config", config]
    return _spawn("caddy", port, argv, site, environment)


def _naive(site: Site) -> Target:
    port = free_port()
    argv = [
        *(sys.executable, "-m", "uvicorn", "bench.naive_proxy:app", "--port", str(port)),
        *("--no-access-log", "--log-level", "warning", "--loop", "uvloop", "--http", "httptools"),
    ]
    return _spawn("naive", port, argv, site, {"UPSTREAM": f"http://127.0.0.1:{site.upstreams[0]}"})


def strangler(site: Site, name: str = "strangler", environment: dict[str, str] | None = None) -> Target:
    """One of possibly several, each with a folder of its own."""
    port = free_port()
    directory = site.directory / f"{name}-files"
    directory.mkdir()
    text = configs.routing(directory, port, free_port(), site.upstreams, site.workers)
    config = _write(site, f"{name}.yaml", text)
    argv = [sys.executable, "-m", "proxy", "serve", "--config", config]
    return _spawn(name, port, argv, site, environment)


def _compiled(site: Site) -> Target:
    """The proxy as `make compiled` builds it."""
    stale = next(compiled.stale(), None)
    if stale is not None:
        raise BenchError(
            f"{stale} is not in build/compiled as it is now; `make compiled` (needs a C compiler)"
        )
    return strangler(site, "strangler", compiled.environment())


def _pure(site: Site) -> Target:
    """The proxy as its sources, which is what an editable install runs."""
    return strangler(site, "pure")


STARTERS: dict[str, Callable[[Site], Target]] = {
    "strangler": _compiled,
    "pure": _pure,
    "nginx": _nginx,
    "haproxy": _haproxy,
    "caddy": _caddy,
    "naive": _naive,
}


def _write(site: Site, name: str, text: str) -> str:
    path = site.directory / name
    path.write_text(text)
    return str(path)


def _spawn(
    name: str, port: int, argv: list[str], site: Site, environment: dict[str, str] | None = None
) -> Target:
    child = spawn(name, argv, site.directory, site.cores.proxy, environment)
    return Target(name, port, child, site.upstreams[0])

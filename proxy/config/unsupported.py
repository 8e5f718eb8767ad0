"""Keys whose feature does not exist yet: asking for it is an error, never silently ignored.

A feature that comes into being removes its lines here.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.errors import Path
from proxy.config.model import Backend, Compare, Config, Endpoint

NOT_YET = "is not supported yet"
_COMPARE = Compare()


def unsupported(config: Config) -> Iterator[tuple[Path, str]]:
    """Paths of what the file asks for too early, each with a phrase that follows the value."""
    yield from _backend(("backends", "legacy"), config.backends.legacy)
    yield from _backend(("backends", "async"), config.backends.async_)
    yield from _compare(("compare",), config.compare)
    for name, endpoint in config.endpoints.items():
        yield from _endpoint(("endpoints", name), endpoint)


def _backend(path: Path, backend: Backend) -> Iterator[tuple[Path, str]]:
    if backend.dry_run.header is not None:
        yield (*path, "dry_run", "header"), f"{NOT_YET}: leave it out"


def _compare(path: Path, compare: Compare) -> Iterator[tuple[Path, str]]:
    if compare.sample:
        yield (*path, "sample"), f"{NOT_YET}: leave it at 0%"
    if compare.rate != _COMPARE.rate:
        yield (*path, "rate"), f"{NOT_YET}: leave it out"
    if compare.in_flight != _COMPARE.in_flight:
        yield (*path, "in_flight"), f"{NOT_YET}: leave it out"
    if compare.redact:
        yield (*path, "redact"), f"{NOT_YET}: leave it empty"


def _endpoint(path: Path, endpoint: Endpoint) -> Iterator[tuple[Path, str]]:
    yield from _compare((*path, "compare"), endpoint.compare)

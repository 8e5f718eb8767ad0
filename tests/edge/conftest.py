from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.edge.harness import Edge, Script, Wire, answering, ok, snapshot


class Stage:
    """Starts edges and upstreams for one test and stops them after it."""

    def __init__(self) -> None:
        self._parts: list[Edge | Script] = []

    def upstream(self, serve: Callable[[Wire, int], None] | None = None, **given: Any) -> Script:
        script = Script(serve or answering(ok()), **given)
        self._parts.append(script)
        return script

    def edge(self, *args: Any, samples: str = "", **given: Any) -> Edge:
        """An edge for the snapshot that these arguments of `harness.snapshot` give."""
        edge = Edge(snapshot(*args, **given), samples)
        self._parts.append(edge)
        return edge

    def close(self) -> None:
        for part in reversed(self._parts):
            part.close()


@pytest.fixture(autouse=True)
def _sweep_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timeouts of tests are short; the sweeps that notice them must be shorter."""
    monkeypatch.setattr("proxy.edge.services.CLIENT_SWEEP", 0.02)
    monkeypatch.setattr("proxy.edge.services.UPSTREAM_SWEEP", 0.02)


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    try:
        yield stage
    finally:
        stage.close()


@pytest.fixture(scope="module")
def module_stage() -> Iterator[Stage]:
    stage = Stage()
    try:
        yield stage
    finally:
        stage.close()

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from proxy.control.channel import Link
from proxy.control.parts import Given, Ground, Parts, build, ground_floor
from proxy.control.reload import load
from proxy.core.wire.messages import Hello

TEXT = b"""\
server: {state: "sqlite:///mine.db"}
backends: {legacy: {url: "http://127.0.0.1:1"}, async: {url: "http://127.0.0.1:2"}}
endpoints: {GET /a: }
"""


@pytest.fixture
def given(tmp_path: Path) -> Given:
    path = tmp_path / "routing.yaml"
    return Given(path, TEXT, load(TEXT, str(path)), tmp_path, ("true",), None, None)


def built(given: Given, ground: Ground) -> Parts:
    return build(given, ground, lambda restart: None)


def test_all_parts_look_at_one_configuration(given: Given) -> None:
    ground = ground_floor(given)
    parts = built(given, ground)
    assert parts.reloader.running is given.loaded
    assert parts.reloader.started is given.loaded.snapshot
    assert parts.reloader.warnings == given.loaded.warnings
    assert parts.state.reloader is parts.reloader
    assert parts.state.supervisor is ground.supervisor
    assert parts.reloader._record == parts.recorder.record
    assert parts.reloader._unlisted == parts.ledger.unlisted_lately


def test_the_state_database_is_that_of_workers_that_went_on_serving(given: Given) -> None:
    ground = ground_floor(given)
    with socket.socket() as listener:
        hello = Hello(0, 1, "w", "test", "hash", 1, state="sqlite:///theirs.db")
        ground.supervisor.unclaimed.add(cast(Link, SimpleNamespace(hello=hello, listener=listener)))
        parts = built(given, ground)
    assert parts.reloader.started.server.state == "sqlite:///theirs.db"
    assert parts.reloader.running.snapshot.server.state == "sqlite:///mine.db"
    [warning] = parts.reloader.warnings
    assert "server.state" in warning
    assert "after a full stop" in warning

"""Every JSON document of a small site, to the byte: docs/admin-api.md is what scripts rely on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from starlette.testclient import TestClient

from proxy import __version__
from proxy.control.admin.app import build
from proxy.control.state import State
from tests.control.admin.small_site import small_site

DOCUMENTS: Final[dict[str, Any]] = json.loads(Path(__file__).with_name("small_site.json").read_text())


def compact(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    return small_site(tmp_path, monkeypatch)


def asked(state: State, path: str) -> str:
    answer = TestClient(build(state), base_url="http://127.0.0.1:9000").get(path)
    assert answer.status_code == 200
    text = answer.text.replace(f'"version":"{__version__}"', '"version":"VERSION"')
    return text.replace(state.reloader.running.snapshot.hash, "HASH")


@pytest.mark.parametrize("path", DOCUMENTS)
def test_every_document_of_a_small_site_is_as_it_was(path: str, state: State) -> None:
    assert asked(state, path) == compact(DOCUMENTS[path])


def test_the_last_hour_is_as_it_was(state: State) -> None:
    def hour(requests: int, errors: int, p95: float) -> list[dict[str, float]]:
        idle = {"requests": 0, "errors": 0, "p95_ms": 0.0}
        return [idle] * 58 + [{"requests": requests, "errors": errors, "p95_ms": p95}]

    expected = {
        "GET /a/{id}": {"legacy": hour(4010, 0, 4.628), "async": hour(3097, 87, 44.641)},
        "GET /b": {"legacy": hour(12, 0, 0.0), "async": []},
        "unlisted": {"legacy": hour(13, 0, 0.0), "async": []},
    }
    assert asked(state, "/api/v1/history") == compact({"endpoints": expected})

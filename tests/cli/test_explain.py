from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from proxy.cli import main
from proxy.config import load_file
from proxy.core.routing.buckets import bucket
from tests.control.admin import planted

TEXT = """
backends: {legacy: {url: 'http://127.0.0.1:1'}, async: {url: 'http://127.0.0.1:2'}}
unlisted: 404
override: {token: s3cret}
endpoints:
  GET /accounts/{id}: {weight: 12.5}
  POST /accounts: {weight: 0}
  GET /quotes: {weight: 100, sticky: client-ip}
"""


def explain(tmp_path: Path, *arguments: str) -> Result:
    path = tmp_path / "routing.yaml"
    path.write_text(TEXT)
    return CliRunner().invoke(main, ["explain", *arguments, "--config", str(path)])


def answer(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    result = explain(tmp_path, *arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    assert found.pop("config_hash") == load_file(tmp_path / "routing.yaml").snapshot.hash
    return found


def test_json_says_everything_about_a_request(tmp_path: Path) -> None:
    place = bucket(b"default", "accounts", b"42")
    assert answer(tmp_path, "GET", "/accounts/7?x=1", "-H", "X-User-Id: 42") == {
        "method": "GET",
        "target": "/accounts/7?x=1",
        "endpoint": "GET /accounts/{id}",
        "phase": "reads",
        "group": "accounts",
        "weight": 12.5,
        "rollout": None,
        "key": {"source": "header:x-user-id", "bucket": place},
        "backend": "async" if place < 1250 else "legacy",
        "reason": "weight",
    }


@pytest.mark.parametrize("user", ["zoë", "日本", "naïve\u00a0user", "x\u3000"])
def test_a_key_beyond_ascii_is_the_bytes_that_curl_would_send(tmp_path: Path, user: str) -> None:
    found = answer(tmp_path, "GET", "/accounts/7", "-H", f"X-User-Id: {user}")
    assert found["key"]["bucket"] == bucket(b"default", "accounts", user.encode())


def test_bytes_that_are_not_utf_8_stay_as_they_are(tmp_path: Path) -> None:
    found = answer(tmp_path, "GET", "/accounts/7", "-H", "X-User-Id: zo\udceb")  # how Python has argv's 0xEB
    assert found["key"]["bucket"] == bucket(b"default", "accounts", b"zo\xeb")


@pytest.mark.parametrize("line", ["X-User-Id: a\r\nX: y", "X-User-Id: a\0", "Zoë: x", "x"])
def test_what_is_no_header_is_refused(tmp_path: Path, line: str) -> None:
    result = explain(tmp_path, "GET", "/accounts/7", "-H", line)
    assert (result.exit_code, "is not 'name: value'" in result.output) == (2, True)


def test_json_keys_are_all_there_and_in_order(tmp_path: Path) -> None:
    result = explain(tmp_path, "GET", "/accounts/7", "--json")
    assert list(json.loads(result.stdout)) == [
        *(
            "method",
            "target",
            "endpoint",
            "phase",
            "group",
            "weight",
            "rollout",
            "key",
            "backend",
            "reason",
            "config_hash",
        )
    ]


def test_key_is_shown_also_where_the_weight_needs_none(tmp_path: Path) -> None:
    found = answer(tmp_path, "POST", "/accounts", "-H", "x-user-id: 42")
    assert found["key"] == {"source": "header:x-user-id", "bucket": bucket(b"default", "accounts", b"42")}
    assert (found["backend"], found["reason"], found["weight"]) == ("legacy", "weight", 0)


def test_client_address_can_be_given(tmp_path: Path) -> None:
    assert answer(tmp_path, "GET", "/quotes")["key"] is None
    found = answer(tmp_path, "GET", "/quotes", "--client-ip", "192.0.2.1")
    assert found["key"]["source"] == "client-ip"


def test_unlisted_request_has_no_endpoint_and_here_no_backend(tmp_path: Path) -> None:
    assert answer(tmp_path, "GET", "/other") == {
        "method": "GET",
        "target": "/other",
        "endpoint": None,
        "phase": None,
        "group": None,
        "weight": None,
        "rollout": None,
        "key": None,
        "backend": None,
        "reason": "unlisted",
    }


@pytest.mark.parametrize(
    ("arguments", "backend", "reason"),
    [
        (("GET", "/accounts//7"), "legacy", "unlisted"),
        (("GET", "/accounts/7"), "legacy", "unkeyed"),
        (
            ("GET", "/accounts/7", "-H", "x-backend: async", "-H", "x-backend-token: s3cret"),
            "async",
            "override",
        ),
        (
            ("OPTIONS", "/quotes", "-H", "Origin: http://x", "-H", "Access-Control-Request-Method: GET"),
            "async",
            "preflight",
        ),
    ],
)
def test_reason_is_given(tmp_path: Path, arguments: tuple[str, ...], backend: str, reason: str) -> None:
    found = answer(tmp_path, *arguments)
    assert (found["backend"], found["reason"]) == (backend, reason)


def test_prose_says_the_same(tmp_path: Path) -> None:
    result = explain(tmp_path, "GET", "/accounts/7", "-H", "x-user-id: 42")
    place = bucket(b"default", "accounts", b"42")
    assert f"  key       header:x-user-id in bucket {place} of 10000" in result.stdout.splitlines()
    assert "  weight    12.5" in result.stdout.splitlines()


@pytest.mark.parametrize(
    "arguments",
    [
        ("GET", "accounts"),
        ("GET", "/a b"),
        ("GET", "/é"),
        ("G T", "/a"),
        ("GET", "/a HTTP/1.1\r\nx: y"),
        ("GET", "/a", "-H", "no colon"),
        ("GET", "/a", "-H", ": x"),
        ("GET", "/a", "-H", "a b: x"),
        ("GET", "/a", "-H", "x: a\r\nb: c"),
        ("GET", "/" + "a" * 9000),
    ],
)
def test_what_is_no_request_exits_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = explain(tmp_path, *arguments)
    assert result.exit_code == 2
    assert result.stderr


def test_bad_config_exits_2(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("x: 1")
    result = CliRunner().invoke(main, ["explain", "GET", "/", "--config", str(path)])
    assert result.exit_code == 2
    assert "unknown key" in result.stderr


def test_people_are_told_how_far_the_answers_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "  answers   no evidence, nothing compared" in explain(tmp_path, "GET", "/accounts/7").stdout
    snapshot = load_file(tmp_path / "routing.yaml").snapshot
    tally = planted.differing(planted.scope_of(snapshot, "GET /accounts/{id}"))
    planted.plant(snapshot.server.state, [tally])
    assert "  answers   differs, 4321 compared" in explain(tmp_path, "GET", "/accounts/7").stdout
    database = tmp_path / ".strangler" / "state.comparisons.db"
    database.write_text("this is no database")
    assert "  answers   unknown" in explain(tmp_path, "GET", "/accounts/7").stdout

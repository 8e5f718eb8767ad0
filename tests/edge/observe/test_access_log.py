from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from proxy.edge.observe import access_log
from proxy.edge.observe.access_log import AccessEntry, AccessLog, line
from tests.edge.conftest import Stage
from tests.edge.harness import snapshot
from tests.support.waiting import eventually

DOCS = (Path(__file__).parent.parent.parent.parent / "docs" / "access-log.md").read_text()


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def entry(target: bytes = b"/accounts/42", status: int = 200) -> AccessEntry:
    return AccessEntry(
        0.0, "10.0.0.7", "GET", target, "GET /accounts/{account_id}", "async", "weight", status, 0.0032, TRACE
    )


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(each) for each in path.read_text().splitlines()] if path.exists() else []


def test_a_line_has_exactly_the_documented_fields() -> None:
    written = json.loads(line(entry()))
    rows = re.findall(r"^\| (`[^|]+`) \|", DOCS, re.MULTILINE)
    assert set(written) == {field for row in rows for field in re.findall(r"`([^`]+)`", row)}
    (example,) = re.findall(r"```json\n(.*?)```", DOCS, re.DOTALL)
    assert set(json.loads(example)) == set(written)
    assert (written["time"], written["duration_ms"]) == ("1970-01-01T00:00:00.000Z", 3.2)


@pytest.mark.parametrize(
    "target",
    [
        b"/a?token=s3cret",
        b"/a?x=1&api_key=s3cret&y=2",
        b"/a?X-Amz-Signature=s3cret",
        b"/cb?code=s3cret",
        b"/a?PASSWORD=s3cret",
        b"/a?%74oken=s3cret",
        b"/a?x=1;token=s3cret",
        b"/a;token=s3cret",
        b"/a?jwt=s3cret",
    ],
)
def test_credentials_in_a_query_are_not_written(target: bytes) -> None:
    written = line(entry(target))
    assert b"s3cret" not in written
    assert b"***" in written


@pytest.mark.parametrize("target", [b"/a?author=x&keyword=x&sort_key=x&country_code=x&zipcode=x", b"/a=b"])
def test_other_parameters_are_written(target: bytes) -> None:
    assert target in line(entry(target))


def test_what_has_the_shape_of_a_secret_is_not_written_even_in_a_path() -> None:
    written = line(entry(b"/cards/4111111111111111?t=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"))
    assert json.loads(written)["target"] == "/cards/***?t=***"


def test_any_byte_of_a_target_is_one_line_of_json() -> None:
    written = line(entry(bytes(range(256)).replace(b"&", b"")))
    assert written.count(b"\n") == 1
    assert json.loads(written)["target"].startswith("\x00")
    assert len(line(entry(b"/" + b"x" * 100_000))) < 3000


def test_a_file_that_was_moved_away_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(str(path))
    log.refusal("refused", 400)
    eventually(lambda: len(lines(path)) == 1)
    path.rename(tmp_path / "access.log.1")
    log.refusal("refused", 414)
    eventually(lambda: len(lines(path)) == 1)
    assert [each["status"] for each in lines(path)] == [414]
    log.close()
    log.join()


def test_it_is_opened_anew_when_asked_to_whatever_the_file_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_log, "_same", lambda *_: True)
    path = tmp_path / "access.log"
    log = AccessLog(str(path))
    log.refusal("refused", 400)
    eventually(lambda: len(lines(path)) == 1)
    path.rename(tmp_path / "access.log.1")
    log.reopen()
    log.refusal("refused", 414)
    eventually(lambda: len(lines(path)) == 1)
    assert [each["status"] for each in lines(path)] == [414]
    log.close()
    log.join()


def test_what_waits_is_written_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(str(path))
    for status in range(1000):
        log.refusal("refused", status)
    log.close()
    log.join()
    assert [each["status"] for each in lines(path)] == list(range(1000))


def test_what_finds_no_place_is_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "PAUSE", 3600.0)
    monkeypatch.setattr(access_log, "WAITING", 10)
    log = AccessLog(str(tmp_path / "access.log"))
    for _ in range(15):
        log.refusal("refused", 400)
    assert log.dropped == 5
    log.close()
    log.join()


def test_a_file_that_cannot_be_written_is_said_once_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = AccessLog(str(tmp_path))  # a directory
    log.refusal("refused", 400)
    eventually(lambda: log.dropped == 1)
    log.refusal("refused", 400)
    eventually(lambda: log.dropped == 2)
    log.close()
    log.join()
    assert len(caplog.records) == 1


def test_one_line_per_request_and_never_a_credential(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    upstream = stage.upstream()
    edge = stage.edge(f"http://127.0.0.1:{upstream.port}", rest=f"server: {{access_log: '{path}'}}")
    secrets = b"Authorization: Bearer s3cret\r\nCookie: session=s3cret\r\nIdempotency-Key: s3cret\r\n"
    edge.ask(b"GET /a?token=s3cret HTTP/1.1\r\nHost: h\r\n" + secrets + b"\r\n")
    edge.ask(b"GET /other HTTP/1.1\r\nHost: h\r\n\r\n")
    edge.ask(b"GET /a HTTP/1.1\r\n\r\n")  # no Host
    edge.call(lambda: edge.services.observers.close_access_log(wait=True))
    assert b"s3cret" not in path.read_bytes()
    listed, unlisted, refused = lines(path)
    assert (listed["client"], listed["endpoint"], listed["reason"]) == ("127.0.0.1", "GET /a", "weight")
    assert (unlisted["endpoint"], unlisted["target"], unlisted["backend"]) == (None, "/other", "legacy")
    assert (refused["backend"], refused["status"], refused["target"]) == ("proxy", 400, None)


def test_a_reload_turns_it_on_and_off(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    upstream = f"http://127.0.0.1:{stage.upstream().port}"
    edge = stage.edge(upstream)
    for rest in (f"server: {{access_log: '{path}'}}", ""):
        new = snapshot(upstream, rest=rest)
        edge.call(lambda new=new: edge.services.apply(new))  # type: ignore[misc]
        edge.ask(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
    eventually(lambda: len(lines(path)) == 1)
    assert edge.call(lambda: edge.services.observers.access_log) is None

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from proxy.compare.replay import recording
from proxy.compare.replay.recorded import BadInput, Recorded
from proxy.compare.replay.recording import Survey, format_of, requests, survey
from proxy.edge.observe.access_log import AccessEntry, line


def entry(url: str = "http://api.example/a?b=1", **request: object) -> dict[str, object]:
    return {"request": {"method": "GET", "url": url, "headers": []} | request, "response": {"status": 200}}


def har(tmp_path: Path, *entries: object) -> Path:
    path = tmp_path / "session.har"
    path.write_text(json.dumps({"log": {"version": "1.2", "entries": entries}}, indent=1))
    return path


def read(path: Path) -> list[Recorded]:
    return list(requests(path, format_of(path)))


def refused(path: Path) -> str:
    with pytest.raises(BadInput) as error:
        survey(path)
    return str(error.value).replace(f"{path}:", "")


def test_the_proxys_own_log_is_read(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    entries = [
        AccessEntry(0.0, "10.0.0.7", "GET", b"/a?x=%41\xe9", "GET /a", "legacy", "weight", 200, 0.1),
        AccessEntry(0.0, "10.0.0.7", "GET", b"/a?token=secret", "GET /a", "legacy", "weight", 200, 0.1),
        AccessEntry(0.0, "10.0.0.7", "GET", b"/" + b"a" * 3000, None, "legacy", "unlisted", 200, 0.1),
        AccessEntry(0.0, "", None, b"", None, "proxy", "bad_header", 400, 0.0),
    ]
    path.write_bytes(b"".join(map(line, entries)))
    assert survey(path) == Survey("access log", 4, None)
    first, *others = read(path)
    assert first == Recorded("GET", "/a?x=%41\xe9", (), b"", None, 200, None)
    assert [each.skip for each in others] == [
        "a value in its query is masked",
        "its target is cut",
        "refused before it was a request",
    ]


def test_bad_lines_among_good_ones_are_skipped_and_named(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    good = json.dumps({"method": "GET", "target": "/a"})
    path.write_text("\n".join([good, "x", "", good, '{"method": 1, "target": "/"}', good[:20]]))
    found = survey(path)
    assert (found.requests, [each.removeprefix(f"{path}:") for each in found.bad]) == (
        5,
        [
            '2: not a line of an access log: there is no request in it, such as "GET /path HTTP/1.1"',
            "5: not a line of an access log: Expected `str | null`, got `int` - at `$.method`",
            "6: not a line of an access log: Input data was truncated",
        ],
    )
    assert [each.skip for each in read(path)] == [None, why := "not a line of an access log", None, why, why]


def test_a_file_without_any_request_is_refused_with_its_first_errors(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("x\n" * 100)
    assert len(refused(path).splitlines()) == recording.MAX_ERRORS + 1
    path.write_bytes(b"x" * (recording.MAX_LINE + 1))
    assert refused(path) == "1: a line is over 262144 bytes: this is no access log"


def test_har_entries_become_requests_without_what_belongs_to_their_connection(tmp_path: Path) -> None:
    names = (":path", "Accept", "Cookie", "Connection", "If-None-Match", "Accept-Encoding", "Idempotency-Key")
    headers = [{"name": name, "value": "v"} for name in names]
    post = {"mimeType": "text/plain", "text": "h\u00e9"}
    path = har(tmp_path, entry(headers=headers), entry("https://b/", method="POST", postData=post))
    assert survey(path) == Survey("HAR", 2, "api.example")
    get, write = read(path)
    sent = (("accept", b"v"), ("cookie", b"v"))
    assert get == Recorded("GET", "/a?b=1", sent, b"", "api.example", 200, None)
    assert (write.method, write.target, write.body) == ("POST", "/", "h\u00e9".encode())


def test_bad_har_entries_among_good_ones_are_skipped_and_named_with_their_line(tmp_path: Path) -> None:
    path = har(tmp_path, entry(), {"request": {"method": "GET"}}, None, entry(headers=[1]))
    lines = path.read_text().splitlines()
    ends = [number for number, text in enumerate(lines, 1) if text.rstrip(",") in ("   }", "   null")]
    bad = [each.removeprefix(f"{path}:") for each in survey(path).bad]
    assert [int(each.split(":")[0]) for each in bad] == ends[1:]
    assert "'url' is missing" in bad[0]
    assert [each.skip for each in read(path)] == [None, *["no entry of a HAR file"] * 3]
    path.write_text("\n".join([*lines[:12], "oops", *lines[12:]]))
    assert refused(path).startswith("13: not JSON: lexical error")


def test_a_file_of_any_size_takes_little_memory(tmp_path: Path) -> None:
    path = har(tmp_path, *(entry(headers=[{"name": "a", "value": "v" * 1000}]) for _ in range(1500)))
    assert path.stat().st_size > 1_500_000
    tracemalloc.start()
    assert survey(path).requests == 1500
    assert sum(1 for _ in requests(path, "HAR")) == 1500
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 700_000

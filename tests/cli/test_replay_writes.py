"""`strangler replay --sandbox`: what changes something is executed once on each backend."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from proxy.cli import main
from proxy.compare.client import Asked, BackendRequest
from proxy.compare.replay import run
from tests.cli.test_replay import FAST, Replies, config, log
from tests.compare.backends import Backend, Reply, backend

ENDPOINTS = "endpoints: {POST /api/users: {}, GET /once: {}, GET /mark: {safe: false}}"


def har(tmp_path: Path, count: int, method: str = "POST", path: str = "/api/users") -> Path:
    entries = [
        {
            "request": {
                "method": method,
                "url": f"http://api{path}",
                "headers": [{"name": "content-type", "value": "application/json"}],
                **({"postData": {"text": json.dumps({"name": f"user {n}"})}} if method == "POST" else {}),
            }
        }
        for n in range(count)
    ]
    file = tmp_path / "session.har"
    file.write_text(json.dumps({"log": {"entries": entries}}))
    return file


def replayed(
    tmp_path: Path, file: Path, legacy: Replies, async_: Replies, *arguments: str
) -> tuple[Result, Backend, Backend]:
    with backend(legacy) as ours, backend(async_) as theirs:
        path = config(tmp_path, ours.url, theirs.url, ENDPOINTS)
        sandbox = ("--sandbox", ours.url, "--sandbox", theirs.url)
        told = ["replay", str(file), "--config", str(path), *FAST, *sandbox, *arguments]
        result = CliRunner().invoke(main, told)
    return result, ours, theirs


def creating(status: int, first: int = 1, **more: Any) -> Callable[[], Reply]:
    numbers = itertools.count(first)

    def reply() -> Reply:
        body = {"id": next(numbers), "created_at": "2026-01-01T00:00:00Z", "state": "new"} | more
        return Reply(json.dumps(body).encode(), status)

    return reply


def conflicting(status: int) -> Callable[[], Reply]:
    """Every second time it is the same write again."""
    seen = itertools.count()
    return lambda: Reply(b"{}", status) if next(seen) % 2 == 0 else Reply(b'{"error":"taken"}', 422)


def test_a_status_that_is_always_wrong_differs_though_a_second_execution_would_conflict(
    tmp_path: Path,
) -> None:
    def taken_or_new() -> Reply:
        body = ours.bodies[-1]
        return Reply(b'{"error":"taken"}', 422) if ours.bodies.count(body) > 1 else Reply(b"{}", 200)

    file, async_ = har(tmp_path, 45), {"/api/users": Reply(b"{}", 201)}
    with backend({"/api/users": taken_or_new}) as ours, backend(async_) as theirs:
        path = config(tmp_path, ours.url, theirs.url, ENDPOINTS)
        told = ["replay", str(file), "--config", str(path), *FAST, "--json"]
        result = CliRunner().invoke(main, [*told, "--sandbox", ours.url, "--sandbox", theirs.url])
    (found,) = json.loads(result.stdout)["endpoints"]
    assert (result.exit_code, found["verdict"], found["k"]) == (1, "differs", 45)
    assert [(each["path"], each["verdict"]) for each in found["fields"]] == [(":status", "fault")]
    assert (len(ours.requests), len(theirs.requests), found["executed_once"]) == (45, 45, 45)


def test_what_a_write_makes_up_is_noise_and_what_it_says_is_not(tmp_path: Path) -> None:
    legacy = {"/api/users": creating(201)}
    for async_, code, wrong in (
        (creating(201, first=900), 0, []),
        (creating(201, first=900, state="NEW"), 1, ["state"]),
        (creating(201, first=900, amount="1.00"), 1, ["amount"]),
    ):
        result, *_ = replayed(tmp_path, har(tmp_path, 45), legacy, {"/api/users": async_}, "--json")
        (found,) = json.loads(result.stdout)["endpoints"]
        assert [each["path"] for each in found["fields"] if each["verdict"] == "fault"] == wrong
        assert (result.exit_code, found["k"]) == (code, 45 if wrong else 0)


def test_people_read_that_each_was_executed_once(tmp_path: Path) -> None:
    replies = {"/api/users": Reply(b"{}", 201)}
    result, *_ = replayed(tmp_path, har(tmp_path, 40), replies, replies)
    assert "  40 compared, each executed once, 0 differ" in result.stdout


def test_a_link_that_works_once_is_no_noise_in_which_a_wrong_status_hides(tmp_path: Path) -> None:
    file = log(tmp_path, ["/once"] * 45)
    result, *_ = replayed(
        tmp_path,
        file,
        {"/once": conflicting(200)},
        {"/once": Reply(b"{}", 201)},
        "--json",
        "--concurrency",
        "1",
    )
    (found,) = json.loads(result.stdout)["endpoints"]
    assert [(each["path"], each["verdict"]) for each in found["fields"]][:1] == [(":status", "fault")]
    assert (result.exit_code, found["verdict"]) == (1, "differs")


def test_a_read_that_is_declared_to_change_something_is_executed_once(tmp_path: Path) -> None:
    result, ours, theirs = replayed(
        tmp_path, log(tmp_path, ["/mark"] * 31), {"/mark": Reply(b"1")}, {"/mark": Reply(b"1")}
    )
    assert (result.exit_code, len(ours.requests), len(theirs.requests)) == (0, 31, 31)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A job that a shell runs in the background ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_write_that_was_begun_is_not_executed_by_the_run_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped while async was executing it: legacy has executed it, async maybe."""
    asking, stopped = run.ask, False

    async def stop_once(configured: Any, request: BackendRequest, *more: Any) -> Asked:
        nonlocal stopped
        if configured.name == "async" and not stopped:
            stopped = True
            signal.raise_signal(signal.SIGINT)
            await asyncio.Event().wait()
        return await asking(configured, request, *more)

    monkeypatch.setattr(run, "ask", stop_once)
    file, replies = har(tmp_path, 3), {"/api/users": Reply(b"{}", 201)}
    with backend(replies) as ours, backend(replies) as theirs:
        path = config(tmp_path, ours.url, theirs.url, ENDPOINTS)
        told = ["replay", str(file), "--config", str(path), *FAST, "--sandbox", ours.url]
        told += ["--sandbox", theirs.url, "--json"]
        assert CliRunner().invoke(main, told).exit_code == 130
        result = CliRunner().invoke(main, told)
    assert (len(ours.requests), len(theirs.requests)) == (3, 2)
    found = json.loads(result.stdout)
    assert (result.exit_code, found["missing"], found["compared"]) == (1, 1, 2)


def test_backends_get_what_was_recorded_byte_for_byte(tmp_path: Path) -> None:
    headers = [
        {"name": name, "value": value}
        for name, value in (
            *((":authority", "api"), ("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")),
            *(("x-name", "J\u00fcrgen"), ("x-a", "1"), ("x-a", "2"), ("content-type", "image/png")),
        )
    ]
    data = {"text": "AP/+ew==", "encoding": "base64", "mimeType": "image/png"}
    request = {"method": "POST", "url": "http://api/api/users", "headers": headers}
    bad = request | {"headers": [{"name": "x-a", "value": "1\r\nx-admin: 1"}]}
    entries = [
        {"request": each} for each in (request | {"postData": data}, bad, request | {"postData": data})
    ]
    file = tmp_path / "session.har"
    file.write_text("\ufeff" + json.dumps({"log": {"entries": entries}}, indent=1))
    replies = {"/api/users": Reply(b"{}", 201)}
    result, *sides = replayed(tmp_path, file, replies, replies, "--json")
    found = json.loads(result.stdout)
    assert (found["requests"], found["compared"], found["skipped"]) == (3, 2, {"no entry of a HAR file": 1})
    (bad_entry,) = found["bad"]
    assert "there is a line break in its header x-a" in bad_entry
    assert f"skipped: {bad_entry}\n" in result.stderr
    for side in sides:
        assert side.bodies == [b"\x00\xff\xfe{"] * 2
        for lines in side.lines:
            assert ("cookie", "a=1; b=2; c=3") in lines
            assert ("x-name", "J\u00fcrgen".encode().decode("latin-1")) in lines
            assert [value for name, value in lines if name == "x-a"] == ["1", "2"]
            assert "x-admin" not in dict(lines)
            assert [value for name, value in lines if name == "content-length"] == ["4"]


def test_reads_of_another_proxys_log_are_replayed(tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    line = '10.0.0.7 - - [28/Nov/2026:13:55:36 +0000] "{} /mark?x=%22 HTTP/1.1" 200 1 "-" "-"\n'
    file.write_text(line.format("GET") * 31 + line.format("DELETE") + "cut off\n")
    replies = {"/mark?x=%22": Reply(b"1")}
    result, ours, _ = replayed(tmp_path, file, replies, replies, "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["compared"], len(ours.requests)) == (0, 31, 31)
    assert found["skipped"] == {"its body is not in the log": 1, "not a line of an access log": 1}

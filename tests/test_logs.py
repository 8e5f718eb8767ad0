from __future__ import annotations

import json
import logging
import re
import sys

import pytest

from proxy import logs


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> object:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.delenv(logs.VARIABLE, raising=False)
    levels = {name: logging.getLogger(name).level for name in logs.NOISY}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def say(process: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What is written of two events, one with an exception, and of a library that talks too much."""
    logs.configure(process)
    log = logging.getLogger("strangler.test")
    log.warning("worker %d\nhas died", 3)
    try:
        raise ValueError("broken")
    except ValueError:
        log.exception("cannot go on")
    logging.getLogger("uvicorn").info("hello")
    sys.stderr.flush()
    return capsys.readouterr().err.splitlines()


def test_json_is_one_object_per_event(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(logs.VARIABLE, "json")
    first, second = map(json.loads, say("worker 1", capsys))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    assert isinstance(first.pop("pid"), int)
    assert first == {"level": "warning", "process": "worker 1", "message": "worker 3\nhas died"}
    assert second["message"] == "cannot go on"
    assert "ValueError: broken" in second["exception"]


def test_console_names_the_process_unless_it_is_the_control_process(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert say("worker 1", capsys)[0].endswith("Z WARNING worker 1: worker 3")
    assert say("control", capsys)[0].endswith("Z WARNING worker 3")

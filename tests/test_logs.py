from __future__ import annotations

import io
import json
import logging
import re
import sys
from collections.abc import Callable

import pytest

from proxy import logs


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> object:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.delenv(logs.VARIABLE, raising=False)
    monkeypatch.delenv(logs.LEVEL_VARIABLE, raising=False)
    levels = {name: logging.getLogger(name).level for name in (*logs.NOISY, logs.OURS)}
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


@pytest.mark.parametrize(("level", "said"), [("info", []), ("debug", ["worker 1: ours"])])
def test_debug_is_for_our_own_lines_only(
    level: logs.Level, said: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(logs.VARIABLE, "console")
    monkeypatch.setenv(logs.LEVEL_VARIABLE, "")
    logs.choose("console", level)
    logs.configure("worker 1")
    logging.getLogger("strangler.states").debug("ours")
    logging.getLogger("sqlalchemy").debug("theirs")
    assert [line.partition(" DEBUG ")[2] for line in capsys.readouterr().err.splitlines()] == said


class Said(io.StringIO):
    def lines(self) -> list[str]:
        return self.getvalue().splitlines()


def bounded(clock: Callable[[], float]) -> tuple[logging.Logger, Said, logging.Handler]:
    stream = Said()
    handler = logs._Bounded(stream, clock)
    log = logging.Logger("strangler.test")
    log.addHandler(handler)
    return log, stream, handler


def test_lines_of_one_kind_are_left_out_and_counted() -> None:
    now = [0.0]
    log, said, _ = bounded(lambda: now[0])
    for number in range(1000):
        log.error("cannot accept %d", number)
        log.info("that is %d", number)
    log.error("something else")
    lines = said.lines()
    assert sum(line.startswith("cannot accept") for line in lines) == logs.LINES
    assert sum(line.startswith("that is") for line in lines) == 1000
    assert lines[-1] == "something else"
    now[0] = logs.INTERVAL
    log.error("cannot accept %d", 1000)
    assert said.lines()[-2:] == ["suppressed 900 more lines like: cannot accept 999", "cannot accept 1000"]


def test_what_was_left_out_is_said_at_the_end_and_tracebacks_are_few() -> None:
    log, said, handler = bounded(lambda: 0.0)
    for number in range(20):
        try:
            raise OSError("no descriptor")
        except OSError:
            log.exception("it failed %d", number)
    assert said.getvalue().count("Traceback") == logs.TRACEBACKS
    handler.close()
    assert said.lines()[-1] == f"suppressed {20 - logs.TRACEBACKS} more lines like: it failed 19"


def test_kinds_are_bounded() -> None:
    log, said, handler = bounded(lambda: 0.0)
    for number in range(10 * logs.KINDS):
        log.error(f"kind {number}")
    assert isinstance(handler, logs._Bounded)
    assert len(handler._kinds) == logs.KINDS
    assert len(said.lines()) == 10 * logs.KINDS

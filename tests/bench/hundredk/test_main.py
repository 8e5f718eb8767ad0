from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from bench.crowd.document import marks
from bench.hundredk.__main__ import main, processes_for
from bench.hundredk.markdown import reached


def test_a_small_run_keeps_every_connection_and_writes_its_figures(tmp_path: Path) -> None:
    results, document = tmp_path / "results.json", tmp_path / "scale.md"
    document.write_text("\n".join(marks("bench-100k")))
    sizes = ["--connections=400", "--every=1", "--seconds=2", "--async-seconds=0"]
    code = main([*sizes, f"--output={results}", f"--document={document}"])
    found = json.loads(results.read_text())
    assert code == (0 if reached(found) else 1)
    assert found["stub"]["users"] == 400
    assert found["stub"]["answered"] > 400
    assert found["stub"]["errors"] == {}
    assert found["stub"]["memory"]["proxy"] > 0
    assert "400 connections from 2 processes" in document.read_text()


def test_enough_processes_for_the_descriptors_that_each_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, 20_000))
    assert processes_for(100_000) == 6
    assert processes_for(10) == 2

"""A whole run, as small as can be: what it finds is not looked at, but that it finds and writes all of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.crowd.document import marks
from bench.headline import __main__ as module
from bench.headline import capacity, parts
from bench.headline.capacity import Plan


def test_a_run_measures_every_target_and_writes_figures_and_charts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUICK", Plan(think=0.1, settle=0.1, seconds=0.6, samples=1, precision=2))
    monkeypatch.setattr(capacity, "CEILING", 2)
    monkeypatch.setattr(capacity, "RUSH", 2)
    monkeypatch.setattr(parts, "PROXY_WORKERS", 1)
    results, document = tmp_path / "results.json", tmp_path / "scale.md"
    document.write_text("\n".join(marks("bench-headline")))
    sizes = ["--quick", "--waits=10", "--processes=1", "--no-measures"]
    assert module.main([*sizes, f"--output={results}", f"--document={document}"]) == 1, (
        "so few users are no goal"
    )
    found = json.loads(results.read_text())
    legacy, *others = found["capacities"]
    assert [legacy["target"], *(one["target"] for one in others)] == ["legacy x 1", "async x 1", "async x 1"]
    for result in (legacy, *others):
        step = result["steps"][0]
        assert step["per_second"] > 0
        assert step["error_rate"] == 0
        assert step["cpu"]["backend"] > 0
    # Legacy asks whether its connection lives, begins, and rolls back, around the same two statements.
    assert (legacy["trips"]["account"], others[0]["trips"]["account"]) == (5, 2)
    assert legacy["trips"]["pay"] > others[0]["trips"]["pay"]
    assert legacy["steps"][0]["p50_ms"] > 50
    assert "times legacy's users at a wait of" in document.read_text()
    assert {path.name for path in (tmp_path / "img").iterdir()} == {"scale-p99.svg", "scale-ratio.svg"}


@pytest.mark.parametrize("wrong", ["", "x", "-1", "20,,50"])
def test_waits_must_be_numbers(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        module.parse([f"--waits={wrong}"])
    assert "is not numbers from 0" in capsys.readouterr().err

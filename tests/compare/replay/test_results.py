from __future__ import annotations

from pathlib import Path

import pytest

from proxy.compare.judging import Finding
from proxy.compare.replay.results import MAX_EXAMPLES, Replayed, ReplayResults, identity
from proxy.core.comparison.comparisons import Scope
from proxy.core.comparison.differences import Difference
from proxy.core.comparison.marks import Mark
from proxy.core.comparison.noise import Observed

SCOPE = Scope("GET /a", "1.0", "2.0", "r")


def compared(*paths: str, again: tuple[str, ...] | None = (), scope: Scope = SCOPE) -> Replayed:
    found = [Difference(path, "value", 1, 2, (path,)) for path in paths]
    marks, noise = (frozenset(map(Mark, each)) for each in (paths, again or ()))
    lasting = marks - noise if again is not None else frozenset[Mark]()
    observed = Observed(marks, None if again is None else noise, looked=lasting, lasting=lasting)
    finding = Finding(scope, found, observed, 200, (), {"ignore x": 1}, 0.01, 0.02)
    return Replayed(finding, "GET", "/a")


def test_a_stopped_replay_goes_on_with_all_that_it_knew(tmp_path: Path) -> None:
    path, whole = tmp_path / "state", ReplayResults()
    for number in range(1, 81):
        whole.done(number)
        whole.add(compared("v", "t", again=("t",)) if number % 2 else compared("t", again=None))
        if number == 40:
            whole.done(50)  # out of order: two were under way
            whole.skipped["", "masked"] += 1
            whole.missing["GET /a"] += 1
            whole.save(path, "me")
            whole = ReplayResults.load(path, "me")
            assert (whole.through, whole.is_done(41), whole.is_done(50), whole.count) == (40, False, True, 41)
    (report,) = whole.reports()
    assert (report.parity.n, report.parity.m, report.parity.k) == (80, 40, 40)
    assert {each.path: each.verdict for each in report.parity.paths} == {"v": "fault", "t": "noise"}
    assert (report.statuses, report.hidden) == ({"200": 80}, {"ignore x": 80})
    assert (whole.skipped["", "masked"], whole.missing.total(), whole.compared) == (1, 1, 80)
    assert len(whole.examples["GET /a"]) == 2 * MAX_EXAMPLES
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_state_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state"
    assert ReplayResults.load(path, "me").count == 0
    ReplayResults().save(path, "me")
    with pytest.raises(ValueError, match="of another file, configuration or set"):
        ReplayResults.load(path, "you")
    path.write_text("{}")
    with pytest.raises(ValueError, match="it does not hold the progress of a replay"):
        ReplayResults.load(path, "me")


def test_a_file_that_grew_is_another(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("a")
    before = identity(path, 1)
    assert before == identity(path, 1) != identity(path, 2)
    path.write_text("aa")
    assert identity(path, 1) != before


def test_answers_of_another_version_are_evidence_of_their_own() -> None:
    found = ReplayResults()
    found.add(compared("v"))
    found.add(compared(scope=SCOPE._replace(async_="2.1")))
    assert [(each.scope.async_, each.parity.n) for each in found.reports()] == [("2.0", 1), ("2.1", 1)]

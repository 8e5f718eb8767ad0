from __future__ import annotations

import json
from pathlib import Path

from bench import report
from bench.measure import Round


def measured(cpu: float) -> Round:
    return Round(
        requests=1000,
        errors=1,
        per_second=1000.0,
        megabytes_per_second=1.0,
        p50=1.0,
        p99=2.0,
        p999=3.0,
        user=cpu / 4,
        system=cpu * 3 / 4,
        busy=1.0,
    )


RESULTS = {
    "strangler": [measured(60), measured(50), measured(90)],
    "nginx": [measured(30)],
    "haproxy": [measured(40)],
}


def test_each_target_is_a_line_with_median_spread_and_ratios() -> None:
    header, line, *_ = report.table(RESULTS).splitlines()
    assert header.split()[-2:] == ["x", "haproxy"]
    assert line.split()[0] == "strangler"
    assert "60.0" in line.split()
    assert "50.0-90.0" in line.split()
    assert line.split()[-3:] == ["3", "2.00", "1.50"]


def test_ratios_are_left_out_when_the_peer_was_not_measured() -> None:
    header, line = report.table({"strangler": RESULTS["strangler"]}).splitlines()
    assert "nginx" not in header
    assert line.split()[-1] == "3"


def test_every_round_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "results" / "run.json"
    report.write(path, {"rounds": "3"}, {"keys": RESULTS}, {"idle": {"nginx": [{"KiB": 1.0}]}})
    written = json.loads(path.read_text())
    assert written["settings"] == {"rounds": "3"}
    assert written["machine"]["cores"]
    strangler = written["scenarios"]["keys"]["strangler"]
    assert [one["user"] for one in strangler["rounds"]] == [15, 12.5, 22.5]
    assert strangler["cpu_ratio"] == {"nginx": "2.00", "haproxy": "1.50"}


def test_a_probe_s_figures_are_columns() -> None:
    header, first, second = report.probe_table(
        {"a": [{"x": 1.0}, {"x": 3.0}], "b": [{"y": 2.5}]}
    ).splitlines()
    assert header.split() == ["x", "y"]
    assert first.split() == ["a", "2.00", "-"]
    assert second.split() == ["b", "-", "2.50"]


def test_what_a_proxy_adds_is_told_in_relation_to_nginx() -> None:
    found = report.probe_medians(
        {"ours": [{"added p99 ms": 3.0}, {"added p99 ms": 1.0}], "nginx": [{"added p99 ms": 0.5}]}
    )
    assert found["ours"]["added / nginx"] == 4.0
    assert found["nginx"]["added / nginx"] == 1.0
    alone = report.probe_medians({"ours": [{"added p99 ms": 3.0}], "nginx": [{"added p99 ms": -0.5}]})
    assert "added / nginx" not in alone["ours"]

from __future__ import annotations

from typing import Any

import pytest

from bench.hundredk.markdown import per_connection, reached, render

OPENING = {
    "seconds": 40.0,
    "per_second": 2500,
    "memory_before": 2**27,
    "kernel_per_connection": 8192,
    "overflows": 0,
}


def phase(**changes: Any) -> dict[str, Any]:
    usual = {
        "users": 1024,
        "per_second": 17.0,
        "errors": {},
        "lost": 0,
        "overflows": 7,
        "p50_ms": 1.0,
        "p99_ms": 9.0,
        "p99.9_ms": 20.0,
        "p100_ms": 30.0,
        "p99_of_slices": [8.0, 11.0],
        "lag_p99_ms": 2.0,
        "cpu": {"proxy": 0.2, "users": 0.1, "others": 0.05, "machine": 0.4, "cores": 2},
        "memory": {"proxy": 2**27 + 4 * 2**20, "users": 2**24},
    }
    return {**usual, **changes}


def document(stub: dict[str, Any]) -> dict[str, Any]:
    machine = {"cpu": "a CPU", "cores": 2, "kernel": "6", "python": "3.11"}
    settings = {"connections": "1024", "every": "60", "async_every": "300"}
    counts = {"processes of users": 2, "workers": 2}
    how = {"at": "now", "machine": machine, "data_path": "compiled", "settings": settings}
    return {**how, **counts, "opening": OPENING, "stub": stub}


def test_memory_per_connection_is_what_the_proxy_grew_by() -> None:
    assert per_connection(phase(), OPENING) == 4


def test_goals_that_are_reached_are_told() -> None:
    page = render(document(phase()))
    assert page.count("goal reached:") == 3
    assert "| 8.0-11.0 |" in page
    assert "7 connections were turned away" in page
    assert reached(document(phase()))


@pytest.mark.parametrize(
    "worse",
    [
        {"errors": {"connection lost": 1}},
        {"p99_ms": 151.0},
        {"memory": {"proxy": 2**27 + 17 * 2**20, "users": 0}},
    ],
)
def test_each_goal_that_is_missed_is_told(worse: dict[str, Any]) -> None:
    missed = document(phase(**worse))
    assert render(missed).count("GOAL MISSED:") == 1
    assert not reached(missed)

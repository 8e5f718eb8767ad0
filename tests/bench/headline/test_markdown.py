from __future__ import annotations

from typing import Any

import pytest

from bench.headline import arithmetic
from bench.headline.charts import p99, ratio
from bench.headline.markdown import ratios, reached, render

CPU = {
    "backend": 0.5,
    "proxy": 0.1,
    "postgres": 0.2,
    "relay": 0.05,
    "users": 0.05,
    "fx": 0.0,
    "others": 0.1,
    "machine": 1.0,
    "cores": 2,
}


def result(target: str, wait: float, users: int, *, plus: bool = True, processes: int = 4) -> dict[str, Any]:
    steps = [
        {
            "users": number,
            "held": number == users,
            "p50_ms": 100.0,
            "p99_ms": 200.0,
            "judged_ms": 90.0,
            "per_second": number / 10,
            "error_rate": 0.0,
            "errors": {},
            "lag_ms": 1.0,
            "received": 900.0,
            "trips": 2.5,
            "cpu": CPU,
            "limit": "waiting",
        }
        for number in (users, 2 * users)
        if number
    ] or [{**result(target, wait, 1)["steps"][0], "held": False}]
    return {
        "target": target,
        "processes": processes,
        "wait_ms": wait,
        "users": users,
        "plus_waits": plus,
        "bound_ms": 800.0,
        "trips": {"account": 5},
        "steps": steps,
        "memory": processes * 2**26,
        "proxy_memory": 2**26,
        "database_connections": 8,
    }


def document(legacy: int, half: int, *, plus: bool = False) -> dict[str, Any]:
    return {
        "at": "2026-01-01",
        "took": 600,
        "data_path": "compiled",
        "machine": {"cpu": "a CPU", "cores": 2, "kernel": "6", "python": "3.11"},
        "plan": {"think": 10.0, "settle": 1.0, "seconds": 3.0, "samples": 1, "precision": 1.15},
        "relay": {"straight": {"p50": 0.1, "p99": 0.2}},
        "capacities": [
            result("legacy x 4", 50, legacy, plus=plus),
            result("async x 4", 50, 2 * half),
            result("async x 2", 50, half, processes=2),
        ],
        "measures": {
            "wait_ms": 50.0,
            "processes": 2,
            "rows": [
                {"name": "pool", **result("pool", 50, 10)},
                {"name": "PgBouncer", "skipped": "left out: it"},
            ],
        },
        "pydantic": {"versions": ["2", "1"], "us": {"validate": [1.0, 10.0]}},
    }


def test_the_goal_is_for_half_the_processes() -> None:
    assert reached(document(10, 200))
    assert not reached(document(10, 199))


def test_a_wait_with_which_legacy_cannot_keep_its_bound_does_not_count() -> None:
    assert not reached(document(10, 1000, plus=True))


def test_no_users_of_legacy_are_no_ratio() -> None:
    assert ratios(document(0, 100)) == {"async x 4": {50: 0.0}, "async x 2": {50: 0.0}}
    assert "| async x 2 | - |" in render(document(0, 100))
    assert "no ratio" in ratio(document(0, 100))


def test_everything_is_told() -> None:
    text = render(document(10, 200))
    for said in ("reached.", "left out: it", "| validate | 1.0 | 10.0 | 10.0 |", "0.10 cores were taken"):
        assert said in text
    assert "**MISSED**" in render(document(10, 199))
    assert p99(document(10, 200)).count("<circle") == 6


def test_sync_processes_are_counted_by_users_and_async_ones_by_cpu() -> None:
    legacy, _, half = document(100, 2000)["capacities"]
    sync = arithmetic.need(legacy, legacy["steps"][0], 10, 10)
    assert sync.processes == 100_000 / (100 / 4)
    assert sync.gib == pytest.approx(4000 / 16)
    lone = arithmetic.need(half, half["steps"][0], 10, 10)
    assert lone.cores == pytest.approx(10_000 * 0.5 / 200)
    assert lone.processes == 42
    assert sync.servers > lone.servers >= 2
    assert arithmetic.need(half, half["steps"][0], 10, 60).cores == pytest.approx(lone.cores / 6)

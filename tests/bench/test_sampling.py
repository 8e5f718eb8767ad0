from __future__ import annotations

from bench.sampling import backend, report


def test_ratios_are_those_within_each_pair() -> None:
    slow, fast = (
        {"p50 ms": 10.0, "p99 ms": 20.0, "errors": 0.0},
        {"p50 ms": 1.0, "p99 ms": 2.0, "errors": 1.0},
    )
    same = {figure: value * 1.1 for figure, value in slow.items()}
    also = {**{figure: value * 1.2 for figure, value in fast.items()}, "errors": 0.0}
    lines = report([(slow, same), (fast, also)]).splitlines()
    assert lines[2] == "| p50 ms | 5.50 | 6.10 | 1.15 (1.10-1.20) |"
    assert lines[-1] == "failed requests of clients: 1"


def test_a_backend_may_be_alive_or_not() -> None:
    with backend("alive", 7) as port:
        assert port == 7
    with backend("dead", 7) as dead, backend("slow", 7) as slow:
        assert len({dead, slow, 7}) == 3

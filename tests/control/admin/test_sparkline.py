from __future__ import annotations

from proxy.control.admin.sparkline import HEIGHT, WIDTH, sparkline


def test_both_backends_share_one_scale() -> None:
    chart = sparkline("requests", "", {"legacy": [0.0, 10.0], "async": [0.0, 5.0]})
    assert chart is not None
    assert chart.lines["legacy"] == f"0.0,{HEIGHT - 1}.0 {WIDTH}.0,1.0"
    assert chart.lines["async"] == f"0.0,{HEIGHT - 1}.0 {WIDTH}.0,{HEIGHT / 2:.1f}"
    assert chart.label == "requests in the last hour: legacy 0 to 10, async 0 to 5"


def test_a_backend_without_traffic_has_no_line() -> None:
    chart = sparkline("p95", " ms", {"legacy": [2.0, 2.0], "async": [0.0, 0.0]})
    assert chart is not None
    assert set(chart.lines) == {"legacy"}
    assert chart.label == "p95 in the last hour: legacy 2 ms"


def test_nothing_to_draw() -> None:
    assert sparkline("x", "", {}) is None
    assert sparkline("x", "", {"legacy": [0.0]}) is None

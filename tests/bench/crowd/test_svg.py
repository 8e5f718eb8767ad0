from __future__ import annotations

from xml.etree import ElementTree

import pytest

from bench.crowd.svg import Axis, Line, chart

SVG = "{http://www.w3.org/2000/svg}"


def test_an_axis_is_logarithmic_between_round_numbers() -> None:
    axis = Axis.of([12, 900], 100, 200)
    assert (axis.low, axis.high) == (10, 1000)
    assert [axis.at(value) for value in (10, 100, 1000)] == [100, 200, 300]
    assert axis.ticks() == [10, 20, 50, 100, 200, 500, 1000]


@pytest.mark.parametrize("value", [0.05, 1, 20, 999])
def test_an_axis_of_one_value_has_a_length(value: float) -> None:
    axis = Axis.of([value], 0, 100)
    assert 0 <= axis.at(value) <= 100


def test_every_point_is_drawn_and_missed_ones_are_hollow() -> None:
    line = Line("a < b", [(1, 10), (10, 100), (100, 800)], frozenset({(100, 800)}))
    root = ElementTree.fromstring(chart("t & t", "users", "ms", [line]))
    circles = root.findall(f"{SVG}circle")
    assert [circle.get("fill") == "none" for circle in circles] == [False, False, True]
    across = [float(str(circle.get("cx"))) for circle in circles]
    assert across[1] - across[0] == pytest.approx(across[2] - across[1], abs=0.2)
    assert "a < b" in [text.text for text in root.iter(f"{SVG}text")]

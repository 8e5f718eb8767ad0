from __future__ import annotations

from proxy.control.admin.weightchart import BOTTOM, LEFT, RIGHT, TOP, weight_chart
from proxy.store.rollouts import Past

NOW = 1_700_000_000.0
STEPS = (0.0, 1.0, 5.0, 25.0, 50.0, 100.0)


def change(time: float, before: float, weight: float, state: str = "running", reason: str = "so") -> Past:
    details = {"state": state, "before": before, "weight": weight, "reason": reason}
    return Past(NOW + time, "GET /a", details)


def test_nothing_has_changed_yet() -> None:
    assert weight_chart([], STEPS, NOW) is None


def test_a_line_goes_from_step_to_step_and_to_now() -> None:
    chart = weight_chart([change(0, 0, 0), change(1000, 0, 25), change(2000, 25, 100)], STEPS, NOW + 4000)
    assert chart is not None
    quarter = (RIGHT - LEFT) / 4
    middle = (TOP + BOTTOM) / 2
    assert [tuple(line) for line in chart.lines] == [
        (LEFT, BOTTOM, LEFT + quarter, BOTTOM),
        (LEFT + quarter, BOTTOM, LEFT + quarter, middle),
        (LEFT + quarter, middle, LEFT + 2 * quarter, middle),
        (LEFT + 2 * quarter, middle, LEFT + 2 * quarter, TOP),
        (LEFT + 2 * quarter, TOP, RIGHT, TOP),
    ]
    assert chart.label == "weight from 2023-11-14T22:13:20Z to 2023-11-14T23:20:00Z: 0, 25, 100 %"


def test_each_change_says_its_reason_and_reaches_to_the_next() -> None:
    past = [change(0, 0, 5), change(50, 5, 0, "rolled_back", "3 <users> failed"), change(75, 0, 0, "paused")]
    chart = weight_chart(past, STEPS, NOW + 100)
    assert chart is not None
    assert [each.text for each in chart.changes] == [
        "0 → 5 %, running: so",
        "5 → 0 %, rolled back: 3 <users> failed",
        "at 0 %, paused: so",
    ]
    assert [each.moved for each in chart.changes] == [True, True, False]
    assert [round(each.x + each.width, 1) for each in chart.changes] == [
        (LEFT + RIGHT) / 2,
        LEFT + 0.75 * (RIGHT - LEFT),
        RIGHT,
    ]


def test_what_ended_long_ago_does_not_shrink_to_nothing() -> None:
    chart = weight_chart([change(0, 0, 1), change(8000, 1, 100)], STEPS, NOW + 1e7)
    assert chart is not None
    assert chart.changes[1].x == (LEFT + RIGHT) / 2


def test_it_does_not_move_with_every_look() -> None:
    past = [change(0, 0, 1)]
    looks = {weight_chart(past, STEPS, NOW + 2000 + each) for each in range(10)}
    assert len(looks) == 1


def test_a_clock_that_was_set_back_draws_no_line_backwards() -> None:
    chart = weight_chart([change(0, 0, 1), change(-500, 1, 5)], STEPS, NOW - 400)
    assert chart is not None
    assert all(line.x1 <= line.x2 for line in chart.lines)
    assert all(each.width >= 0 for each in chart.changes)


def test_labels_lie_apart_and_the_ends_are_always_there() -> None:
    chart = weight_chart([change(0, 0, 1)], [0.1, 0.5, 1, 5, 25, 95, 100], NOW)
    assert chart is not None
    labels = [level.label for level in chart.levels]
    assert labels[0] == "100 %"
    assert labels[-1] == "0 %"
    assert "95 %" not in labels
    assert "25 %" in labels
    gaps = [after.y - before.y for before, after in zip(chart.levels, chart.levels[1:], strict=False)]
    assert min(gaps) >= 9

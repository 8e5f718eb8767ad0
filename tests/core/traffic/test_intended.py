from __future__ import annotations

import msgspec
import pytest

from proxy.core.traffic.history import samples
from proxy.core.traffic.intended import counts, intended
from proxy.core.traffic.totals import EMPTY, Window
from proxy.core.wire.messages import Requests, Stats


def totals(*lines: tuple[str, str, int, int], own: tuple[tuple[str, str, int, int], ...] = ()) -> Stats:
    """Of (backend, reason, status, count)."""
    return msgspec.structs.replace(
        EMPTY,
        requests=[Requests("GET /a", *line) for line in lines],
        own=[Requests("GET /a", *line) for line in own],
    )


@pytest.mark.parametrize(
    ("line", "backend", "outcome"),
    [
        pytest.param(("async", "weight", 200), "async", "ok", id="answered"),
        pytest.param(("async", "weight", 404), "async", "ok", id="a 4xx is an answer"),
        pytest.param(("async", "unkeyed", 500), "async", "error", id="a 5xx"),
        pytest.param(("async", "weight", 0), "async", "aborted", id="aborted"),
        pytest.param(("legacy", "fallback", 200), "async", "saved", id="async failed, legacy saved it"),
        pytest.param(("legacy", "breaker", 200), "async", "saved", id="async was not asked, as it fails"),
        pytest.param(("legacy", "fallback", 502), "async", "error", id="and legacy failed, too"),
        pytest.param(("legacy", "weight", 200), "legacy", "ok", id="legacy's own"),
        pytest.param(("legacy", "weight", 503), "legacy", "error", id="legacy's own fault"),
    ],
)
def test_a_request_is_booked_on_the_backend_that_was_to_answer_it(
    line: tuple[str, str, int], backend: str, outcome: str
) -> None:
    seen = totals((*line, 7))
    assert counts(seen) == {("GET /a", backend, outcome): 7}
    sample = samples(seen)["GET /a", backend]
    assert (sample.requests, sample.errors) == (7, 0 if outcome == "ok" else 7)


@pytest.mark.parametrize("reason", ["override", "owner", "preflight", "unlisted"])
def test_what_the_table_did_not_send_is_in_the_figures_and_not_in_the_count(reason: str) -> None:
    seen = totals(("async", reason, 200, 3))
    assert counts(seen) == {}
    assert [each.requests for each in intended(seen)] == [3]


def test_own_answers_are_nobodys() -> None:
    seen = totals(
        ("async", "weight", 200, 5),
        ("async", "weight", 503, 4),
        ("proxy", "refused", 400, 9),
        own=(("async", "weight", 503, 3),),
    )
    assert counts(seen) == {("GET /a", "async", "ok"): 5, ("GET /a", "async", "error"): 1}


def test_a_minute_in_which_legacy_saved_everything_shows_async_failing() -> None:
    window = Window(100.0)
    window.add(101.0, EMPTY, totals(("legacy", "fallback", 200, 60)))
    figures = window.figures(160.0)
    assert figures.keys() == {("GET /a", "async")}
    assert figures["GET /a", "async"].error_rate == 1.0


def test_a_partial_message_leaves_out_own_answers_too() -> None:
    window = Window(100.0)
    before = totals(("async", "weight", 503, 4), own=(("async", "weight", 503, 3),))
    after = totals(("async", "weight", 503, 10), own=(("async", "weight", 503, 8),))
    window.add(101.0, before, after)
    figures = window.figures(110.0)["GET /a", "async"]
    assert figures.requests_per_second == pytest.approx(0.1)

from __future__ import annotations

import pytest

from proxy.core.rollout.actions import ACTIONS, possible
from proxy.core.rollout.progress import duration, estimate, figures, state_words, towards


@pytest.mark.parametrize(
    ("value", "needed", "share"),
    [(1.0, 20.0, 0.0), (20.0, 20.0, 1.0), (1000.0, 1e6, 0.5), (0.1, 0.01, 0.5), (1.0, 0.01, 0.0), (1, 1, 1)],
)
def test_the_way_is_measured_in_factors(value: float, needed: float, share: float) -> None:
    assert towards(value, needed) == pytest.approx(share)


def test_what_is_not_known_is_not_called_a_bound() -> None:
    assert figures("failing", 1.0, 0.2) == "nothing is shown yet; needed: under 20 % of users"
    assert figures("failing", 0.05, 0.01) == "shown: under 5 % of users; needed: under 1 %"
    assert figures("no_worse", 3.25, 20) == "E = 3.25; needed: 20"
    assert figures("no_worse", 1e12, 20) == "E > 1,000,000; needed: 20"


def test_never_is_not_an_empty_estimate() -> None:
    assert estimate(None, ["traffic"]) == "how long it takes at this traffic cannot be told"
    assert estimate(0.0, []) == estimate(None, []) == ""
    assert estimate(243.0, ["users"]) == "at this traffic: about 4 min 3 s"
    assert duration(None) == "never"


def test_states_are_words() -> None:
    assert [state_words(each) for each in ("rolled_back", "approval", "running")] == [
        "rolled back",
        "waits for approval",
        "running",
    ]


def test_only_what_was_rolled_back_can_be_tried_again() -> None:
    assert possible("rolled_back") == ("retry",)
    assert "retry" not in possible("running")
    assert set(possible("approval")) < set(ACTIONS)

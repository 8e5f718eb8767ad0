from __future__ import annotations

from proxy.compare.replay.repeats import SURE, TWICE_FIRST, Repeats


def test_the_first_requests_are_repeated_and_then_every_second() -> None:
    repeats = Repeats()
    wanted = []
    for _ in range(TWICE_FIRST + 4):
        wanted.append(repeats.wanted())
        repeats.saw(200, 200)
    assert wanted == [True] * TWICE_FIRST + [False, True] * 2
    assert not repeats.stateful


def test_what_answers_once_is_soon_asked_once() -> None:
    repeats, asked = Repeats(), 0
    for _ in range(45):
        if repeats.wanted():
            asked += 1
            repeats.saw(200, 410)
        assert repeats.stateful
    assert asked == SURE


def test_a_status_that_flickers_is_noise_and_goes_on_being_measured() -> None:
    repeats = Repeats()
    for number in range(TWICE_FIRST):
        assert repeats.wanted()
        repeats.saw(200, 503 if number % 3 == 2 else 200)
        assert not repeats.stateful

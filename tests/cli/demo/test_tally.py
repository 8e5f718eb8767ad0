from __future__ import annotations

import pytest

from proxy.cli.demo.tally import MAX_EXAMPLES, Seen, StepTally

READ = "GET /accounts/{account_id}"


def seen(seconds: float = 0.01, status: int = 200, backend: str = "async") -> Seen:
    return Seen(READ, backend, status, seconds, "user-1")


def test_a_sum_counts_every_part_once() -> None:
    parts = [StepTally(), StepTally()]
    for part in parts:
        part.record(seen())
        part.record(seen(status=502, backend=""))
    whole = StepTally.of(*parts)
    assert whole.count(read=True) == 4
    assert whole.count(read=True, backend="async") == 2
    assert whole.failed(read=True) == 2
    assert parts[0].count(read=True) == 2
    assert sum(whole.latencies["async"]) == 2


def test_latency_is_kept_within_the_histogram_s_precision() -> None:
    tally = StepTally()
    for _ in range(100):
        tally.record(seen(0.050))
    assert tally.milliseconds("async", 0.5) == pytest.approx(50, rel=0.12)
    assert tally.milliseconds("legacy", 0.5) is None


def test_an_answer_slower_than_all_bounds_is_counted() -> None:
    tally = StepTally()
    tally.record(seen(1000.0))
    assert sum(tally.latencies["async"]) == 1


def test_examples_are_bounded() -> None:
    tally = StepTally()
    for _ in range(100):
        tally.record(seen(status=500))
    assert len(tally.failed_reads) == MAX_EXAMPLES
    assert not tally.failed_writes


def test_groups_are_the_first_literal_segment() -> None:
    assert seen().group == "accounts"
    assert Seen("POST /payments", "", 201, 0.1, "u").group == "payments"


def test_who_was_failed_is_known_by_side() -> None:
    tally = StepTally()
    for number, backend in enumerate(("async", "async", "legacy", "")):
        tally.record(Seen(READ, backend, 500, 0.1, f"user-{number}"))
        tally.record(Seen(READ, backend, 200, 0.1, f"user-{number + 10}"))
    tally.record(Seen(READ, "async", 500, 0.1, "user-0"))  # once more
    tally.record(Seen("POST /accounts", "async", 500, 0.1, "user-5"))  # no read
    assert tally.failing("async") == {"user-0", "user-1"}
    assert tally.failing("legacy") == {"user-2"}
    assert tally.failing("") == {"user-3"}
    assert tally.failed_by == {"async": 3, "legacy": 1, "": 1}
    assert tally.users("legacy") == {"user-2", "user-12"}


def test_reads_of_some_groups_can_be_added_with_who_saw_which_side() -> None:
    part, whole = StepTally(), StepTally()
    part.record(seen(status=500))
    part.record(Seen("GET /payments", "legacy", 500, 0.1, "user-2"))
    part.record(Seen("POST /accounts", "async", 201, 0.1, "user-3"))
    for _ in range(2):
        whole.add_reads(part, {"accounts"})
    assert whole.requests == {(READ, "async"): 2}
    assert whole.failing("async") == {"user-1"}
    assert whole.failing("legacy") == set()
    assert whole.on("async") == {("accounts", "user-1")}
    assert whole.on("legacy") == set()

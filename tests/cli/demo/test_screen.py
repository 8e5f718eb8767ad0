from __future__ import annotations

import io

import pytest
from rich.console import Console

from proxy.cli.demo.claims import Claim
from proxy.cli.demo.screen import Screen
from proxy.cli.demo.tally import Seen, StepTally

FIGURES = {
    "legacy": {"requests_per_second": 123.4, "p50_ms": 12.3, "p99_ms": 1234.5},
    "async": {"requests_per_second": 0.0, "p50_ms": None, "p99_ms": None},
}
ENDPOINTS = [
    {"endpoint": "GET /accounts/{account_id}/transactions", "weight": 12.5, "backends": FIGURES},
    {"endpoint": "POST /payments", "weight": 100, "backends": {}},
]


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


def test_the_live_table_fits_80_columns_with_every_figure(output: io.StringIO) -> None:
    screen = Screen(Console(file=output, force_terminal=True, color_system=None, width=80))
    with screen.live():
        screen.update(ENDPOINTS, StepTally())
    shown = output.getvalue()
    for figure in ("12.5", "123.4", "12/1234", "0.0", "-/-", "100"):
        assert f" {figure} " in shown
    assert "0 requests, 0 reads failed" in shown


def test_without_a_terminal_there_are_lines_only(output: io.StringIO) -> None:
    screen = Screen(Console(file=output))
    with screen.live():
        screen.update(ENDPOINTS, StepTally())
        screen.say("GET [/payments]: said")
    assert output.getvalue() == "GET [/payments]: said\n"


@pytest.mark.parametrize("held", [True, False])
def test_the_summary_holds_only_if_every_claim_did(held: bool, output: io.StringIO) -> None:
    screen = Screen(Console(file=output, width=200))
    screen.claim(Claim("water is wet", True, "felt"))
    screen.claim(Claim("fire is cold", held, "touched"))
    totals = StepTally()
    totals.record(Seen("GET /x", "legacy", 200, 0.01, "u"))
    assert screen.summary(totals) is held
    assert f"{1 + held} of 2 claims held" in output.getvalue()
    assert ("  FAILED: fire is cold: touched" in output.getvalue()) is not held


def test_what_the_bad_build_failed_is_told_from_all_else(output: io.StringIO) -> None:
    screen = Screen(Console(file=output, width=200))
    totals = StepTally()
    for user in ("a", "b", "c"):
        totals.record(Seen("GET /x", "async", 500, 0.01, user, "an example"))
    screen.rollouts = ["async 2.0: rolled back"]
    screen.failed_by_bad_build = 3
    screen.summary(totals)
    assert "errors on reads: 3 by async 2.0, 0 others\n" in output.getvalue()
    assert "  async 2.0: rolled back\n" in output.getvalue()
    assert "an example" not in output.getvalue()
    screen.failed_by_bad_build = 2
    screen.summary(totals)
    assert "errors on reads: 2 by async 2.0, 1 others\n    GET /x: 500 an example" in output.getvalue()

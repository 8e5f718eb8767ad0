"""`strangler rollout`, `freeze` and `unfreeze`, before an admin port that answers what a test says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from proxy.cli import admin as admin_port
from proxy.cli import main, rollout_screen

ROLLOUT: dict[str, Any] = {
    "endpoint": "GET /a",
    "plan": "careful",
    "group": "a",
    "state": "holding",
    "reason": "too little is known about failures on async",
    "step": 1,
    "steps": [0, 5, 100],
    "weight": 5,
    "since": "2026-11-28T10:00:00.000Z",
    "stepped": "2026-11-28T10:00:00.000Z",
    "version": "1.4",
    "attempt": 2,
    "units": {"legacy": {"active": 900, "failed": 1}, "async": {"active": 48, "failed": 0}},
    "e_values": {"failing": 63.0, "refused": 1.0, "slower": None},
    "threshold": 4000.0,
    "bounds": {"failing": 0.1, "legacy": 0.004, "no_worse": 4.5, "slower": None, "parity": None},
    "needed": {"failing": 0.01, "no_worse": 20.0, "slower": None, "parity": None},
    "doubt": "legacy does not answer, and could take nothing back",
    "next": {"weight": 100, "missing": ["310 more users on async"], "eta_seconds": 3723},
}
PLAN: dict[str, Any] = {
    "endpoint": "GET /a",
    "plan": "careful",
    "requests_per_second": 12.0,
    "failing": 0.01,
    "seconds": 7260,
    "steps": [
        {"weight": 0, "seconds": 600, "conditions": {"dwell": 600}, "approve": False},
        {"weight": 5, "seconds": 6660, "conditions": {"dwell": 600, "failing": None}, "approve": True},
    ],
}


class Port:
    def __init__(self) -> None:
        self.rollouts = [ROLLOUT]
        self.frozen: dict[str, Any] | None = None
        self.plan = PLAN
        self.status = 200
        self.asked: list[tuple[str, Any]] = []

    def answer(self) -> dict[str, Any]:
        return {"rollouts": self.rollouts, "frozen": self.frozen, "leads": True, "problem": None}

    def get(self, admin: str, path: str) -> Any:
        return self.answer()

    def ask(self, admin: str, path: str) -> tuple[int, Any]:
        self.asked.append((path, None))
        return self.status, self.plan if self.status == 200 else {"detail": "no"}

    def post(self, admin: str, path: str, timeout: float, *, json: object) -> tuple[int, Any]:
        self.asked.append((path, json))
        return self.status, self.answer() if self.status == 200 else {"detail": "it is done"}


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Port:
    made = Port()
    for name in ("get", "ask", "post"):
        monkeypatch.setattr(admin_port, name, getattr(made, name))
    return made


def run(*argv: str) -> Result:
    return CliRunner().invoke(main, list(argv), env={"COLUMNS": "120"})


def state(name: str) -> dict[str, Any]:
    return {**ROLLOUT, "state": name, "next": None}


@pytest.mark.parametrize(
    "command", [("list",), ("show", "GET /a"), ("list", "--json"), ("show", "GET /a", "--json")]
)
def test_only_what_was_rolled_back_is_a_no(port: Port, command: tuple[str, ...]) -> None:
    for name in rollout_screen.STYLES:
        port.rollouts = [state(name)]
        assert run("rollout", *command).exit_code == (1 if name == "rolled_back" else 0), name


def test_the_list_says_what_each_waits_for(port: Port) -> None:
    port.frozen = {"reason": "holidays", "author": "ada", "since": "2026-11-28T10:00:00.000Z"}
    text = " ".join(run("rollout", "list").stdout.split())
    for expected in ("GET /a", "careful", "holding", "too little is known", "about 1 h 2 min", "holidays"):
        assert expected in text


def test_one_is_shown_with_bars_towards_its_thresholds(port: Port) -> None:
    text = run("rollout", "show", "GET /a").stdout
    bars = {line.split()[0]: line.count("█") for line in text.splitlines() if "░" in line or "█" in line}
    assert bars == {"failing": 10, "or": 10, "refused": 0}
    assert "failing     ██████████░" in text  # a bound of 0.1 is halfway to 0.01
    for expected in (
        "attempt 2",
        "310 more users on async",
        "E = 63 of 4,000",
        "about 1 h 2 min",
        "48 users",
        "in doubt: legacy does not answer",
    ):
        assert expected in text


def test_the_step_in_force_can_be_told_without_colours(port: Port) -> None:
    assert "steps  0 → (5) → 100 %" in run("rollout", "show", "GET /a").stdout


def test_what_was_rolled_back_says_what_to_do_and_counts_nobody(port: Port) -> None:
    port.rollouts = [{**state("rolled_back"), "weight": 0, "step": 0}]
    text = run("rollout", "show", "GET /a").stdout
    assert "steps  (0) → 5 → 100 %" in text
    assert "once async is repaired: strangler rollout retry 'GET /a'" in text
    assert "in this period" not in text  # of a time that says nothing about why it came back


def test_one_user_is_no_users(port: Port) -> None:
    port.rollouts = [{**ROLLOUT, "units": {**ROLLOUT["units"], "async": {"active": 1, "failed": 0}}}]
    assert "async  1 user in this period, 0 failed" in run("rollout", "show", "GET /a").stdout


def test_json_is_what_the_admin_port_says(port: Port) -> None:
    assert json.loads(run("rollout", "list", "--json").stdout) == port.answer()
    assert json.loads(run("rollout", "show", "GET /a", "--json").stdout) == ROLLOUT


def test_an_endpoint_in_no_rollout_is_bad_input(port: Port) -> None:
    result = run("rollout", "show", "GET /b")
    assert result.exit_code == 2
    assert "is in no rollout" in result.stderr


@pytest.mark.parametrize("action", ["pause", "resume", "approve", "abort", "retry"])
@pytest.mark.parametrize(("status", "code"), [(200, 0), (409, 1), (503, 1), (404, 2), (400, 2)])
def test_actions_say_what_became_of_them(port: Port, action: str, status: int, code: int) -> None:
    port.status = status
    result = run("rollout", action, "GET /a", "--reason", "why not")
    assert result.exit_code == code
    assert port.asked == [(f"/api/v1/rollouts/{action}", {"endpoint": "GET /a", "reason": "why not"})]
    assert ("GET /a: holding at 5 %" in result.stdout) == (code == 0)


def test_a_dry_run_says_how_long_it_takes(port: Port) -> None:
    result = run("rollout", "plan", "GET /a", "--plan", "bold")
    assert result.exit_code == 0
    assert port.asked[0][0] == "/api/v1/rollouts/plan?endpoint=GET+%2Fa&plan=bold"
    for expected in (
        "1 h 51 min",
        "failing never",
        "after a person approves it: dwell",
        "altogether about 2 h 1 min",
    ):
        assert expected in " ".join(result.stdout.split())
    port.plan = {**PLAN, "seconds": None}
    assert run("rollout", "plan", "GET /a").exit_code == 1
    port.status = 404
    assert run("rollout", "plan", "GET /a").exit_code == 2


@pytest.mark.parametrize("command", ["freeze", "unfreeze"])
def test_a_freeze_needs_a_reason(port: Port, command: str) -> None:
    assert run(command).exit_code == 2
    assert run(command, "--reason", " ").exit_code == 2
    assert not port.asked
    assert run(command, "--reason", "holidays").exit_code == 0
    assert port.asked == [(f"/api/v1/rollouts/{command}", {"reason": "holidays"})]
    port.status = 409
    assert run(command, "--reason", "holidays").exit_code == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "never"), (50, "50 s"), (243, "4 min 3 s"), (3600, "1 h"), (273_600, "3 d 4 h")],
)
def test_durations_are_short(seconds: float | None, text: str) -> None:
    assert rollout_screen.duration(seconds) == text

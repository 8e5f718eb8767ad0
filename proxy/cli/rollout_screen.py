"""Rollouts in the terminal: one line each, or one with its evidence as bars."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from proxy.core.rollout.progress import duration, estimate, figures, number, state_words, towards

WIDTH: Final = 20  # characters of a bar
STYLES: Final = {
    "waiting": "dim",
    "running": "cyan",
    "holding": "yellow",
    "approval": "magenta",
    "paused": "yellow",
    "rolled_back": "bold red",
    "done": "green",
}
KINDS: Final = {"failing": "failing", "refused": "refused (4xx)", "slower": "slower"}


def line(found: dict[str, Any]) -> str:
    """Such as `GET /a: running at 5 %: gathering evidence`."""
    return f"{found['endpoint']}: {state(found)} at {found['weight']:g} %: {found['reason']}"


def state(found: dict[str, Any]) -> str:
    return state_words(found["state"])


def print_list(answer: dict[str, Any]) -> None:
    console = Console()
    _print_general(console, answer)
    if not answer["rollouts"]:
        console.print("no endpoint is in a rollout")
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("endpoint", overflow="fold", min_width=18)
    table.add_column("plan", overflow="fold")
    table.add_column("weight", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("why", overflow="fold", ratio=1)
    for each in answer["rollouts"]:
        style = STYLES[each["state"]]
        weight = f"{each['weight']:g}"
        why = escape(each["reason"])
        if each["next"] and (eta := estimate(each["next"]["eta_seconds"], each["next"]["missing"])):
            why += f"\n[dim]{eta}[/dim]"
        table.add_row(
            escape(each["endpoint"]), escape(each["plan"]), weight, f"[{style}]{state(each)}[/]", why
        )
    console.print(table)


def print_one(found: dict[str, Any], answer: dict[str, Any]) -> None:
    console = Console(highlight=False)
    _print_general(console, answer)
    style = STYLES[found["state"]]
    attempt = f", attempt {found['attempt']}" if found["attempt"] > 1 else ""
    version = f", async {found['version']}" if found["version"] else ""
    console.print(
        f"[bold]{escape(found['endpoint'])}[/]  plan {escape(found['plan'])}{attempt}{escape(version)}"
    )
    console.print(f"[{style}]{state(found)}[/] for {_ago(found['since'])}: {escape(found['reason'])}")
    console.print(f"steps  {_steps(found)}")
    if found["state"] == "rolled_back":
        endpoint = escape(found["endpoint"])
        console.print(f"next   once async is repaired: strangler rollout retry '{endpoint}'", soft_wrap=True)
    if found["state"] in ("rolled_back", "done"):
        return
    for side in ("legacy", "async"):
        seen = found["units"][side]
        console.print(f"{side:7}{_users(seen['active'])} in this period, {seen['failed']:,} failed")
    if found["next"] is not None:
        _print_next(console, found)
    _print_rollback(console, found)


def print_plan(answer: dict[str, Any]) -> None:
    console = Console(highlight=False)
    rate, failing = answer["requests_per_second"], answer["failing"]
    console.print(
        f"{escape(answer['endpoint'])} by plan {escape(answer['plan'])}, at {rate:.3g} requests per second, "
        f"of which {failing:.2%} fail on legacy"
    )
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("weight", justify="right")
    table.add_column("at least", justify="right", no_wrap=True)
    table.add_column("each condition alone", overflow="fold")
    for step in answer["steps"]:
        parts = ", ".join(f"{name} {duration(each)}" for name, each in step["conditions"].items())
        person = "after a person approves it: " if step["approve"] else ""
        table.add_row(f"{step['weight']:g}", duration(step["seconds"]), person + parts)
    console.print(table)
    whole = answer["seconds"]
    console.print("it would never end" if whole is None else f"altogether about {duration(whole)}")
    if any({"failing", "no_worse"} <= each["conditions"].keys() for each in answer["steps"]):
        console.print("Of failing and no_worse one is enough.")


def bar(share: float) -> str:
    """Full at 1."""
    full = round(WIDTH * min(1.0, max(0.0, share)))
    return "█" * full + "░" * (WIDTH - full)


def _print_general(console: Console, answer: dict[str, Any]) -> None:
    if answer["frozen"]:
        by = f" by {answer['frozen']['author']}" if answer["frozen"]["author"] else ""
        since = _ago(answer["frozen"]["since"])
        reason = escape(answer["frozen"]["reason"])
        console.print(f"[bold yellow]frozen{escape(by)} for {since}: {reason}[/]; nothing advances")
    if answer["problem"]:
        console.print(f"[bold red]{escape(answer['problem'])}[/]; nothing advances")


def _steps(found: dict[str, Any]) -> str:
    """The one in force is in parentheses, since not every terminal, and no file, shows it reversed."""
    below = found["weight"] < found["steps"][0]  # as after a rollback
    shown = [f"[reverse]({found['weight']:g})[/]"] if below else []
    for step, weight in enumerate(found["steps"]):
        text = f"{weight:g}"
        shown.append(f"[reverse]({text})[/]" if step == found["step"] and not below else text)
    return " → ".join(shown) + " %"


def _users(number: int) -> str:
    return f"{number:,} user" if number == 1 else f"{number:,} users"


def _print_next(console: Console, found: dict[str, Any]) -> None:
    coming, needed, bounds = found["next"], found["needed"], found["bounds"]
    console.print(f"\ntowards {coming['weight']:g} %")
    for name in ("failing", "no_worse", "slower", "parity"):
        have, need = bounds.get(name), needed.get(name)
        if need is None:
            continue
        value = 1.0 if have is None else have
        either = name == "no_worse" and needed.get("failing") is not None  # one of the two is enough
        label = f"or {name}" if either else name
        console.print(f"  {label:11} {bar(towards(value, need))}  {figures(name, value, need)}")
    for text in coming["missing"]:
        console.print(f"  missing: {escape(text)}")
    if found["doubt"]:
        console.print(f"  [yellow]in doubt: {escape(found['doubt'])}[/]")
    if eta := estimate(coming["eta_seconds"], coming["missing"]):
        console.print(f"  {eta}")


def _print_rollback(console: Console, found: dict[str, Any]) -> None:
    threshold = found["threshold"]
    if not threshold:
        return
    console.print("\ntowards a rollback  (E measures evidence: 1 is none, and a full bar is enough)")
    for kind, name in KINDS.items():
        value = found["e_values"][kind]
        if value is not None:
            console.print(
                f"  {name:13} {bar(towards(value, threshold))}  E = {number(value)} of {number(threshold)}"
            )


def _ago(time: str) -> str:
    then = datetime.fromisoformat(time)
    seconds = (datetime.now(UTC) - then).total_seconds()
    return f"{duration(max(0.0, seconds))} (since {time[:19]}Z)"

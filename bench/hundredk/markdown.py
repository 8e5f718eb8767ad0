"""One run of hundredk as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.crowd.document import table

GOAL_P99, GOAL_KIB = 150.0, 16.0  # milliseconds, and memory of the proxy per connection
MISSED = "GOAL MISSED:"


def render(document: Mapping[str, Any]) -> str:
    machine, opening = document["machine"], document["opening"]
    connections = int(document["settings"]["connections"])
    phases = {name: document[name] for name in ("stub", "async") if name in document}
    turned_away = sum(one["overflows"] for one in (opening, *phases.values()))
    text = (
        f"Measured {document['at']} on {machine['cpu']}, {machine['cores']} cores, Linux "
        f"{machine['kernel']}, Python {machine['python']}, the proxy's data path {document['data_path']}. "
        f"{connections:,} connections from "
        f"{document['processes of users']} "
        f"processes of users to {document['workers']} workers of the proxy, opened in "
        f"{opening['seconds']:.0f} s ({opening['per_second']:,}/s). Kernel memory for both ends of a "
        f"connection: {opening['kernel_per_connection'] / 1024:.1f} KiB. {turned_away:,} connections were "
        "turned away by a listener with a full queue, on the whole machine."
    )
    return "\n\n".join(
        [text, _latencies(phases, document["settings"]), _resources(phases, opening), _goals(phases, opening)]
    )


def _latencies(phases: Mapping[str, Any], settings: Mapping[str, str]) -> str:
    percentiles = ("p50_ms", "p99_ms", "p99.9_ms", "p100_ms")
    header = ["onto", "each asks every", "open", "req/s", "p50 ms", "p99 ms", "p99.9 ms", "max ms"]
    rows = [[*header, "p99 min-max of slices", "failed", "lost", "users late, p99 ms"]]
    for name, one in phases.items():
        pause = float(settings["every" if name == "stub" else "async_every"])
        slices = one["p99_of_slices"]
        rows.append(
            [
                *(name, f"{pause:g} s", f"{one['users']:,}", f"{one['per_second']:,.0f}"),
                *(f"{one[key]:,.1f}" for key in percentiles),
                f"{min(slices):,.1f}-{max(slices):,.1f}",
                *(str(sum(one["errors"].values())), str(one["lost"]), f"{one['lag_p99_ms']:.1f}"),
            ]
        )
    return table(rows)


def _resources(phases: Mapping[str, Any], opening: Mapping[str, Any]) -> str:
    kinds = list(dict.fromkeys(kind for one in phases.values() for kind in one["memory"]))
    rows = [["onto", "figure", *kinds, "machine"]]
    for name, one in phases.items():
        cpu = one["cpu"]
        rows.append(
            [
                name,
                "cores used",
                *(f"{cpu[kind]:.2f}" for kind in kinds),
                f"{cpu['machine']:.2f} of {cpu['cores']}",
            ]
        )
        rows.append([name, "MiB resident", *(f"{one['memory'][kind] / 2**20:,.0f}" for kind in kinds), ""])
        per = per_connection(one, opening)
        rows.append(
            [name, "KiB per connection", *(f"{per:.1f}" if kind == "proxy" else "" for kind in kinds), ""]
        )
    return table(rows)


def per_connection(phase: Mapping[str, Any], opening: Mapping[str, Any]) -> float:
    """KiB that the proxy's processes grew by since before the connections came, for each of them."""
    grown: int = phase["memory"]["proxy"] - opening["memory_before"]
    users: int = phase["users"]
    return grown / max(1, users) / 1024


def reached(document: Mapping[str, Any]) -> bool:
    """Whether no request failed, no connection was lost, and P99 and memory stayed within their goals."""
    return MISSED not in render(document)


def _goals(phases: Mapping[str, Any], opening: Mapping[str, Any]) -> str:
    lines = []
    for name, one in phases.items():
        failed = sum(one["errors"].values())
        per = per_connection(one, opening)
        lines.append(
            f"- {name}: {failed} errors ({_verdict(failed == 0)} 0); P99 {one['p99_ms']:.1f} ms "
            f"({_verdict(one['p99_ms'] <= GOAL_P99)} {GOAL_P99:g} ms); {per:.1f} KiB of proxy memory per "
            f"connection ({_verdict(per <= GOAL_KIB)} {GOAL_KIB:g} KiB)."
        )
    return "\n".join(lines)


def _verdict(held: bool) -> str:
    return "goal reached:" if held else MISSED

"""Medians, spreads and ratios as a table on the terminal and as JSON."""

from __future__ import annotations

import json
import os
import platform
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.measure import Round

COLUMNS: tuple[tuple[str, Callable[[Round], float], str], ...] = (
    ("req/s", lambda r: r.per_second, ",.0f"),
    ("MB/s", lambda r: r.megabytes_per_second, ",.1f"),
    ("p50 ms", lambda r: r.p50, ".2f"),
    ("p99 ms", lambda r: r.p99, ".2f"),
    ("CPU us/req", lambda r: r.cpu, ",.1f"),
    ("user", lambda r: r.user, ",.1f"),
    ("system", lambda r: r.system, ",.1f"),
    ("core", lambda r: r.busy, ".0%"),
)
PEERS = ("nginx", "haproxy")


ADDED = "added p99 ms"


def table(results: Mapping[str, Sequence[Round]]) -> str:
    """One line per target: the median of its rounds, the spread of its CPU time, ratios to the peers."""
    header = ["", *(title for title, _, _ in COLUMNS), "CPU min-max", "errors"]
    header += [f"x {peer}" for peer in PEERS if results.get(peer)]
    rows = [header]
    for name, rounds in results.items():
        cells = [format(median(map(value, rounds)), spec) for _, value, spec in COLUMNS]
        spread = f"{min(r.cpu for r in rounds):,.1f}-{max(r.cpu for r in rounds):,.1f}"
        rows.append([name, *cells, spread, str(sum(r.errors for r in rounds)), *_ratios(rounds, results)])
    return _aligned(rows)


def probe_medians(results: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """By target: the median of each of its figures, and what it adds to the P99 in relation to nginx."""
    found = {
        target: {
            name: median(one[name] for one in rounds if name in one)
            for name in dict.fromkeys(name for one in rounds for name in one)
        }
        for target, rounds in results.items()
    }
    base = found.get("nginx", {}).get(ADDED, 0.0)
    if base > 0:
        for figures in found.values():
            figures["added / nginx"] = figures[ADDED] / base
    return found


def probe_rows(
    results: Mapping[str, Sequence[Mapping[str, float]]], missing: str, spec: str = ",.2f"
) -> list[list[str]]:
    """A header, and one row per target."""
    found = probe_medians(results)
    names = list(dict.fromkeys(name for figures in found.values() for name in figures))
    rows = [["", *names]]
    for target, figures in found.items():
        rows.append(
            [target, *(format(figures[name], spec) if name in figures else missing for name in names)]
        )
    return rows


def probe_table(results: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    return _aligned(probe_rows(results, "-"))


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )


def write(
    path: Path,
    settings: Mapping[str, Any],
    scenarios: Mapping[str, Mapping[str, Sequence[Round]]],
    probes: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]],
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "settings": dict(settings),
        "scenarios": {
            scenario: {name: _summary(rounds, results) for name, rounds in results.items()}
            for scenario, results in scenarios.items()
        },
        "probes": probes,
    }
    path.write_text(json.dumps(document, indent=2) + "\n")


def machine() -> dict[str, Any]:
    models = {
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    }
    return {
        "cpu": ", ".join(sorted(models)) or platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": f"{platform.python_version()} ({optimised()})",
    }


def optimised(options: str | None = None) -> str:
    """How this interpreter was built, by its configure script: PGO makes it a fifth faster.

    Distributions may do it elsewhere: Debian optimises its python3 without saying so here.
    """
    if options is None:
        options = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    named = [flag for flag in ("--enable-optimizations", "--with-lto") if flag in options]
    return f"configured {' '.join(named)}" if named else "configured without --enable-optimizations"


def _ratios(rounds: Sequence[Round], results: Mapping[str, Sequence[Round]]) -> list[str]:
    ours = median(r.cpu for r in rounds)
    theirs = [median(r.cpu for r in results[peer]) for peer in PEERS if results.get(peer)]
    return [f"{ours / value:.2f}" if value else "-" for value in theirs]


def _summary(rounds: Sequence[Round], results: Mapping[str, Sequence[Round]]) -> dict[str, Any]:
    peers = [peer for peer in PEERS if results.get(peer)]
    return {
        "median": {title: round(median(map(value, rounds)), 4) for title, value, _ in COLUMNS},
        "cpu_ratio": dict(zip(peers, _ratios(rounds, results), strict=True)),
        "rounds": [asdict(one) for one in rounds],
    }

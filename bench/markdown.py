"""Writes the figures of one run into a document.

  python -m bench.markdown bench/results/RUN.json docs/results/performance.md

What stands between the markers is replaced; the text around it is kept.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

from bench.probes import PROBES
from bench.report import probe_rows
from bench.scenarios import SCENARIOS

BEGIN, END = "<!-- figures: python -m bench.markdown -->", "<!-- end of figures -->"
COLUMNS = {"req/s": ",.0f", "p50 ms": ",.2f", "p99 ms": ",.2f", "CPU us/req": ",.1f"}
CHARTED = ("keys", "fixed", "post-10k", "connect")


def render(document: Mapping[str, Any]) -> str:
    """Tables of all scenarios and probes, and a chart of CPU time, as GitHub's Markdown."""
    machine, settings = document["machine"], document["settings"]
    parts = [
        f"Measured {document['at']} on {machine['cpu']}, {machine['cores']} cores, Linux "
        f"{machine['kernel']}, Python {machine['python']}. Median of {settings['rounds']} interleaved "
        f"rounds of {settings['seconds']} s; {settings['connections']} connections unless said otherwise.",
    ]
    parts += [_chart(name, document["scenarios"][name]) for name in CHARTED if name in document["scenarios"]]
    parts += [_scenario(name, results) for name, results in document["scenarios"].items()]
    parts += [_probe(name, results) for name, results in document["probes"].items()]
    return "\n\n".join(parts)


def replace(text: str, figures: str) -> str:
    """Raises ValueError if the document has no markers."""
    return between(text, figures, BEGIN, END)


def between(text: str, figures: str, first: str, last: str) -> str:
    """`text` with `figures` in place of what is between two lines. Raises ValueError if those are missing."""
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"the document needs the lines {first!r} and {last!r}")
    return f"{before}{first}\n{figures}\n{last}{after}"


def _scenario(name: str, results: Mapping[str, Mapping[str, Any]]) -> str:
    peers = [peer for peer in ("nginx", "haproxy") if peer in results]
    rows = [["", *COLUMNS, "CPU quartiles", "CPU min-max", "failed", *(f"CPU / {peer}" for peer in peers)]]
    for target, result in results.items():
        cells = [format(result["median"][column], spec) for column, spec in COLUMNS.items()]
        cpu = [one["user"] + one["system"] for one in result["rounds"]]
        failed = sum(one["errors"] for one in result["rounds"])
        ratios = [result["cpu_ratio"][peer] for peer in peers]
        low, _, high = quantiles(cpu, method="inclusive") if len(cpu) > 1 else [*cpu, *cpu, *cpu]
        spread = [f"{low:,.1f}-{high:,.1f}", f"{min(cpu):,.1f}-{max(cpu):,.1f}"]
        rows.append([target, *cells, *spread, str(failed), *ratios])
    return f"**{SCENARIOS[name].title}** (`{name}`)\n\n{table(rows)}"


def _probe(name: str, results: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    return f"**{PROBES[name].title}** (`{name}`)\n\n{table(probe_rows(results, ''))}"


def _chart(name: str, results: Mapping[str, Mapping[str, Any]]) -> str:
    """Bars of CPU time; the naive proxy is left out, as beside it the others could not be told apart."""
    bars = {target: result["median"]["CPU us/req"] for target, result in results.items() if target != "naive"}
    return "\n".join(
        [
            "```mermaid",
            "xychart-beta",
            f'  title "CPU us per request: {SCENARIOS[name].title}"',
            f"  x-axis [{', '.join(bars)}]",
            f"  bar [{', '.join(f'{value:.1f}' for value in bars.values())}]",
            "```",
        ]
    )


def table(rows: Iterable[Sequence[str]]) -> str:
    """The first row is the header."""
    header, *body = [f"| {' | '.join(row)} |" for row in rows]
    columns = header.count("|") - 1
    return "\n".join([header, "|---" + "|--:" * (columns - 1) + "|", *body])


def update(document: Path, results: Path) -> None:
    """Puts the figures of a run, a JSON file, between the markers of the document."""
    document.write_text(replace(document.read_text(), render(json.loads(results.read_text()))))


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit("usage: python -m bench.markdown RESULTS.json DOCUMENT.md")
    results, document = map(Path, sys.argv[1:])
    update(document, results)


if __name__ == "__main__":
    main()

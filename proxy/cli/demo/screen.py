"""What the demo prints: lines, and on a terminal a live table below them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from proxy.cli.demo.claims import FAULTY_VERSION, Claim
from proxy.cli.demo.tally import StepTally
from proxy.core.settings import BACKENDS


class Screen:
    """Also the record of all claims made."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.claims: list[Claim] = []
        self.splits: list[str] = []
        self.rollouts: list[str] = []  # what became of each, for the summary
        self.failed_by_bad_build = 0  # reads
        self._live: Live | None = None

    @contextmanager
    def live(self) -> Iterator[None]:
        """The table is shown and kept current by `update`; elsewhere than on a terminal, lines alone."""
        if not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, auto_refresh=False) as self._live:
            yield
        self._live = None

    def update(self, endpoints: Sequence[dict[str, Any]], totals: StepTally) -> None:
        if self._live is not None:
            self._live.update(_table(endpoints, totals), refresh=True)

    def say(self, text: str) -> None:
        self.console.print(escape(text), highlight=False, soft_wrap=True)

    def step(self, text: str) -> None:
        self.console.print(f"\n[bold]{escape(text)}[/bold]", highlight=False, soft_wrap=True)

    def claim(self, claim: Claim) -> None:
        self.claims.append(claim)
        mark = "[green]ok[/green]    " if claim.held else "[bold red]FAILED[/bold red]"
        line = f"  {mark} {escape(claim.text)} [dim]({escape(claim.evidence)})[/dim]"
        self.console.print(line, highlight=False, soft_wrap=True)

    def split(self, weight: int, tally: StepTally) -> None:
        """For the summary: what a weight of `weight` percent brought."""
        self.splits.append(f"{weight} -> {tally.share():.1f}")

    def summary(self, totals: StepTally) -> bool:
        """Prints totals and every claim that failed; whether all held."""
        reads, writes = totals.count(read=True), totals.count(read=False)
        self.step("Summary")
        self.say(f"  {reads + writes} requests: {reads} reads, {writes} writes")
        examples = "".join(f"\n    {each}" for each in totals.failed_reads)
        failed_reads = totals.failed(read=True)
        others = failed_reads - self.failed_by_bad_build
        by = f"{self.failed_by_bad_build} by async {FAULTY_VERSION}, {others} others"
        self.say(f"  client-visible errors on reads: {by}{examples if others else ''}")
        for line in self.rollouts:
            self.say(f"  {line}")
        self.say(f"  writes answered with an error (async was down for a while): {totals.failed(read=False)}")
        self.say(f"  percent of reads by async, weight -> achieved: {', '.join(self.splits)}")
        for backend in BACKENDS:
            p50, p99 = totals.milliseconds(backend, 0.5), totals.milliseconds(backend, 0.99)
            if p50 is not None and p99 is not None:
                self.say(f"  {backend:7} p50 {p50:6.1f} ms   p99 {p99:6.1f} ms")
        failed = [claim for claim in self.claims if not claim.held]
        for claim in failed:
            self.say(f"  FAILED: {claim.text}: {claim.evidence}")
        self.say(f"  {len(self.claims) - len(failed)} of {len(self.claims)} claims held")
        return not failed


def _table(endpoints: Sequence[dict[str, Any]], totals: StepTally) -> Table:
    """Fits 80 columns: only the endpoint's name gives way."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("endpoint", no_wrap=True, overflow="ellipsis", max_width=33)
    table.add_column("weight", justify="right", no_wrap=True, min_width=6)
    for backend in BACKENDS:
        table.add_column(backend, justify="right", no_wrap=True, min_width=6)
        table.add_column("p50/p99", justify="right", no_wrap=True, min_width=9)
    for row in endpoints:
        cells = []
        for backend in BACKENDS:
            seen = row["backends"].get(backend) or {}
            cells.append(_figure(seen.get("requests_per_second"), ".1f"))
            cells.append(f"{_figure(seen.get('p50_ms'), '.0f')}/{_figure(seen.get('p99_ms'), '.0f')}")
        table.add_row(escape(row["endpoint"]), f"{row['weight']:g}", *cells)
    sent = totals.count(read=True) + totals.count(read=False)
    table.caption = (
        f"{sent} requests, {totals.failed(read=True)} reads failed; columns: requests/s, p50/p99 in ms"
    )
    return table


def _figure(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)

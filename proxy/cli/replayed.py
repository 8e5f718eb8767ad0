"""A finished replay for people."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from proxy.cli.printable import printable
from proxy.compare.replay.report import Finished, differing, example_text, sentence
from proxy.compare.replay.results import ReplayResults
from proxy.core.comparison.comparisons import FEW, Report
from proxy.core.comparison.marks import WORDS

MAX_PATHS: Final = 20  # of one endpoint
_STYLES: Final = {
    "differs": "bold red",
    "likely equal": "green",
    "not yet known": "blue",
    "no evidence": "yellow",
}


def prose(finished: Finished) -> Text:
    """Every endpoint with its verdict and evidence, then what was not compared, and why."""
    text = Text()
    for report in finished.reports:
        text.append_text(_endpoint(report, finished.found))
    for (endpoint, reason), count in finished.found.skipped.most_common():
        where = f" ({printable(endpoint)})" if endpoint else ""
        text.append(f"skipped: {count} {printable(reason)}{where}\n", "dim")
    for endpoint, count in (+finished.found.missing).items():
        text.append(f"not answered: {count} of {printable(endpoint)}\n", "red")
    for (endpoint, why), count in finished.found.unreadable.items():
        text.append(f"not comparable: {count} of {printable(endpoint)}: {printable(why)}\n", "red")
    if finished.stopped:
        text.append(f"stopped: {printable(finished.stopped)}\n", "bold red")
    total = f"{finished.found.compared} of {finished.requests} requests compared"
    return text.append(f"{total}: {finished.conclusion}", "bold")


def _endpoint(report: Report, found: ReplayResults) -> Text:
    scope, seen = report.scope, report.parity
    text = Text().append(printable(scope.endpoint), "bold").append("  ")
    text.append(str(seen), _STYLES[seen.verdict])
    text.append(f"  legacy {printable(scope.legacy) or '?'}, async {printable(scope.async_) or '?'}\n", "dim")
    text.append(f"  {sentence(report, found.once[scope.endpoint])}\n")
    wrong = differing(report)
    for each in wrong[:MAX_PATHS]:
        text.append("  ").append(printable(each.path), "bold")
        text.append(f"  {each.differed} differ{WORDS[each.kind]}\n")
        examples = [one for one in found.examples.get(scope.endpoint, ()) if one.path == each.path]
        for example in examples[:1]:
            text.append(f"    {printable(example_text(example))}\n")
    if len(wrong) > MAX_PATHS:
        text.append(f"  and {len(wrong) - MAX_PATHS} more\n")
    noise = [f"{printable(each.path)} ({each.differed})" for each in seen.paths if each.verdict == "noise"]
    lines = [f"noise set aside: {', '.join(noise[:MAX_PATHS])}"] if noise else []
    lines += [
        f"{count} hidden by the rule: {printable(rule)}" for rule, count in report.hidden.items() if count
    ]
    lines.append(f"statuses: {', '.join(f'{status} ({n})' for status, n in sorted(report.statuses.items()))}")
    if report.unseen_statuses:
        lines.append(f"recorded, and compared fewer than {FEW} times: {', '.join(report.unseen_statuses)}")
    if report.rare_fields and seen.n >= FEW:
        names = ", ".join(f"{printable(path)} ({count})" for path, count in report.rare_fields[:MAX_PATHS])
        lines.append(f"fields in fewer than {FEW} answers: {names}")
    for line in lines:
        text.append(f"  {line}\n", "dim")
    if found.unlike[scope.endpoint]:
        text.append(
            f"  {found.unlike[scope.endpoint]} answered with another status than was recorded\n", "yellow"
        )
    return text

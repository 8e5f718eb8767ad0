"""What was seen as a table in Markdown, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bench.conformance.case import Case
from bench.conformance.cases import CHAPTERS
from bench.conformance.observe import Seen

BEGIN, END = "<!-- cases: make bench-conformance -->", "<!-- end of cases -->"
PEERS = {"nginx": "nginx", "haproxy": "HAProxy"}
SAME = "="
Results = Mapping[str, Mapping[str, Seen]]
"""By proxy, then by "chapter: name"."""


def render(results: Results, versions: Mapping[str, str]) -> str:
    """Versions, the count, and one table a chapter; `=` stands for the same as ours."""
    tested = ", ".join(
        [f"this proxy {versions['strangler']}"] + [f"{PEERS[name]} {versions[name]}" for name in PEERS]
    )
    parts = [f"{tested}. {count(results)}"]
    for chapter, cases in CHAPTERS.items():
        rows = [
            f"| {_cell(name)} | {_row(results, f'{chapter}: {name}', case)} |" for name, case in cases.items()
        ]
        header = "| case | ours | nginx | HAProxy | why we differ |\n|---|---|---|---|---|"
        parts.append("\n".join([f"### {chapter}", "", header, *rows]))
    return "\n\n".join(parts)


def replace(text: str, figures: str) -> str:
    """Raises ValueError if the document has no markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document needs the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{figures}\n{END}{after}"


def count(results: Results) -> str:
    """How many cases there are, and in how many each peer differs."""
    ours = results["strangler"]
    differ = {name: sum(results[name][key] != seen for key, seen in ours.items()) for name in PEERS}
    return (
        f"{len(ours)} cases; " + ", ".join(f"{PEERS[name]} differs in {differ[name]}" for name in PEERS) + "."
    )


def wrong(results: Results) -> list[str]:
    """What our proxy does other than the cases say, and differences that nobody has given a reason for."""
    return list(_wrong(results))


def _wrong(results: Results) -> Iterator[str]:
    for chapter, cases in CHAPTERS.items():
        for name, case in cases.items():
            key = f"{chapter}: {name}"
            ours = results["strangler"][key]
            if ours.client != case.shows or ours.marks:
                yield f"{key}: {ours.text()}, not {case.shows}"
            others = [
                f"{PEERS[peer]} {results[peer][key].text()}" for peer in PEERS if results[peer][key] != ours
            ]
            if others and not case.why:
                yield f"{key}: ours {ours.text()}, {', '.join(others)}: no reason is given"
            if case.why and not others:
                yield f"{key}: a reason is given, but nothing differs"


def _row(results: Results, key: str, case: Case) -> str:
    ours = results["strangler"][key]
    peers = [results[name][key] for name in PEERS]
    cells = [ours.text(), *(SAME if seen == ours else seen.text() for seen in peers)]
    return " | ".join([*map(_cell, cells), case.reason])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;").replace("\0", "\\0")

"""What a replay found: as values for JSON, and as JUnit XML for CI."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from xml.etree import ElementTree

from proxy.compare.replay.results import Example, ReplayResults
from proxy.core.comparison.comparisons import Report
from proxy.core.comparison.marks import WORDS
from proxy.core.comparison.parity import PathEvidence

# XML 1.0 section 2.2: what cannot be in a document, not even as a reference.
_not_xml: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]").sub


class Finished(NamedTuple):
    """`requests` in the file, `hash` of the configuration; `stopped` says why it is not complete, if so."""

    file: str
    format: str
    hash: str
    requests: int
    found: ReplayResults
    reports: Sequence[Report]
    suggestions: Mapping[str, dict[str, Any]] = {}  # by endpoint, as JSON has them
    stopped: str = ""
    bad: Sequence[str] = ()  # what in the file is not a request, with its place
    parity: bool = False  # whether everything has to be likely equal

    @property
    def equal(self) -> bool:
        """Whether something was compared, nothing differs except noise, and all have two complete answers."""
        lost = self.found.missing.total() + self.found.unreadable.total()
        return self.found.compared > 0 and not any(map(differing, self.reports)) and not lost

    @property
    def open(self) -> list[str]:
        """Endpoints of which it is not yet known whether they are likely equal."""
        return [each.scope.endpoint for each in self.reports if each.parity.verdict == "not yet known"]

    @property
    def code(self) -> int:
        known = not self.open or not self.parity
        return 0 if self.equal and known and not self.stopped else 1

    @property
    def conclusion(self) -> str:
        if not self.found.compared:
            return "nothing was compared"
        if not self.equal:
            return "something differs, or was not answered"
        left = f"; not yet known whether likely equal: {len(self.open)} of {len(self.reports)} endpoints"
        return "nothing differs but noise" + left * bool(self.open)


def differing(report: Report) -> list[PathEvidence]:
    """Faults; and what differed once, if it did in more requests than `compare.parity` allows."""
    seen = report.parity
    too_often = seen.k > seen.limit * seen.n
    return [
        each
        for each in seen.paths
        if each.verdict == "fault" or (each.verdict == "untested" and too_often and each.kind == "value")
    ]


def sentence(report: Report, once: int = 0) -> str:
    """What the figures say, for people; `once` requests were put to each backend only once."""
    seen = report.parity
    counts = f"{seen.n} compared, {max(0, seen.m - once)} with legacy asked twice"
    if once:
        counts = (
            f"{counts}, {once} executed once" if once < seen.n else f"{seen.n} compared, each executed once"
        )
    return (
        f"{counts}, {seen.k} differ; with 95 % confidence fewer than {seen.bound * 100:.2g} % of requests do"
    )


def as_data(finished: Finished) -> dict[str, Any]:
    """What --json prints."""
    found = finished.found
    return {
        "file": finished.file,
        "format": finished.format,
        "config_hash": finished.hash,
        "requests": finished.requests,
        "done": found.count,
        "compared": found.compared,
        "missing": found.missing.total(),
        "not_comparable": found.unreadable.total(),
        "stopped": finished.stopped or None,
        "equal": finished.equal,
        "skipped": _reasons(found, ""),
        "bad": list(finished.bad),
        "endpoints": [_endpoint(each, finished) for each in finished.reports],
    }


def _endpoint(report: Report, finished: Finished) -> dict[str, Any]:
    name, seen, found = report.scope.endpoint, report.parity, finished.found
    examples = found.examples.get(name, [])
    return {
        "endpoint": name,
        "versions": {"legacy": report.scope.legacy, "async": report.scope.async_},
        "verdict": seen.verdict,
        "says": str(seen),
        "n": seen.n,
        "m": seen.m,
        "k": seen.k,
        "bound": seen.bound,
        "parity": seen.limit,
        "missing_units": seen.missing,
        "units": seen.units,
        "hiding": seen.hiding,
        "unanswered": seen.unanswered,
        "once": seen.once,
        "undecided": seen.undecided,
        "pace": report.pace,
        "asked": dict(report.asked),
        "fields": [_field(each, examples) for each in seen.paths],
        "statuses": dict(report.statuses),
        "unseen_statuses": list(report.unseen_statuses),
        "rare_fields": [{"path": path, "count": count} for path, count in report.rare_fields],
        "hidden": [{"rule": rule, "count": count} for rule, count in report.hidden.items()],
        "skipped": _reasons(found, name),
        "missing": found.missing[name],
        "not_comparable": {why: count for (of, why), count in found.unreadable.items() if of == name},
        "moved": found.moved[name],
        "executed_once": found.once[name],
        "other_status_than_recorded": found.unlike[name],
        "suggestions": finished.suggestions.get(name),
        "latency": {"legacy": report.legacy.in_ms(), "async": report.async_.in_ms()},
    }


def _field(each: PathEvidence, examples: Sequence[Example]) -> dict[str, Any]:
    return {
        "path": each.path,
        "shape": each.shape,
        "kind": each.kind,
        "verdict": each.verdict,
        "differed": each.differed,
        "b": each.b,
        "c": each.c,
        "p": each.p,
        "sees": each.sees,
        "examples": [
            {
                "method": example.method,
                "target": example.target,
                "kind": example.kind,
                "legacy": example.legacy,
                "async": example.async_,
            }
            for example in examples
            if example.path == each.path and each.verdict != "noise"
        ],
    }


def _reasons(found: ReplayResults, endpoint: str) -> dict[str, int]:
    return {reason: count for (name, reason), count in found.skipped.most_common() if name == endpoint}


def junit(finished: Finished, seconds: float) -> bytes:
    """A test case for each endpoint and pair of versions, one for the answers, one for the file's end."""
    reports, found = finished.reports, finished.found
    suite = ElementTree.Element("testsuite", name="strangler replay", time=f"{seconds:.3f}")
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (
        ("file", finished.file),
        ("config_hash", finished.hash),
        ("requests", finished.requests),
    ):
        ElementTree.SubElement(properties, "property", name=name, value=_xml(str(value)))
    for each in reports:
        _case_of(suite, each, found)
    nothing = [] if found.compared else [f"{reason}: {count}" for (_, reason), count in found.skipped.items()]
    _case(suite, "requests are compared", "nothing was compared", nothing or [""] * (not found.compared))
    lost = [f"{name}: {count}" for name, count in found.missing.items() if count]
    lost += [f"{name}: {count} not comparable: {why}" for (name, why), count in found.unreadable.items()]
    have_not = found.missing.total() + found.unreadable.total()
    _case(suite, "every request has both answers", f"{have_not} have not", lost)
    _case(
        suite,
        "the file is replayed to its end",
        finished.stopped,
        [finished.stopped] * bool(finished.stopped),
    )
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(each.find("failure") is not None for each in cases)))
    suite.set("skipped", str(sum(each.find("skipped") is not None for each in cases)))
    suite.set("errors", "0")
    whole = ElementTree.Element("testsuites")
    whole.append(suite)
    ElementTree.indent(whole)
    text: bytes = ElementTree.tostring(whole, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _case_of(suite: ElementTree.Element, report: Report, found: ReplayResults) -> None:
    scope, wrong = report.scope, differing(report)
    versions = f" (legacy {scope.legacy or '?'}, async {scope.async_ or '?'})"
    examples = found.examples.get(scope.endpoint, [])
    told = sentence(report, found.once[scope.endpoint])
    lines = [told]
    for each in wrong:
        lines.append(f"{each.path}: {each.differed} differ{WORDS[each.kind]}")
        lines += [example_text(example) for example in examples if example.path == each.path]
    paths = ", ".join(each.path for each in wrong[:5])
    case = _case(suite, scope.endpoint + versions, f"differs: {paths}", lines if wrong else [])
    if report.parity.verdict == "not yet known":
        ElementTree.SubElement(case, "skipped", message=_xml(f"{report.parity.short}: {told}"))
    ElementTree.SubElement(case, "system-out").text = _xml(told)


def _case(suite: ElementTree.Element, name: str, message: str, lines: Sequence[str]) -> ElementTree.Element:
    case = ElementTree.SubElement(suite, "testcase", classname="strangler.replay", name=_xml(name))
    if lines:
        failure = ElementTree.SubElement(case, "failure", message=_xml(message), type="difference")
        failure.text = _xml("\n".join(lines))
    return case


def example_text(example: Example) -> str:
    """On one line; the values may hold any characters."""
    sides = (("legacy", example.legacy), ("async", example.async_))
    values = ", ".join(f"{name} {'has none' if value is None else value}" for name, value in sides)
    return f"{example.method} {example.target}: {values}"


def _xml(text: str) -> str:
    return _not_xml("\ufffd", text)

"""The evidence of comparisons as the words and lines that the Differences page shows."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from proxy.control.admin.view import SIGNS
from proxy.control.verdicts import Standing
from proxy.core.comparison.comparisons import FEW, Report, Sample, Shown, Side, Tally
from proxy.core.comparison.differences import Pairing
from proxy.core.comparison.marks import Mark
from proxy.core.comparison.noise import LOOKS
from proxy.core.comparison.one_off import OneOff
from proxy.core.comparison.parity import Parity, PathEvidence
from proxy.core.comparison.sidebyside import Row, bodies
from proxy.core.evidence.sequential import upper_bound
from proxy.core.timestamps import timestamp

MAX_SHOWN: Final = 50  # fields, differences and the like that the page lists
MAX_VALUE: Final = 300  # characters of one value
SHORT: Final = 80  # characters of a line in which a value is marked as a whole
_LEFT_OUT: Final = frozenset({"host", "content-length", "connection", "accept-encoding"})


class Badge(NamedTuple):
    """A verdict: its words, a sign and a class of the style sheet."""

    text: str
    sign: str
    kind: str


class Field(NamedTuple):
    """One place where something differed."""

    path: str
    name: str  # with "(its shape)" where just that is meant
    verdict: str
    differed: str
    first: str
    last: str
    sees: str


class Line(NamedTuple):
    """One row of two bodies: what is before, within and behind the part that differs; None: no such line."""

    legacy: tuple[str, str, str] | None
    async_: tuple[str, str, str] | None
    mark: str


class Value(NamedTuple):
    """One difference, its values cut; None: this side has none. `noise`: comparisons set this field aside."""

    path: str
    legacy: str | None
    async_: str | None
    noise: bool


class Pair(NamedTuple):
    """Two answers beside each other. `sides`: backend, status, milliseconds, bytes, note on its body."""

    sides: tuple[tuple[str, int, str, str, str], ...]
    differences: tuple[Value, ...]
    more: int
    lines: tuple[Line, ...]
    diff: tuple[str, ...]
    left_out: int


class SampleView(NamedTuple):
    id: str
    time: str
    method: str
    target: str
    curl: str
    pair: Pair


def badge(found: Parity) -> Badge:
    return Badge(str(found), SIGNS[found.verdict], found.verdict.replace(" ", "-"))


def sure(standing: Standing | None, found: Parity, sampled: bool) -> list[str]:
    """In plain words: how sure one may be, and of what."""
    if found.verdict == "no evidence":
        return [_nothing(standing, sampled)]
    if found.verdict == "not yet known":
        return [_too_little(found), *_allowed(found)]
    if found.verdict == "likely equal":
        return [
            f"In {found.n:,} comparisons nothing differed lastingly{' but noise' if found.paths else ''}.",
            f"With 95 % confidence, however often one looks, fewer than {_rate(found.bound)} of "
            f"{_whose(found)} meet a difference. A rarer one may exist.",
            *_allowed(found),
        ]
    faults = sum(each.verdict == "fault" for each in found.paths)
    return [
        f"{_share(found.k, found.n)} comparisons differ in something that is not noise: "
        f"{_count(faults, 'field')}. Of {_whose(found)} fewer than {found.bound * 100:.2g} % meet one, "
        "with 95 % confidence.",
        f"Any other difference that {_rate(upper_bound(0, found.units))} of them meet would have been found "
        "as well, with 95 % confidence. A rarer one may exist.",
    ]


def _whose(found: Parity) -> str:
    """What the bound counts: users where there are keys, else requests."""
    return "such requests" if found.units >= found.n else f"users ({found.units:,} were compared)"


def _allowed(found: Parity) -> list[str]:
    """What had to be allowed for."""
    lines = []
    if found.unanswered:
        lines.append(f"Async did not answer {_count(found.unanswered, 'time')}, where legacy did.")
    if found.once:
        lines.append(
            f"{_count(found.once, 'comparison')} differed once and not in {LOOKS} more looks; they count."
        )
    if found.undecided:
        lines.append(f"{_count(found.undecided, 'comparison')} could not be looked at again; they count.")
    return lines


def unsure(found: Report | None, skipped: Mapping[str, int]) -> list[str]:
    """What the comparisons did not show: each line is a gap in the evidence."""
    gaps = []
    if found is not None:
        noisy = [each for each in found.parity.paths if each.verdict == "noise"]
        if noisy:
            hiding = found.parity.hiding
            gaps.append(
                f"{_count(len(noisy), 'noisy field')}: a fault there shows only if it is frequent, below"
                + (f"; in {hiding:,} of them any rate could hide." if hiding else ".")
            )
        if found.unseen_statuses:
            gaps.append(
                f"Clients received {_list(found.unseen_statuses)}; compared fewer than {FEW} times: "
                "how async answers in those cases is not known."
            )
        if found.rare_fields:
            rare = [f"{path} ({count:,})" for path, count in found.rare_fields]
            gaps.append(f"Fields in fewer than {FEW} compared answers: {_list(rare)}.")
        gaps += _asked(found)
        if found.statuses:
            seen = [f"{status} ({count:,})" for status, count in found.statuses.items()]
            gaps.append(f"Only answers with status {_list(seen)} were compared.")
    if skipped:
        reasons = [f"{reason} ({count:,})" for reason, count in skipped.items()]
        gaps.append(f"Sampled but not compared: {_list(reasons)}.")
    return gaps


def _asked(found: Report) -> list[str]:
    """How various what was compared is, and what clients asked and no comparison did."""
    lines = []
    various = [
        _count(number, what)
        for number, what in ((found.users, "distinct user"), (found.ids, "distinct id"))
        if number
    ]
    if found.asked:
        shapes = [f"{shape} ({count:,})" for shape, count in found.asked.items()]
        various.append(f"{_count(len(shapes), 'shape')} of parameters: {_list(shapes)}")
    if various:
        lines.append(f"Compared were {'; '.join(various)}; and nothing else.")
    if found.unasked:
        lines.append(f"Clients asked with {_list(found.unasked)}; compared fewer than {FEW} times.")
    return lines


def fields(found: Report | None, *verdicts: str) -> list[Field]:
    """The places with one of these verdicts, most significant first."""
    if found is None:
        return []
    return [_field(each, found) for each in found.parity.paths if each.verdict in verdicts]


def noise_paths(found: Report | None) -> frozenset[str]:
    """Where values are noise, and their shapes no fault."""
    paths = () if found is None else found.parity.paths
    faults = {each.path for each in paths if each.verdict != "noise"}
    return frozenset(each.path for each in paths) - faults


def scopes(tallies: Sequence[Tally], current: str) -> list[tuple[str, str, str, str]]:
    """Id, what it is, when, and how much, of the evidence under other versions and rules."""
    return [
        (
            each.scope.id,
            versions(each),
            f"{_minute(each.first)} to {_minute(each.last)}",
            f"{each.n:,} compared" + (", in force" if each.scope.id == current else ""),
        )
        for each in tallies[:MAX_SHOWN]
    ]


def versions(of: Tally | Report) -> str:
    legacy, async_ = of.scope.legacy or "of no version", of.scope.async_ or "of no version"
    return f"legacy {legacy}, async {async_}, rules {of.scope.rules[:8]}"


class Looking(NamedTuple):
    """How samples are shown. `base` is the address of the data port, for the curl line; `noise` are paths set
    aside, `path` is the one that is looked at.
    """

    base: str
    path: str
    noise: Collection[str]
    pairing: Pairing


def sample_view(sample: Sample, how: Looking) -> SampleView:
    order = sorted(sample.differences, key=lambda each: (each.path in how.noise, each.path != how.path))
    pair = _pair(sample.legacy, sample.async_, order, sample.left_out, how.noise, how.pairing)
    curl = _curl(sample.method, how.base + sample.target, sample.headers)
    return SampleView(sample.id, timestamp(sample.time), sample.method, _printable(sample.target), curl, pair)


def one_off_view(result: OneOff, pairing: Pairing) -> Pair:
    return _pair(result.legacy, result.async_, result.differences, result.left_out, (), pairing)


def base_url(listen: str) -> str:
    """Where clients on this machine reach the data port."""
    host, _, port = listen.rpartition(":")
    return f"http://{'localhost' if host in ('', '*', '0.0.0.0', '[::]') else host}:{port}"


def _pair(
    legacy: Side,
    async_: Side,
    differences: Sequence[Shown],
    left_out: int,
    noise: Collection[str],
    pairing: Pairing,
) -> Pair:
    real = {each.steps for each in differences if each.path not in noise}
    found = bodies(legacy.body, async_.body, real, pairing)
    return Pair(
        (_side("legacy", legacy), _side("async", async_)),
        tuple(_value(each, noise) for each in differences[:MAX_SHOWN] if each.kind != "text"),
        len(differences[MAX_SHOWN:]) + left_out,
        tuple(map(_line, found.rows)),
        found.diff,
        found.left_out,
    )


def _side(name: str, side: Side) -> tuple[str, int, str, str, str]:
    note = "body not kept" if side.body is None and side.size else "body cut" if side.cut else ""
    return (name, side.status, f"{side.seconds * 1000:.1f} ms", f"{side.size:,} bytes", note)


def _value(each: Shown, noise: Collection[str]) -> Value:
    return Value(each.path, _cut(each.legacy), _cut(each.async_), each.path in noise)


def _cut(value: str | None) -> str | None:
    if value is None or len(value) <= MAX_VALUE:
        return value
    return f"{value[:MAX_VALUE]}… ({len(value):,} characters)"


def _line(row: Row) -> Line:
    """With what differs kept apart: a short value as a whole, of a long one what is not in common."""
    if row.legacy is None or row.async_ is None or row.mark == "same":
        return Line(_whole(row.legacy), _whole(row.async_), row.mark)
    start = _common(row.legacy, row.async_)
    end = _common(row.legacy[start:][::-1], row.async_[start:][::-1])
    if max(len(row.legacy), len(row.async_)) <= SHORT:
        start, end = _value_at(row.legacy[:start]), 0
    return Line(_parts(row.legacy, start, end), _parts(row.async_, start, end), row.mark)


def _value_at(common: str) -> int:
    """Where the value begins: behind the member's name, or behind the indentation."""
    name = common.rfind('": ')
    return len(common) - len(common.lstrip()) if name < 0 else name + 3


def _common(one: str, other: str) -> int:
    """Characters that both begin with."""
    return next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _whole(text: str | None) -> tuple[str, str, str] | None:
    return None if text is None else ("", text, "")


def _parts(text: str, start: int, end: int) -> tuple[str, str, str]:
    return text[:start], text[start : len(text) - end], text[len(text) - end :]


def _curl(method: str, url: str, headers: Sequence[tuple[str, str]]) -> str:
    words = ["curl", "-i"]
    if method != "GET":
        words += ["--head"] if method == "HEAD" else ["-X", method]
    words.append(url)
    for name, value in headers:
        if name.lower() not in _LEFT_OUT:
            words += ["-H", f"{name}: {value}"]
    return " ".join(shlex.quote(_printable(word)) for word in words)


def _printable(text: str) -> str:
    """Who copies this line into a terminal must not get characters that steer it."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _field(each: PathEvidence, found: Report) -> Field:
    first, last = found.seen.get(Mark(each.path, each.kind), (found.first, found.last))
    n = found.parity.n
    sees = "any rate could hide" if each.sees >= 1 else f"faults in more than {_rate(each.sees)}"
    return Field(
        each.path,
        str(Mark(each.path, each.kind)),
        each.verdict,
        _share(each.differed, n) if n else "",
        _minute(first),
        _minute(last),
        sees,
    )


def _too_little(found: Parity) -> str:
    return (
        f"{found.n:,} compared, {_count(found.units, 'user or request', 'users or requests')}: fewer than "
        f"{found.bound * 100:.2g} % differ, and {found.limit * 100:g} % is the bound that counts "
        f"(compare.parity). About {found.missing:,} more without a difference are needed."
    )


def _nothing(standing: Standing | None, sampled: bool) -> str:
    if standing is not None and standing.earlier:
        return "Nothing was compared yet under the rules in use; findings under other rules are listed below."
    if not sampled:
        return "Nothing was compared: compare.sample is 0 for this endpoint."
    return "Nothing was compared yet: the endpoint is sampled, but had no request."


def _rate(rate: float) -> str:
    """`0.023 % (1 in 4,300)`."""
    if rate >= 1:
        return "100 %"
    return f"{rate * 100:.2g} % (1 in {round(1 / rate):,})" if rate else "0 %"


def _share(number: int, n: int) -> str:
    return f"{number:,} of {n:,} ({number / n * 100:.2g} %)"


def _count(number: int, what: str, many: str = "") -> str:
    return f"{number:,} {what if number == 1 else many or what + 's'}"


def _list(items: Sequence[str]) -> str:
    shown = ", ".join(items[:MAX_SHOWN])
    return f"{shown} and {len(items) - MAX_SHOWN:,} more" if len(items) > MAX_SHOWN else shown


def _minute(seconds: float) -> str:
    return timestamp(seconds)[:16].replace("T", " ") + "Z"

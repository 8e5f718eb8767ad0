from __future__ import annotations

from pathlib import Path

import pytest

from bench.conformance import table
from bench.conformance.case import Case, get, post
from bench.conformance.cases import CHAPTERS
from bench.conformance.observe import Seen
from bench.conformance.upstream import summary
from bench.conformance.wire import counted, statuses

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
DOCUMENT = Path(__file__).parents[2] / "docs" / "results" / "conformance.md"


@pytest.mark.parametrize(
    ("came", "methods", "expected"),
    [
        (OK + OK, ["GET", "GET"], ["200", "200"]),
        (OK[:-1], ["GET"], ["200", "cut"]),
        (OK[:-2] + OK, ["HEAD", "GET"], ["200", "200"]),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK, ["GET"], ["103", "200"]),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\nanything", ["GET"], ["101"]),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", ["GET"], ["200"]),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", ["GET"], ["200", "cut"]),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\r\n\r\n" + OK,
            [],
            ["200"] * 2,
        ),
        (b"<html>", ["GET"], ["no HTTP"]),
    ],
)
def test_statuses_are_read_as_a_client_would(came: bytes, methods: list[str], expected: list[str]) -> None:
    assert statuses(came, methods) == expected


def test_many_equal_statuses_are_counted() -> None:
    assert counted(["103"] * 17 + ["200", "200"]) == "17 x 103 200 200"


def test_what_the_upstream_got_is_told_in_few_words() -> None:
    requests = [get(b"", b"/" + b"a" * 100), post(b"Content-Length: 3\r\n", b"ab"), b"junk"]
    assert summary(requests) == [
        "GET /" + "a" * 35 + "…",
        "POST /p, cut off in its body",
        "4 bytes that are no request",
    ]


def results(ours: Seen, nginx: Seen, name: str = "Chunks: negative chunk size") -> dict[str, dict[str, Seen]]:
    """Every case as it says of itself, the same for all; but this one."""
    same = {
        f"{chapter}: {each}": Seen(case.shows, ())
        for chapter, cases in CHAPTERS.items()
        for each, case in cases.items()
    }
    return {
        "strangler": {**same, name: ours},
        "nginx": {**same, name: nginx},
        "haproxy": {**same, name: ours},
    }


def of_interest(lines: list[str]) -> list[str]:
    return [line for line in lines if "nothing differs" not in line]


def test_a_difference_without_a_reason_is_wrong() -> None:
    found = of_interest(table.wrong(results(Seen("400", ()), Seen("200", ("POST /p",)))))
    assert found == ["Chunks: negative chunk size: ours 400, nginx 200 ← POST /p: no reason is given"]


def test_other_than_the_case_says_is_wrong() -> None:
    (found,) = of_interest(table.wrong(results(Seen("200", ("POST /p",)), Seen("200", ("POST /p",)))))
    assert found == "Chunks: negative chunk size: 200 ← POST /p, not 400"


def test_a_reason_without_a_difference_is_wrong() -> None:
    reasons = sum(bool(case.why) for cases in CHAPTERS.values() for case in cases.values())
    assert len(table.wrong(results(Seen("400", ()), Seen("400", ())))) == reasons


def test_the_document_has_every_case_and_a_reason_for_every_difference() -> None:
    text = DOCUMENT.read_text()
    rows = [
        line.split(" | ") for line in text.splitlines() if line.startswith("| ") and line.count(" | ") == 4
    ]
    cases: list[Case] = [case for chapter in CHAPTERS.values() for case in chapter.values()]
    rows = [row for row in rows if row[0] != "| case"]
    assert len(rows) == len(cases)
    for row, case in zip(rows, cases, strict=True):
        assert row[1].split(" ←")[0] == case.shows
        assert (row[2] == row[3] == "=") == (row[4] == "|" or row[4] == " |")


def test_a_document_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the lines"):
        table.replace("nothing", "figures")

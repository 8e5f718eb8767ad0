"""All cases by chapter. Tests and the bench read this list; nothing is written down twice."""

from __future__ import annotations

from typing import Final

from bench.conformance import answers, connection, forwarded, framing, heads
from bench.conformance.case import Cases

REFUSED: Final[dict[str, Cases]] = {
    "Content-Length": framing.LENGTHS,
    "Transfer-Encoding": framing.CODINGS,
    "Chunks": framing.CHUNKS,
    "Line ends and control bytes": heads.LINES,
    "Request line": heads.REQUEST_LINES,
    "Target and Host": heads.TARGETS,
    "Expectations and limits": heads.LIMITS,
}
FORWARDED: Final[dict[str, Cases]] = {
    "Bodies that go out": forwarded.FRAMED,
    "Heads that go out": forwarded.HEADS,
}
ANSWERED: Final[dict[str, Cases]] = {
    "Answers": answers.GOOD,
    "Answers that cannot be relayed": answers.BAD,
    "Answers with broken chunks": answers.BROKEN_CHUNKS,
    "Upstreams that go away": answers.ENDS,
}
CHAPTERS: Final = REFUSED | FORWARDED | {"Connections": connection.CONNECTIONS} | ANSWERED

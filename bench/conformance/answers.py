"""What an upstream may answer, and what it must not (RFC 9112 sections 4, 6, 7 and 9)."""

from __future__ import annotations

from typing import Final

from bench.conformance.case import (
    ANSWER,
    CHUNKED,
    CLOSE,
    HOST,
    OK,
    Answers,
    Case,
    Cases,
    bad_answer,
    get,
    post,
)

_ASK: Final = get(HOST + CLOSE)
_HEAD: Final = b"HEAD /g HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n"
_WRITE: Final = post(b"Content-Length: 2\r\n" + CLOSE, b"ab")
_CHUNKS: Final = ANSWER + CHUNKED + b"\r\n"
_LENGTH_1: Final = b"Content-Length: 1\r\n"

# Why we differ, where several cases have the same reason.
_NOT_HTTP: Final = "what is not HTTP/1.1 is never shown to the client as an answer"
_UNCLEAR_STATUS: Final = "the client would get a status line that it may read in another way, or not at all"
_UNSURE_LENGTH: Final = (
    "an answer whose length is in doubt could end in another place for the client than for us"
)
_TWO_FRAMINGS: Final = (
    "an answer with two framings is how answers are smuggled into caches and kept connections"
)
_UNASKED_CODING: Final = "the client did not ask for that coding with TE, so it cannot be expected to undo it"
_MANY_INTERIM: Final = "at most 16 interim answers: what goes on for ever holds the client for ever"
_HEAD_IS_GONE: Final = (
    "the head has left by then, as soon as it was there; a reset says that the body is not whole"
)

BAD: Final[Cases] = {
    "garbage": bad_answer(b"garbage\r\n\r\n", why=_NOT_HTTP),
    "binary garbage": bad_answer(bytes(range(256)) * 4, why=_NOT_HTTP),
    "HTTP/0.9": bad_answer(b"<html>", why=_NOT_HTTP),
    "HTTP/2": bad_answer(b"HTTP/2 200\r\n\r\n", why=_NOT_HTTP),
    "HTTP/2.0": bad_answer(
        b"HTTP/2.0 200 OK\r\n\r\n",
        why=_UNCLEAR_STATUS,
    ),
    "a request": bad_answer(get(HOST), why=_NOT_HTTP),
    "status of two digits": bad_answer(b"HTTP/1.1 20 OK\r\n\r\n", why=_NOT_HTTP),
    "status of four digits": bad_answer(
        b"HTTP/1.1 2000 OK\r\n\r\n",
        why=_UNCLEAR_STATUS,
    ),
    "status zero": bad_answer(
        b"HTTP/1.1 000 OK\r\n\r\n",
        why=_UNCLEAR_STATUS,
    ),
    "signed status": bad_answer(b"HTTP/1.1 +20 OK\r\n\r\n", why=_NOT_HTTP),
    "control byte in the reason": bad_answer(
        b"HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n", why="strict"
    ),
    "two lengths": bad_answer(
        ANSWER + _LENGTH_1 + b"Content-Length: 2\r\n\r\nab",
        why=_UNSURE_LENGTH,
    ),
    "equal lengths": bad_answer(
        ANSWER + _LENGTH_1 * 2 + b"\r\na",
        why=_UNSURE_LENGTH,
    ),
    "lengths in a list": bad_answer(
        ANSWER + b"Content-Length: 1, 1\r\n\r\na",
        why=_UNSURE_LENGTH,
    ),
    "signed length": bad_answer(
        ANSWER + b"Content-Length: +1\r\n\r\na",
        why=_UNSURE_LENGTH,
    ),
    "huge length": bad_answer(
        ANSWER + b"Content-Length: 99999999999999999999\r\n\r\na",
        why=_UNSURE_LENGTH,
    ),
    "length and chunked": bad_answer(
        ANSWER + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
        why=_TWO_FRAMINGS,
    ),
    "chunked twice": bad_answer(
        ANSWER + CHUNKED * 2 + b"\r\n0\r\n\r\n",
        why=_TWO_FRAMINGS,
    ),
    "unknown coding": bad_answer(
        ANSWER + b"Transfer-Encoding: gzip\r\n\r\nabc",
        why=_UNASKED_CODING,
    ),
    "coding before chunked": bad_answer(
        ANSWER + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        why=_UNASKED_CODING,
    ),
    "bad field name": bad_answer(ANSWER + b"A B: c\r\nContent-Length: 0\r\n\r\n"),
    "blank before the colon": bad_answer(ANSWER + b"Content-Length : 0\r\n\r\n"),
    "fold": bad_answer(ANSWER + b"A: b\r\n c\r\nContent-Length: 0\r\n\r\n", why="strict"),
    "LF alone": bad_answer(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n" + b"\r\n\r\n", why="strict"),
    "NUL in a value": bad_answer(ANSWER + b"A: \0\r\nContent-Length: 0\r\n\r\n", why="strict"),
    "CR in a value": bad_answer(ANSWER + b"A: b\rSet-Cookie: c\r\nContent-Length: 0\r\n\r\n"),
    "header flood": bad_answer(
        ANSWER + b"A: b\r\n" * 300 + b"\r\n",
        why="at most 256 lines and 64 KiB: a proxy that holds heads must bound them",
    ),
    "head without an end": bad_answer(ANSWER + b"A: " + b"b" * 100_000),
    "1xx storm": Case(
        _ASK,
        "16 x 103 502",
        line=b"GET /g HTTP/1.1",
        answers=Answers(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 17 + OK, "close"),
        why=_MANY_INTERIM,
    ),
    "100 storm": bad_answer(
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
        why=_MANY_INTERIM,
    ),
    "101 that nobody asked for": bad_answer(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        why="what follows would be a tunnel that the client does not know of",
    ),
}

BROKEN_CHUNKS: Final[Cases] = {
    "bad size": Case(
        _ASK,
        "200 cut",
        answers=Answers(_CHUNKS + b"4\r\nhalf\r\nx\r\n"),
        why=_HEAD_IS_GONE,
    ),
    "chunk longer than its size": Case(
        _ASK,
        "200 cut",
        answers=Answers(_CHUNKS + b"4\r\nhalfX\r\n"),
        why=_HEAD_IS_GONE,
    ),
    "bad trailer": Case(
        _ASK,
        "200 cut",
        answers=Answers(_CHUNKS + b"4\r\nhalf\r\n0\r\nbad trailer\r\n\r\n"),
        why="the head has left by then; a trailer with no colon is an error in the framing",
    ),
    "size over 64 bits": Case(
        _ASK,
        "200 cut",
        answers=Answers(_CHUNKS + b"4\r\nhalf\r\nffffffffffffffffff\r\n"),
        why=_HEAD_IS_GONE,
    ),
}

ENDS: Final[Cases] = {
    "closed without an answer, to a read": Case(_ASK, "502", answers=Answers(b"", "close")),
    "closed without an answer, to a write": Case(
        _WRITE, "502", line=b"POST /p HTTP/1.1", body=b"ab", answers=Answers(b"", "close")
    ),
    "reset without an answer, to a write": Case(
        _WRITE, "502", line=b"POST /p HTTP/1.1", body=b"ab", answers=Answers(b"", "reset")
    ),
    "closed in the head": Case(_ASK, "502", answers=Answers(ANSWER + b"A: b\r\n", "close")),
    "closed in a body with a length": Case(
        _ASK,
        "200 cut",
        line=b"GET /g HTTP/1.1",
        answers=Answers(ANSWER + b"Content-Length: 10\r\n\r\nhalf", "close"),
    ),
    "closed in a chunk": Case(
        _ASK, "200 cut", line=b"GET /g HTTP/1.1", answers=Answers(_CHUNKS + b"a\r\nhalf", "close")
    ),
    "closed before the last chunk": Case(
        _ASK, "200 cut", line=b"GET /g HTTP/1.1", answers=Answers(_CHUNKS + b"4\r\nhalf\r\n", "close")
    ),
    "a body that ends with the connection": Case(
        _ASK, "200", line=b"GET /g HTTP/1.1", answers=Answers(ANSWER + b"\r\nall", "close")
    ),
    "a second answer behind the first": Case(
        _ASK, "200", line=b"GET /g HTTP/1.1", answers=Answers(OK + OK.replace(b"ok", b"no"))
    ),
    "a kept connection that dies under a read": Case(
        get(HOST) + _ASK,
        "200 200",
        answers=Answers(b"", "close", first=True),
        why="a read is sent once more on a fresh connection; the client need not know",
    ),
    "a kept connection that dies under a write": Case(
        get(HOST) + _WRITE,
        "200 502",
        answers=Answers(b"", "close", first=True),
        why="the client gets an answer that says that the outcome is unknown, not a bare close",
    ),
}

GOOD: Final[Cases] = {
    "HEAD with a length": Case(
        _HEAD, "200", line=b"HEAD /g HTTP/1.1", answers=Answers(ANSWER + b"Content-Length: 500\r\n\r\n")
    ),
    "HEAD of a chunked answer": Case(_HEAD, "200", line=b"HEAD /g HTTP/1.1", answers=Answers(_CHUNKS)),
    "204": Case(_ASK, "204", line=b"GET /g HTTP/1.1", answers=Answers(b"HTTP/1.1 204 No Content\r\n\r\n")),
    "204 with a length": Case(
        _ASK,
        "204",
        line=b"GET /g HTTP/1.1",
        answers=Answers(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"),
    ),
    "304 with the length of what it stands for": Case(
        _ASK,
        "304",
        line=b"GET /g HTTP/1.1",
        answers=Answers(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n"),
    ),
    "HEAD answered with a body, on a kept connection": Case(
        b"HEAD /g HTTP/1.1\r\n" + HOST + b"\r\n" + _ASK, "200 200"
    ),
    "204 with a body, on a kept connection": Case(
        get(HOST) + _ASK,
        "204 204",
        answers=Answers(b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok"),
    ),
    "206": Case(
        get(HOST + CLOSE + b"Range: bytes=0-0\r\n"),
        "206",
        line=b"GET /g HTTP/1.1",
        answers=Answers(
            b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-0/9\r\n" + _LENGTH_1 + b"\r\na"
        ),
    ),
    "no reason phrase": Case(
        _ASK, "200", line=b"GET /g HTTP/1.1", answers=Answers(b"HTTP/1.1 200\r\n" + _LENGTH_1 + b"\r\na")
    ),
    "chunks with extensions": Case(
        _ASK,
        "200",
        line=b"GET /g HTTP/1.1",
        answers=Answers(_CHUNKS + b"3;x=y\r\nabc\r\n002\r\nde\r\n0\r\n\r\n"),
    ),
    "trailers": Case(
        _ASK,
        "200",
        line=b"GET /g HTTP/1.1",
        answers=Answers(_CHUNKS + b"1\r\na\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a\r\n\r\n"),
    ),
    "100 that nobody asked for": Case(
        _ASK,
        "200",
        line=b"GET /g HTTP/1.1",
        answers=Answers(b"HTTP/1.1 100 Continue\r\n\r\n" + OK),
        why="Expect ends at this proxy, which answers it itself; a 100 from behind means nothing",
    ),
    "103": Case(
        _ASK,
        "103 200",
        line=b"GET /g HTTP/1.1",
        answers=Answers(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + OK),
        why="RFC 9110 section 15.2: interim answers are forwarded, and the final one follows",
    ),
    "103 to HTTP/1.0": Case(
        b"GET /g HTTP/1.0\r\n" + HOST + b"\r\n",
        "200",
        line=b"GET /g HTTP/1.1",
        answers=Answers(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK),
        why="RFC 9110 section 15.2: HTTP/1.0 knows no interim answers",
    ),
    "an HTTP/1.0 answer": Case(
        _ASK, "200", line=b"GET /g HTTP/1.1", answers=Answers(b"HTTP/1.0 200 OK\r\n\r\nall", "close")
    ),
    "an HTTP/1.0 answer in chunks": Case(
        _ASK,
        "200",
        line=b"GET /g HTTP/1.1",
        answers=Answers(b"HTTP/1.0 200 OK\r\n" + CHUNKED + b"\r\n2\r\nok\r\n0\r\n\r\n", "close"),
    ),
}

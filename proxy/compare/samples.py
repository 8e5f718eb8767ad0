"""Reduces a comparison to what may be kept of it: redacted, and bounded in size."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from proxy.compare.client import Asked
from proxy.core.comparison.comparisons import Sample, Scope, Shown, Side, label
from proxy.core.comparison.differences import Answer, Difference
from proxy.core.documents.exactjson import Json, parse, text_of
from proxy.core.documents.fieldpaths import Steps
from proxy.core.http1.request import RequestHead
from proxy.core.privacy.redact import Redactor, secrets_of
from proxy.core.settings import ASYNC, LEGACY, Compare

MAX_TEXT: Final = 64 * 1024  # characters of one body
MAX_VALUE: Final = 4 * 1024  # characters of one value
MAX_DIFFERENCES: Final = 200
MAX_HEADERS: Final = 100
_NOT_SHOWN: Final = frozenset({"content-length", "transfer-encoding", "connection", "keep-alive", "via"})


def redactor_for(key: bytes, settings: Compare, head: RequestHead) -> Redactor:
    """One that also hides the request's own credentials wherever they turn up."""
    return Redactor(key, settings.redact, secrets_of(_lines(head)))


def redacted(differences: Collection[Difference], redactor: Redactor) -> list[Difference]:
    """With paths that every database accepts."""
    return [each._replace(path=label(each.path)) for each in map(redactor.difference, differences)]


def document_of(answer: Answer) -> Json | None:
    """The body, if it is JSON and was kept."""
    if answer.body.content is None or "json" not in answer.headers.get("content-type", "").lower():
        return None
    try:
        return parse(answer.body.content)
    except ValueError:
        return None


def sample(
    place: tuple[str, Scope, float],
    head: RequestHead,
    asked: Mapping[str, Asked],
    differences: Sequence[Difference],
    left_out: int,
    settings: Compare,
    redactor: Redactor,
) -> Sample:
    """`place`: id, scope and Unix seconds. `asked` by side. `differences` are redacted already."""
    lines = ((name.lower(), redactor.header(name, value)) for name, value in _lines(head))
    headers = tuple((label(name), label(value)) for name, value in lines if name not in _NOT_SHOWN)
    shown = tuple(map(_shown, differences[:MAX_DIFFERENCES]))
    return Sample(
        *place,
        head.method,
        _text(redactor.text(head.target.decode("latin-1")), MAX_VALUE),
        headers[:MAX_HEADERS],
        _side(asked[LEGACY], settings, redactor),
        _side(asked[ASYNC], settings, redactor),
        shown,
        left_out + len(differences) - len(shown),
    )


def _side(asked: Asked, settings: Compare, redactor: Redactor) -> Side:
    answer = asked.answer
    names = [name for name in ("content-type", *settings.headers) if name in answer.headers]
    headers = {name: label(redactor.header(name, answer.headers[name])) for name in names}
    text = _body(answer, redactor)
    cut = text is not None and len(text) > MAX_TEXT
    body = None if text is None else _text(text, MAX_TEXT)
    return Side(answer.status, headers, body, cut, answer.body.size, asked.seconds)


def _body(answer: Answer, redactor: Redactor) -> str | None:
    content = answer.body.content
    if content is None:
        return None
    document = document_of(answer)
    if document is not None:
        return text_of(redactor.json(document))
    if redactor.hides_fields and content:
        return None
    try:
        return redactor.text(content.decode())
    except UnicodeDecodeError:
        return None


def _shown(each: Difference) -> Shown:
    legacy = None if each.kind == "only async" else _text(text_of(each.legacy), MAX_VALUE)
    async_ = None if each.kind == "only legacy" else _text(text_of(each.async_), MAX_VALUE)
    return Shown(each.path, each.kind, legacy, async_, _steps(each.steps))


def _steps(steps: Steps) -> Steps:
    return tuple(label(step) if isinstance(step, str) else step for step in steps)


def _text(text: str, limit: int) -> str:
    return text[:limit].encode("utf-8", "replace").decode()


def _lines(head: RequestHead) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.fields.pairs()]

"""One comparison for the admin port, by what `strangler compare` asks with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final

from proxy.compare.ask import Asked, Unanswered
from proxy.compare.once import compare_once, refusal
from proxy.control.oneoff import NotCompared, OneOff
from proxy.core.comparison.comparisons import Shown, Side
from proxy.core.comparison.differences import Difference
from proxy.core.documents.exactjson import text_of
from proxy.core.http1.grammar import Malformed
from proxy.core.http1.request import RequestHead
from proxy.core.routing.snapshot import Snapshot

MAX_VALUE: Final = 2000  # characters of one differing value


async def one_off(snapshot: Snapshot, method: str, target: str, headers: Mapping[str, str]) -> OneOff:
    """Asks both backends directly, whatever the weights say. Raises NotCompared."""
    head = _head(method, target, headers)
    reason = refusal(snapshot, head)
    if reason is not None:
        raise NotCompared(422, f"{method} {target}: {reason}")
    try:
        result = await compare_once(snapshot, head, date.today())
    except Unanswered as error:
        raise NotCompared(502, str(error)) from None
    judged = result.judged
    return OneOff(
        result.endpoint.name if result.endpoint else None,
        _side(result.legacy),
        _side(result.async_),
        tuple(map(_shown, judged.differences)),
        judged.left_out,
        tuple((str(rule), count) for rule, count in judged.hidden),
        tuple(map(str, judged.expired)),
    )


def _head(method: str, target: str, headers: Mapping[str, str]) -> RequestHead:
    if not target.startswith("/"):
        raise NotCompared(422, f"{target!r} is not a path: it begins with /")
    for text in (method, target, *headers, *headers.values()):
        if not text.isprintable():
            raise NotCompared(422, f"{text!r} does not belong into a request head")
    try:
        return RequestHead.of(method, target, headers)
    except Malformed as error:
        raise NotCompared(422, f"{method} {target}: {error}") from None
    except UnicodeEncodeError:
        raise NotCompared(422, "only ASCII goes into a request head; percent-encode the rest") from None


def _side(asked: Asked) -> Side:
    answer = asked.answer
    return Side(
        answer.status, answer.headers, _text(answer.body.content), False, answer.body.size, asked.seconds
    )


def _text(content: bytes | None) -> str | None:
    try:
        return None if content is None else content.decode()
    except UnicodeDecodeError:
        return None


def _shown(each: Difference) -> Shown:
    legacy = None if each.kind == "only async" else _cut(text_of(each.legacy))
    async_ = None if each.kind == "only legacy" else _cut(text_of(each.async_))
    return Shown(each.path, each.kind, legacy, async_, each.steps)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}… ({len(text)} characters)"

"""One request to both backends, and what differs: for `strangler compare` and for the admin port."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from typing import Final, NamedTuple

from proxy.compare.client import Asked, BackendRequest, Unanswered, ask
from proxy.compare.judging import endpoint_of, judged, today
from proxy.core.comparison.comparisons import Shown, Side
from proxy.core.comparison.differences import Difference
from proxy.core.comparison.judge import Judged
from proxy.core.comparison.one_off import NotCompared, OneOff
from proxy.core.documents.exactjson import text_of
from proxy.core.http1.grammar import Malformed
from proxy.core.http1.request import RequestHead
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import SAFE_METHODS, Endpoint

MAX_VALUE: Final = 2000  # characters of one differing value


class Result(NamedTuple):
    endpoint: Endpoint | None
    legacy: Asked
    async_: Asked
    judged: Judged


def refusal(snapshot: Snapshot, head: RequestHead) -> str | None:
    """Why this request must not be sent to two backends; None if it may be."""
    endpoint = endpoint_of(snapshot, head)
    if head.method not in SAFE_METHODS:
        return f"{head.method} may change something: only {', '.join(sorted(SAFE_METHODS))} are asked twice"
    if endpoint is not None and not endpoint.safe:
        return f"{endpoint.name} is declared safe: false, so it may change something"
    if head.fields.chunked or head.fields.content_length:
        return "a request with a body cannot be compared"
    return None


async def compare_once(snapshot: Snapshot, head: RequestHead) -> Result:
    """Asks both at the same time; `refusal` comes first. Raises Unanswered, with a line for each backend."""
    endpoint = endpoint_of(snapshot, head)
    settings = snapshot.compare if endpoint is None else endpoint.compare
    given = head.get(b"x-request-id")
    request_id = given.decode("latin-1") if given else uuid.uuid4().hex
    request = BackendRequest(head, protected=snapshot.protected)
    results = await asyncio.gather(
        ask(snapshot.legacy, request, request_id, settings.max_body),
        ask(snapshot.async_, request, request_id, settings.max_body),
        return_exceptions=True,
    )
    failures = [each for each in results if isinstance(each, BaseException)]
    for failure in failures:
        if not isinstance(failure, Unanswered):
            raise failure
    if failures:
        raise Unanswered("\n".join(map(str, failures)))
    legacy, async_ = (each for each in results if isinstance(each, Asked))
    return Result(endpoint, legacy, async_, judged(settings, legacy, async_, today()))


async def one_off(snapshot: Snapshot, method: str, target: str, headers: Mapping[str, str]) -> OneOff:
    """Asks both backends directly, whatever the weights say. Raises NotCompared."""
    head = _head(method, target, headers)
    reason = refusal(snapshot, head)
    if reason is not None:
        raise NotCompared(422, f"{method} {target}: {reason}")
    try:
        result = await compare_once(snapshot, head)
    except Unanswered as error:
        raise NotCompared(502, str(error)) from None
    found = result.judged
    return OneOff(
        result.endpoint.name if result.endpoint else None,
        _side(result.legacy),
        _side(result.async_),
        tuple(map(_shown, found.differences)),
        found.left_out,
        tuple((str(rule), count) for rule, count in found.hidden),
        tuple(map(str, found.expired)),
        found.unreadable,
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

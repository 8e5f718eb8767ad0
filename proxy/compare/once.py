"""One request to both backends, and what differs."""

from __future__ import annotations

import asyncio
import uuid
from datetime import date
from typing import NamedTuple

from proxy.compare.ask import Asked, Unanswered, ask
from proxy.core.comparison.judge import Judged, judge
from proxy.core.http1.request import RequestHead
from proxy.core.routing import paths
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import SAFE_METHODS, Endpoint


class Result(NamedTuple):
    endpoint: Endpoint | None
    legacy: Asked
    async_: Asked
    judged: Judged


def endpoint_of(snapshot: Snapshot, head: RequestHead) -> Endpoint | None:
    segments = paths.split(head.target)
    return None if segments is None else snapshot.table.find(head.method, segments)


def refusal(snapshot: Snapshot, head: RequestHead) -> str | None:
    """Why this request must not be sent to two backends; None if it may be."""
    endpoint = endpoint_of(snapshot, head)
    if head.method not in SAFE_METHODS:
        return f"{head.method} may change something: only {', '.join(sorted(SAFE_METHODS))} are asked twice"
    if endpoint is not None and not endpoint.safe:
        return f"{endpoint.name} is declared safe: false, so it may change something"
    if head.fields.chunked or head.fields.content_length:
        return "a request with a body can not be compared"
    return None


async def compare_once(snapshot: Snapshot, head: RequestHead, today: date) -> Result:
    """Asks both at the same time; `refusal` comes first. Raises Unanswered, with a line for each backend."""
    endpoint = endpoint_of(snapshot, head)
    settings = snapshot.compare if endpoint is None else endpoint.compare
    given = head.get(b"x-request-id")
    request_id = given.decode("latin-1") if given else uuid.uuid4().hex
    results = await asyncio.gather(
        ask(snapshot.legacy, head, request_id, settings.max_body, protected=snapshot.protected),
        ask(snapshot.async_, head, request_id, settings.max_body, protected=snapshot.protected),
        return_exceptions=True,
    )
    failures = [each for each in results if isinstance(each, BaseException)]
    for failure in failures:
        if not isinstance(failure, Unanswered):
            raise failure
    if failures:
        raise Unanswered("\n".join(map(str, failures)))
    legacy, async_ = (each for each in results if isinstance(each, Asked))
    judged = judge(legacy.answer, async_.answer, settings.headers, settings.rules, today)
    return Result(endpoint, legacy, async_, judged)

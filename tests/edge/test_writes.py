from __future__ import annotations

import asyncio
import base64
import json
import threading
from typing import Any

import pytest

from proxy.core.http1.grammar import Malformed
from proxy.core.http1.request import RequestHead
from proxy.core.resilience.idempotency import ClaimRequest
from proxy.core.resilience.identity import ANONYMOUS
from proxy.edge import writes as module
from proxy.edge.writes import Writes
from proxy.store import StoreUnavailable
from tests.edge.harness import snapshot


def token(**claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"Bearer e30.{payload}.c2ln"


def wanted(principal: str = "credential", rest: str = "", **fields: str) -> ClaimRequest:
    """What a POST with these header fields asks for."""
    compiled = snapshot(
        "http://127.0.0.1:9",
        endpoints="POST /x/{id}: {weight: 0}",
        rest=f"idempotency: {{principal: '{principal}', ttl: 1h, statuses: {{in_flight: 425}}}}",
        backend=rest,
    )
    head = RequestHead.of("POST", "/x/1", {name.replace("_", "-"): value for name, value in fields.items()})
    loop = asyncio.new_event_loop()
    try:
        writes = Writes(loop, compiled.server.state, "me", ownership_off=False)
        return writes.wanted(compiled, compiled.endpoints[0], head, b"body", [b'"k"'], "legacy", "t")
    finally:
        loop.close()


def test_what_is_asked_of_the_store() -> None:
    asked = wanted(rest="idempotent: true")
    assert (asked.key, asked.endpoint, asked.backend, asked.token) == ("k", "POST /x/{id}", "legacy", "t")
    assert (asked.incarnation, asked.ttl, asked.in_flight, asked.mismatch) == ("me", 3600.0, 425, 422)
    assert asked.idempotent == {"legacy", "async"}


def test_without_credentials_everybody_is_one() -> None:
    assert wanted().principal == ANONYMOUS
    assert wanted("header:x-user").principal == ANONYMOUS
    assert wanted("jwt:sub", authorization="Bearer opaque").principal == ANONYMOUS


def test_credentials_tell_principals_apart() -> None:
    one, two = wanted(authorization="Bearer one"), wanted(authorization="Bearer two")
    assert one.principal != two.principal
    assert one.id != two.id
    assert one.id == wanted(authorization="Bearer one").id


def test_a_claim_stays_the_same_when_the_token_is_renewed() -> None:
    first = wanted("jwt:sub", authorization=token(sub="ada", exp=1))
    second = wanted("jwt:sub", authorization=token(sub="ada", exp=2))
    assert first.id == second.id
    assert first.id != wanted("jwt:sub", authorization=token(sub="bob", exp=1)).id


def test_a_header_may_name_the_principal() -> None:
    assert wanted("header:x-user", x_user="ada").id != wanted("header:x-user", x_user="bob").id


def test_what_is_no_key_is_refused() -> None:
    compiled = snapshot("http://127.0.0.1:9", endpoints="POST /x: {weight: 0}")
    loop = asyncio.new_event_loop()
    writes = Writes(loop, compiled.server.state, "me", ownership_off=False)
    head = RequestHead.of("POST", "/x")
    with pytest.raises(Malformed, match="more than once"):
        writes.wanted(compiled, compiled.endpoints[0], head, b"", [b"a", b"b"], "legacy", "t")
    loop.close()


def test_a_task_that_fails_is_reported_and_whoever_waits_for_it_is_told() -> None:
    reported: list[dict[str, Any]] = []

    async def fail() -> None:
        raise LookupError("broken")

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context))
        writes = Writes(loop, "sqlite:///unused.db", "me", ownership_off=False)
        writes.spawn(fail(), lambda: reported.append({"exception": "told"}))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(run())
    assert [str(context["exception"]) for context in reported] == ["broken", "told"]


def test_what_the_store_needs_is_imported_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a third of a second, in which nobody would be served."""
    threads: list[int] = []
    monkeypatch.setattr(module, "load", lambda url: threads.append(threading.get_ident()))

    async def run() -> None:
        loop = asyncio.get_running_loop()
        writes = Writes(loop, "sqlite:///nowhere/state.db", "me", ownership_off=False)
        await asyncio.gather(writes.ready(), writes.ready())
        await writes.ready()

    asyncio.run(run())
    assert 1 <= len(threads) <= 2
    assert threading.get_ident() not in threads


@pytest.mark.parametrize(("endpoint", "warm"), [("POST /x", True), ("GET /x", False)])
def test_it_is_imported_ahead_where_writes_may_have_keys(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, warm: bool
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(module, "load", loaded.append)

    async def run() -> None:
        writes = Writes(asyncio.get_running_loop(), "sqlite:///nowhere/state.db", "me", ownership_off=False)
        writes.warm(snapshot("http://127.0.0.1:9", endpoints=f"{endpoint}: {{weight: 0}}"))
        await asyncio.gather(*writes._tasks)

    asyncio.run(run())
    assert bool(loaded) is warm


def test_without_a_thread_the_store_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()

        def refused(*args: object) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(loop, "run_in_executor", refused)
        writes = Writes(loop, "sqlite:///nowhere/state.db", "me", ownership_off=False)
        with pytest.raises(StoreUnavailable, match="can't start new thread"):
            await writes.ready()

    asyncio.run(run())

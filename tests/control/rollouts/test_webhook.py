from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from proxy.control.rollouts import webhook
from proxy.control.rollouts.webhook import Webhooks
from tests.support.ports import free_port
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.anyio


class Taker:
    """Takes what comes; the next answers have the statuses of `refusals`."""

    def __init__(self) -> None:
        self.taken: list[object] = []
        self.refusals: list[int] = []
        taker = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = taker.refusals.pop(0) if taker.refusals else 204
                if status == 204:
                    taker.taken.append(json.loads(body))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Not in the tests' output."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?secret=s3"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def taker() -> Iterator[Taker]:
    made = Taker()
    yield made
    made.server.shutdown()
    made.server.server_close()


async def taken(taker: Taker, count: int) -> None:
    async def enough() -> bool:
        return len(taker.taken) >= count

    await eventually_async(enough)


async def test_changes_come_in_order_also_after_failures(
    taker: Taker, caplog: pytest.LogCaptureFixture
) -> None:
    hooks = Webhooks(first=0.01)
    taker.refusals = [503, 500, 429]
    for number in range(3):
        hooks.send(taker.url, {"number": number})
    await taken(taker, 3)
    assert taker.taken == [{"number": number} for number in range(3)]
    assert [record.levelname for record in caplog.records].count("ERROR") == 1
    assert "s3" not in caplog.text
    hooks.close()


async def test_what_is_refused_for_good_is_given_up(taker: Taker) -> None:
    hooks = Webhooks(first=0.01)
    taker.refusals = [404]
    hooks.send(taker.url, {"number": 0})
    hooks.send(taker.url, {"number": 1})
    await taken(taker, 1)
    assert (taker.taken, hooks.lost) == ([{"number": 1}], 1)
    hooks.close()


async def test_an_address_that_does_not_answer_holds_up_no_other_and_its_queue_is_bounded(
    taker: Taker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "WAITING", 3)
    hooks = Webhooks(first=60.0)
    dead = f"http://127.0.0.1:{free_port()}/"
    for number in range(10):
        hooks.send(dead, {"number": number})
    hooks.send(taker.url, {"number": 1})
    await taken(taker, 1)
    assert hooks.lost == 7
    hooks.close()
    await asyncio.sleep(0)

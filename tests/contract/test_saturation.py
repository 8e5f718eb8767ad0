"""What writes get while there are no connections to the database left, and what has come of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager

import httpx2
import psycopg
import pytest

from tests.contract import servers
from tests.contract.fixtures import Ledger, client_of, order, problem
from tests.contract.servers import Server

WRITES = 4


@pytest.mark.parametrize(
    ("start", "pool", "refuses"),
    [
        (servers.legacy, {"POOL_SIZE": "1", "POOL_OVERFLOW": "0"}, False),  # the rest wait to be accepted
        (servers.async_, {"POOL_MAX": "1", "POOL_WAIT": "0.2"}, True),
    ],
    ids=["legacy", "async"],
)
def test_a_write_that_is_refused_did_not_take_place(
    start: Callable[..., AbstractContextManager[Server]],
    pool: dict[str, str],
    refuses: bool,
    new_ledger: Callable[[], Ledger],
) -> None:
    made = new_ledger()
    source, destination = made.accounts()[:2]
    before = made.execute("SELECT count(*) FROM payments")[0][0]
    with start(made.url, **pool) as server, ThreadPoolExecutor(WRITES) as threads:

        def pay() -> httpx2.Response:
            with client_of(server.url, made.api_key) as client:
                return client.post("/payments", json=order(source, destination, "0.01"))

        with psycopg.connect(made.url) as blocker:
            blocker.execute("SELECT 1 FROM accounts WHERE id = %s FOR UPDATE", [source])
            answers = [threads.submit(pay) for _ in range(WRITES)]
            if refuses:
                wait(answers, 20, FIRST_COMPLETED)
            blocker.rollback()
        refused = [answer.result() for answer in answers if answer.result().status_code != 201]
    for answer in refused:
        assert problem(answer) == (503, "unavailable")
        assert answer.headers["retry-after"] == "1"
    assert bool(refused) == refuses
    assert made.execute("SELECT count(*) FROM payments") == [(before + WRITES - len(refused),)]

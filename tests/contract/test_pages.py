"""Pages of one listing may come from either backend, also while new entries are written."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from tests.contract.fixtures import order
from tests.contract.test_accounts import open_account

PAYMENTS = 30


@pytest.fixture
def busy(legacy: httpx2.Client, async_: httpx2.Client) -> tuple[str, str]:
    """Two accounts with PAYMENTS payments between them, written by both backends in turn."""
    pair = open_account(legacy), open_account(async_)
    for number, client in zip(range(PAYMENTS), itertools.cycle([legacy, async_]), strict=False):
        assert client.post("/payments", json=order(*pair, f"0.{number + 10}")).status_code == 201
    return pair


def read_all(clients: list[httpx2.Client], path: str, limit: int) -> list[str]:
    """Ids of all items, each page from the next client."""
    ids: list[str] = []
    cursor = ""
    for client in itertools.cycle(clients):
        separator = "&" if "?" in path else "?"
        answer = client.get(f"{path}{separator}limit={limit}{cursor}").json()
        ids += [item["id"] for item in answer["items"]]
        if answer["next_cursor"] is None:
            return ids
        cursor = f"&cursor={answer['next_cursor']}"
    raise AssertionError


@pytest.mark.parametrize("limit", [1, 7, 30, 31])
def test_pages_from_both_backends_add_up(
    legacy: httpx2.Client, async_: httpx2.Client, busy: tuple[str, str], limit: int
) -> None:
    for path, expected in (
        (f"/accounts/{busy[0]}/transactions", PAYMENTS + 1),
        (f"/payments?account_id={busy[0]}", PAYMENTS),
    ):
        alternating = read_all([legacy, async_], path, limit)
        assert len(set(alternating)) == len(alternating) == expected
        assert alternating == read_all([async_], path, limit) == read_all([legacy], path, 100)


def test_cursors_are_the_same_bytes(
    legacy: httpx2.Client, async_: httpx2.Client, busy: tuple[str, str]
) -> None:
    for path in (f"/accounts/{busy[0]}/transactions?limit=3", "/payments?limit=3&status=completed"):
        assert legacy.get(path).json() == async_.get(path).json()


def test_no_entry_is_missing_or_doubled_while_new_ones_are_written(
    legacy: httpx2.Client, async_: httpx2.Client, busy: tuple[str, str]
) -> None:
    path = f"/accounts/{busy[0]}/transactions"
    before = set(read_all([legacy], path, 100))
    done = threading.Event()

    def write(client: httpx2.Client) -> int:
        for count in itertools.count(1):
            assert client.post("/payments", json=order(*busy, "0.01")).status_code == 201
            if done.is_set():
                return count
        raise AssertionError

    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(write, client) for client in (legacy, async_)]
        readers: list[Callable[[], list[str]]] = [
            lambda: read_all([legacy, async_], path, 2),
            lambda: read_all([async_, legacy], path, 5),
        ]
        try:
            seen = [read() for read in readers]
        finally:
            done.set()
        written = sum(writer.result() for writer in writers)
    for ids in seen:
        assert len(set(ids)) == len(ids)
        assert before <= set(ids)
    assert len(set(read_all([async_], path, 100))) == len(before) + written

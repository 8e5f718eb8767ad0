"""What reads may show while others write: real servers, Valkey and PostgreSQL."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
import yaml

from tests import plain
from tests.async_api.valkey import Valkey
from tests.contract import servers
from tests.contract.fixtures import Ledger, client_of, order, problem
from tests.contract.servers import ROOT, Server
from tests.support.ports import free_port
from tests.support.waiting import eventually

OWNED_TTL = 1.0


def figure(port: int, name: str) -> float:
    text = plain.get(f"http://127.0.0.1:{port}/metrics").text
    match = re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)
    return float(match[1]) if match else 0.0


@contextmanager
def concurrently(work: Callable[[], None], times: int) -> Iterator[None]:
    """Runs `work` in that many threads beside the block; raises what any of them raised."""
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded) for _ in range(times)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


@pytest.fixture
def made(new_ledger: Callable[[], Ledger]) -> Ledger:
    return new_ledger()


def test_while_legacy_writes_no_read_is_older_than_the_last_answered_write(
    made: Ledger, valkey: Valkey
) -> None:
    """Payments are refunded in parts on legacy until they are settled and may be cached."""
    source, destination = made.accounts()[:2]
    with (
        servers.legacy(made.url) as legacy,
        servers.async_(made.url, REDIS_URL=valkey.url, CACHE_TIMEOUT="1") as new,
    ):
        with client_of(legacy.url, made.api_key) as writer:
            ids = [writer.post("/payments", json=order(source, destination)).json()["id"] for _ in range(5)]
            for payment in ids:
                _refund_in_parts(writer, new, made.api_key, payment)
        with client_of(new.url, made.api_key) as reader:
            before = int(valkey.client.info("stats")["keyspace_hits"])
            assert {reader.get(f"/payments/{payment}").json()["status"] for payment in ids} == {"refunded"}
            assert int(valkey.client.info("stats")["keyspace_hits"]) >= before + 5
    assert len(valkey.client.keys("payments:*/payments/*")) == 5


def _refund_in_parts(writer: httpx2.Client, new: Server, api_key: str, payment: str) -> None:
    refunded = 0.0
    done = threading.Event()

    def read() -> None:
        with client_of(new.url, api_key) as reader:
            while not done.is_set():
                least = refunded
                shown = float(reader.get(f"/payments/{payment}").json()["refunded"]["amount"])
                assert shown >= least

    with concurrently(read, times=3):
        try:
            for part in range(1, 5):
                body = {"amount": {"amount": "0.25", "currency": "EUR"}}
                assert writer.post(f"/payments/{payment}/refunds", json=body).status_code == 201
                refunded = part / 4
        finally:
            done.set()


def test_a_revoked_key_ends_and_a_new_one_works_at_once(made: Ledger, valkey: Valkey) -> None:
    account = f"/accounts/{made.accounts()[0]}"
    with (
        servers.async_(made.url, REDIS_URL=valkey.url, CACHE_TIMEOUT="1", CACHE_KEY_TTL="0.5") as new,
        client_of(new.url, made.api_key) as client,
    ):
        assert client.get(account).status_code == 200
        made.execute("UPDATE api_keys SET revoked_at = now()")
        eventually(lambda: client.get(account).status_code == 401)
        made.execute("UPDATE api_keys SET revoked_at = NULL")
        assert client.get(account).status_code == 200


@contextmanager
def migrated(
    made: Ledger, valkey: Valkey, folder: Path, weight: int, timeout: float = 1
) -> Iterator[tuple[Server, int]]:
    """async behind a proxy with every endpoint at one weight; the port of its metrics."""
    port, admin, metrics = free_port(), free_port(), free_port()
    config: dict[str, Any] = yaml.safe_load((ROOT / "routing.yaml").read_text())
    config["server"] = {"listen": f"127.0.0.1:{free_port()}", "admin": f"127.0.0.1:{admin}", "workers": 1}
    config["server"] |= {"runtime_dir": f"{folder}/run", "state": f"sqlite:///{folder}/state.db"}
    config["phases"]["writes"].pop("after")
    for endpoint in config["endpoints"].values():
        endpoint["weight"] = weight
    with ExitStack() as stack:
        old = free_port()
        config["backends"] = {
            name: {"url": f"http://127.0.0.1:{at}"} for name, at in (("legacy", old), ("async", port))
        }
        path = folder / "routing.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        stack.enter_context(servers.serve(["proxy", "serve", "--config", str(path)], admin, {}))
        environment = {
            "PORT": str(port),
            "DATABASE_URL": made.url,
            "REDIS_URL": valkey.url,
            "CACHE_TIMEOUT": str(timeout),  # whether a busy machine is quick enough is not the subject
            "CACHE_OWNED": "true",
            "CACHE_OWNED_TTL": str(OWNED_TTL),
            "PROXY_ADMIN_URL": f"http://127.0.0.1:{admin}",
            "METRICS_PORT": str(metrics),
        }
        new = stack.enter_context(servers.serve(["async_api"], port, environment))
        yield new, metrics


def test_owned_caching_is_refused_while_legacy_writes(made: Ledger, valkey: Valkey, tmp_path: Path) -> None:
    account = f"/accounts/{made.accounts()[0]}"
    with migrated(made, valkey, tmp_path, 0) as (new, metrics):
        eventually(lambda: "CACHE_OWNED is refused: POST /accounts has weight 0" in new.log.read_text())
        with client_of(new.url, made.api_key) as client:
            assert [client.get(account).status_code for _ in range(3)] == [200] * 3
            assert client.post("/payments", json=order(*made.accounts()[:2])).status_code == 201
        assert figure(metrics, "payments_cache_owned") == 0
        assert valkey.client.keys("*owned") == []
    assert made.execute("SELECT count(*) FROM cache_outbox") == [(0,)]


def test_as_only_writer_balances_are_cached_and_never_older_than_promised(
    made: Ledger, valkey: Valkey, tmp_path: Path
) -> None:
    source, destination = made.accounts()[:2]
    with migrated(made, valkey, tmp_path, 100) as (new, metrics), servers.legacy(made.url) as legacy:
        eventually(lambda: figure(metrics, "payments_cache_owned") == 1)
        hits = 'payments_cache_total{result="hit",what="get_account"}'
        with client_of(new.url, made.api_key) as client:
            for _ in range(3):
                assert client.get(f"/accounts/{source}").status_code == 200
            assert figure(metrics, hits) >= 1
            _own_writes_show_at_once(client, source, destination)
        _others_writes_show_in_time(legacy, new, made, source, destination)
        assert figure(metrics, "payments_cache_invalidations_total") > 0
        eventually(lambda: made.execute("SELECT count(*) FROM cache_outbox") == [(0,)])


def test_own_writes_show_at_once_though_redis_could_not_be_told(
    made: Ledger, valkey: Valkey, tmp_path: Path
) -> None:
    source, destination = made.accounts()[:2]
    with (
        migrated(made, valkey, tmp_path, 100, timeout=0.2) as (new, metrics),
        client_of(new.url, made.api_key) as client,
    ):
        _until_cached(client, source, metrics)
        with valkey.deaf():
            _own_writes_show_at_once(client, source, destination)
            assert made.execute("SELECT count(*) > 0 FROM cache_outbox") == [(True,)]
        _until_cached(client, source, metrics)
        _own_writes_show_at_once(client, source, destination)


def test_own_writes_show_at_once_while_redis_stalls_again_and_again(
    made: Ledger, valkey: Valkey, tmp_path: Path
) -> None:
    source, destination = made.accounts()[:2]
    done = threading.Event()

    def stall() -> None:
        while not done.is_set():
            with valkey.hung():
                done.wait(0.04)
            done.wait(0.1)

    with (
        migrated(made, valkey, tmp_path, 100, timeout=0.02) as (new, metrics),
        client_of(new.url, made.api_key) as client,
    ):
        _until_cached(client, source, metrics)
        with concurrently(stall, times=1):
            try:
                for _ in range(20):
                    _own_writes_show_at_once(client, source, destination)
            finally:
                done.set()


def _until_cached(client: httpx2.Client, account: str, metrics: int) -> None:
    hits = 'payments_cache_total{result="hit",what="get_account"}'
    before = figure(metrics, hits)

    def cached() -> bool:
        assert client.get(f"/accounts/{account}").status_code == 200
        return figure(metrics, hits) > before

    eventually(cached)


def _balance(client: httpx2.Client, account: str) -> float:
    return float(client.get(f"/accounts/{account}").json()["balance"]["amount"])


def _own_writes_show_at_once(client: httpx2.Client, source: str, destination: str) -> None:
    for _ in range(10):
        before = _balance(client, source)
        payment = client.post("/payments", json=order(source, destination, "0.01"))
        assert round(before - _balance(client, source), 2) == 0.01
        newest = client.get(f"/payments?account_id={source}&limit=1").json()["items"][0]
        assert newest["id"] == payment.json()["id"]
        assert client.get("/payments?limit=1").json()["items"][0]["id"] == newest["id"]


def _others_writes_show_in_time(
    legacy: Server, new: Server, made: Ledger, source: str, destination: str
) -> None:
    """Somebody goes past the proxy. A read that begins a TTL after the write was answered shows it."""
    with client_of(new.url, made.api_key) as client:
        start = _balance(client, source)
    answered: list[float] = []  # when each write was
    done = threading.Event()

    def read() -> None:
        with client_of(new.url, made.api_key) as reader:
            while not done.is_set():
                settled = sum(moment < time.monotonic() - OWNED_TTL for moment in list(answered))
                assert round((start - _balance(reader, source)) * 100) >= settled

    with concurrently(read, times=3), client_of(legacy.url, made.api_key) as writer:
        try:
            for _ in range(40):
                assert writer.post("/payments", json=order(source, destination, "0.01")).status_code == 201
                answered.append(time.monotonic())
            time.sleep(OWNED_TTL)  # so that reads that must show all of them are among those judged
        finally:
            done.set()


def test_identical_reads_at_the_same_time_share_queries(made: Ledger) -> None:
    """They are held up by a lock until all have come; other readers' and other merchants' are not shared."""
    account, metrics = made.accounts()[0], free_port()
    mine, other = client_keys(made)
    calls = [(mine, 200)] * 30 + [(other, 404)] * 10
    with servers.async_(made.url, METRICS_PORT=str(metrics), POOL_MAX="5", COLLAPSE_WAIT="60") as new:
        with psycopg.connect(made.url) as blocker:
            blocker.execute("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
            with ThreadPoolExecutor(len(calls)) as pool:
                answers = [pool.submit(get_as, new, key, f"/accounts/{account}") for key, _ in calls]
                shared = 'payments_collapsed_total{what="read"}'
                eventually(lambda: figure(metrics, shared) == 28 + 8)
                blocker.rollback()
        assert [answer.result() for answer in answers] == [status for _, status in calls]


def client_keys(ledger: Ledger) -> tuple[str, str]:
    return ledger.merchants[0]["api_key"], ledger.merchants[1]["api_key"]


def get_as(server: Server, api_key: str, path: str) -> int:
    with client_of(server.url, api_key) as client:
        return client.get(path).status_code


def test_without_redis_everything_is_answered(made: Ledger) -> None:
    source = made.accounts()[0]
    with (
        servers.async_(made.url, REDIS_URL=f"redis://127.0.0.1:{free_port()}") as new,
        client_of(new.url, made.api_key) as client,
    ):
        for _ in range(10):
            assert client.get(f"/accounts/{source}").status_code == 200
        assert problem(client.get("/payments/00000000-0000-4000-8000-000000000000"))[0] == 404

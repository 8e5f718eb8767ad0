"""What clients see when the database or the FX provider is away, and that it passes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx2
import pytest

from legacy_flask.config import Config
from legacy_flask.migrate import upgrade
from legacy_flask.seed import api_key, seed
from proxy.cli.demo import postgres as embedded
from tests.contract import servers
from tests.contract.fixtures import NO_TLS, Ledger, client_of, order, problem
from tests.contract.servers import Server, fx

QUOTE = "/quotes?base=EUR&quote=USD&amount=1.00"


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Path]:
    """A PostgreSQL of this module's own, to be stopped; the servers are started while it is away."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DATABASE_URL", raising=False)
        folder = Path(tempfile.mkdtemp(prefix="pg"))
        with embedded.running(folder / "data", durable=False) as postgres:
            url = postgres.database("payments")
            upgrade(Config(database_url=url))
            seed(url, payments=10, accounts=12, merchants=2, seed=7)
        yield folder / "data"
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("start", [servers.legacy, servers.async_], ids=["legacy", "async"])
def test_database_away_is_503_until_it_is_back(
    own_postgres: Path, start: Callable[..., AbstractContextManager[Server]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    url = f"postgresql://postgres@/payments?host={own_postgres}"
    with start(url) as server, client_of(server.url, api_key(7, 0)) as api:
        assert_away(api)
        with embedded.running(own_postgres, durable=False):
            assert api.get("/payments").status_code == 200
            assert api.post("/accounts", json={"name": "Back", "currency": "EUR"}).status_code == 201
        assert_away(api)
        with embedded.running(own_postgres, durable=False):
            assert api.get("/payments").status_code == 200


def assert_away(api: httpx2.Client) -> None:
    for response in (
        api.get("/payments"),
        api.get("/healthz"),
        api.post("/payments", json=order("x", "y")),
    ):
        assert problem(response) == (503, "unavailable")
        assert response.headers["retry-after"] == "1"


def test_legacy_fails_with_its_fx_provider(ledger: Ledger) -> None:
    with (
        fx(latency="1ms", failure="1") as provider,
        servers.legacy(ledger.url, provider.url) as server,
        client_of(server.url, ledger.api_key) as api,
    ):
        assert problem(api.get(QUOTE)) == (503, "fx-unavailable")
        behave(provider, failure=0)
        assert api.get(QUOTE).status_code == 200
        behave(provider, failure=1)
        assert problem(api.get(QUOTE)) == (503, "fx-unavailable")


def test_async_falls_back_to_the_last_rate_while_it_is_valid(ledger: Ledger) -> None:
    with (
        fx(latency="1ms", failure="1") as provider,
        servers.async_(ledger.url, provider.url) as server,
        client_of(server.url, ledger.api_key) as api,
    ):
        assert problem(api.get(QUOTE)) == (503, "fx-unavailable")
        behave(provider, failure=0, valid_for=600)
        fresh = api.get(QUOTE)
        assert fresh.status_code == 200
        behave(provider, failure=1)
        assert api.get(QUOTE).json() == fresh.json()
        assert problem(api.get(QUOTE.replace("USD", "GBP"))) == (503, "fx-unavailable")
        behave(provider, failure=0, valid_for=0)
        assert api.get(QUOTE).status_code == 200
        behave(provider, failure=1)
        assert problem(api.get(QUOTE)) == (503, "fx-unavailable")


def test_silent_fx_provider_is_given_up_on(ledger: Ledger) -> None:
    with (
        fx(latency="60s") as provider,
        servers.async_(ledger.url, provider.url, FX_TIMEOUT="0.05", FX_ATTEMPTS="2") as server,
        client_of(server.url, ledger.api_key) as api,
    ):
        assert problem(api.get(QUOTE)) == (503, "fx-unavailable")


def behave(provider: Server, **wanted: float) -> None:
    assert (
        httpx2.put(f"{provider.url}/behaviour", json=wanted, trust_env=False, verify=NO_TLS).status_code
        == 200
    )

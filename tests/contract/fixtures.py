"""One PostgreSQL, one migrated and seeded template and both backends per test session (xdist worker).

tests/conftest.py makes them known to every folder. Imported into a folder's conftest as well, they would be
other fixtures to pytest, with another PostgreSQL. What only they need is imported in them: tests without a
database start quickly.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from tests.contract import servers
from tests.contract.servers import Server
from tests.plain import NO_TLS

if TYPE_CHECKING:
    from proxy.cli.demo.postgres import Postgres

PROBLEMS = "https://payments.example/problems/"


def ledger_problems(url: str) -> list[str]:
    from sqlalchemy import create_engine, make_url

    from legacy_flask.audit import problems

    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        found = problems(connection)
    engine.dispose()
    return found


@dataclass(frozen=True)
class Ledger:
    """A seeded database. Tests use the first merchant's accounts; the second's must stay out of reach."""

    url: str
    merchants: list[dict[str, Any]] = field(repr=False)

    @property
    def api_key(self) -> str:
        return str(self.merchants[0]["api_key"])

    def accounts(self, currency: str = "EUR", merchant: int = 0) -> list[str]:
        return [a["id"] for a in self.merchants[merchant]["accounts"] if a["currency"] == currency]

    def execute(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """In a folder of its own: other runs of pytest tidy up the one that tmp_path is in."""
    from proxy.cli.demo import postgres as embedded

    folder = Path(tempfile.mkdtemp(prefix="pg"))
    with embedded.running(folder / "data", durable=False) as server:
        yield server
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Name of a migrated and seeded database that others are copied from, and its merchants."""
    from legacy_flask.config import Config
    from legacy_flask.migrate import upgrade
    from legacy_flask.seed import seed

    name = f"payments_template_{os.getpid()}"
    url = postgres.database(name)
    upgrade(Config(database_url=url))
    yield name, seed(url, payments=300, accounts=60, merchants=2)["merchants"]
    if postgres.server is None:
        postgres.drop(name)


@pytest.fixture(scope="session")
def new_ledger(
    postgres: Postgres, template: tuple[str, list[dict[str, Any]]]
) -> Iterator[Callable[[], Ledger]]:
    made: list[str] = []

    def make() -> Ledger:
        made.append(f"payments_{uuid.uuid4().hex}")
        return Ledger(postgres.database(made[-1], template[0]), template[1])

    yield make
    if postgres.server is None:  # else they go with it
        for name in made:
            postgres.drop(name)


@pytest.fixture(scope="session")
def ledger(new_ledger: Callable[[], Ledger]) -> Iterator[Ledger]:
    """The database that the session's servers share; must be exact when all tests are done."""
    made = new_ledger()
    yield made
    assert ledger_problems(made.url) == []


@pytest.fixture(scope="session")
def fx_server() -> Iterator[Server]:
    with servers.fx(latency="1ms") as server:
        yield server


@pytest.fixture(scope="session")
def legacy_server(ledger: Ledger, fx_server: Server) -> Iterator[Server]:
    with servers.legacy(ledger.url, fx_server.url, WEB_CONCURRENCY="2") as server:
        yield server


@pytest.fixture(scope="session")
def async_server(ledger: Ledger, fx_server: Server) -> Iterator[Server]:
    with servers.async_(ledger.url, fx_server.url) as server:
        yield server


def get(url: str, headers: Mapping[str, str | bytes] | None = None) -> httpx2.Response:
    """One request on its own, without the client's headers."""
    return httpx2.get(url, headers=headers, trust_env=False, verify=NO_TLS)  # type: ignore[arg-type]


def client_of(url: str, api_key: str) -> httpx2.Client:
    headers = {"authorization": f"Bearer {api_key}", "x-user-id": uuid.uuid4().hex}
    return httpx2.Client(base_url=url, headers=headers, timeout=30, trust_env=False, verify=NO_TLS)


@pytest.fixture
def legacy(legacy_server: Server, ledger: Ledger) -> Iterator[httpx2.Client]:
    with client_of(legacy_server.url, ledger.api_key) as client:
        yield client


@pytest.fixture
def async_(async_server: Server, ledger: Ledger) -> Iterator[httpx2.Client]:
    with client_of(async_server.url, ledger.api_key) as client:
        yield client


@pytest.fixture(scope="session")
def proxy_at_0_server(legacy_server: Server, async_server: Server) -> Iterator[Server]:
    with servers.proxy(legacy_server, async_server, 0) as server:
        yield server


@pytest.fixture(scope="session")
def proxy_at_50_server(legacy_server: Server, async_server: Server) -> Iterator[Server]:
    with servers.proxy(legacy_server, async_server, 50) as server:
        yield server


@pytest.fixture(scope="session")
def proxy_at_100_server(legacy_server: Server, async_server: Server) -> Iterator[Server]:
    with servers.proxy(legacy_server, async_server, 100) as server:
        yield server


TARGETS = ["legacy", "async", "proxy_at_0", "proxy_at_50", "proxy_at_100"]


@pytest.fixture(scope="session", params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    """Base URL of the API under test: each backend by itself, and through the proxy at several weights."""
    return str(request.getfixturevalue(f"{request.param}_server").url)


@pytest.fixture
def api(target: str, ledger: Ledger) -> Iterator[httpx2.Client]:
    """The first merchant's client of the API under test."""
    with client_of(target, ledger.api_key) as client:
        yield client


def problem(response: httpx2.Response) -> tuple[int, str]:
    """Status and problem type, without its base."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    body = response.json()
    assert body["status"] == response.status_code
    return response.status_code, body["type"].removeprefix(PROBLEMS)


def euros(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


def order(source: str, destination: str, amount: str = "1.00", **more: object) -> dict[str, object]:
    return {
        "source_account_id": source,
        "destination_account_id": destination,
        "amount": euros(amount),
        **more,
    }

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from legacy_flask.__main__ import main
from legacy_flask.config import Config, ConfigError
from legacy_flask.db import make_engine
from legacy_flask.models import Base
from legacy_flask.seed import seed
from proxy.cli.demo.postgres import Postgres
from tests.contract.fixtures import Ledger, ledger_problems


@pytest.fixture
def empty(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of an empty database, also in DATABASE_URL."""
    url = postgres.database("payments_empty")
    monkeypatch.setenv("DATABASE_URL", url)
    yield url
    postgres.drop("payments_empty")


@pytest.fixture
def connection(empty: str) -> Iterator[Connection]:
    engine = make_engine(Config(database_url=empty))
    with engine.connect() as opened:
        yield opened
    engine.dispose()


def test_migrations_make_what_the_models_say(empty: str, connection: Connection) -> None:
    assert main(["migrate"]) == 0
    context = MigrationContext.configure(connection, opts={"compare_server_default": True})
    assert compare_metadata(context, Base.metadata) == []


def test_migrating_twice_changes_nothing(empty: str) -> None:
    assert main(["migrate"]) == 0
    assert main(["migrate"]) == 0


def test_same_seed_gives_the_same_ledger(
    empty: str, postgres: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = []
    for _ in range(2):
        postgres.drop("payments_empty")
        postgres.database("payments_empty")
        main(["migrate"])
        assert main(["seed", "--payments", "200", "--accounts", "30", "--seed", "5"]) == 0
        outputs.append(json.loads(capsys.readouterr().out))
    assert outputs[0] == outputs[1]
    assert ledger_problems(empty) == []
    found = Ledger(empty, outputs[0]["merchants"])
    assert found.execute("SELECT count(*) FROM payments") == [(200,)]
    assert found.execute("SELECT count(*) FROM accounts WHERE kind = 'customer'") == [(30,)]


def test_different_seeds_share_no_ids(template: tuple[str, list[dict[str, Any]]], empty: str) -> None:
    main(["migrate"])
    other = seed(empty, payments=10, accounts=12, merchants=2, seed=2)["merchants"]
    assert {m["id"] for m in other}.isdisjoint(m["id"] for m in template[1])
    assert {m["api_key"] for m in other}.isdisjoint(m["api_key"] for m in template[1])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--accounts", "5"], "--accounts: at least 18 for 3 merchants"),
        (["--payments", "-1"], "--payments: at least 0"),
        (["--merchants", "0"], "--merchants: at least 1"),
    ],
)
def test_seed_explains_wrong_numbers(
    empty: str, options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["migrate"])
    assert main(["seed", *options]) == 2
    assert complaint in capsys.readouterr().err


def test_seed_refuses_a_ledger_that_has_it_already(empty: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["migrate"])
    assert main(["seed", "--payments", "10", "--accounts", "18"]) == 0
    assert main(["seed", "--payments", "10", "--accounts", "18"]) == 2
    assert "already exists" in capsys.readouterr().err
    assert ledger_problems(empty) == []


BREAKS = {
    "transactions whose two entries": "DELETE FROM entries WHERE id = (SELECT max(id) FROM entries)",
    "accounts whose balance": "UPDATE accounts SET balance = balance + 1 WHERE kind = 'settlement'",
    "entries whose balance_after": "UPDATE entries SET balance_after = balance_after + 1 WHERE amount > 0",
    "transactions between accounts of different currencies": (
        "UPDATE accounts SET currency = 'CHF' WHERE id = (SELECT min(id::text)::uuid FROM accounts)"
    ),
    "payments that did not move": "UPDATE payments SET amount = amount + 1",
    "payments whose refunded amount": "UPDATE payments SET refunded = 1, status = 'partially_refunded'",
    "refunds that did not move": (
        "INSERT INTO refunds (id, payment_id, amount, status)"
        " SELECT gen_random_uuid(), id, 1, 'completed' FROM payments"
    ),
}


@pytest.mark.parametrize("rule", BREAKS)
def test_check_ledger_finds_what_is_broken(
    new_ledger: Callable[[], Ledger],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rule: str,
) -> None:
    broken = new_ledger()
    monkeypatch.setenv("DATABASE_URL", broken.url)
    assert main(["check-ledger"]) == 0
    assert capsys.readouterr().out == "The ledger is exact.\n"
    broken.execute(BREAKS[rule])
    assert main(["check-ledger"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(rule in line for line in lines[:-1])
    assert lines[-1] == "The ledger is not exact."


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({}, "DATABASE_URL: ''"),
        ({"DATABASE_URL": "sqlite://"}, "DATABASE_URL: 'sqlite://'"),
        ({"DATABASE_URL": "postgresql://x/y", "POOL_SIZE": "many"}, "POOL_SIZE: 'many'"),
        ({"DATABASE_URL": "postgresql://x/y", "FX_TIMEOUT": "0"}, "FX_TIMEOUT: '0'"),
    ],
)
def test_wrong_settings_are_named(environment: dict[str, str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Config.from_environment(environment)


def test_no_database_is_exit_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://postgres@127.0.0.1:1/x")
    assert main(["migrate"]) == 2
    assert "legacy_flask migrate: " in capsys.readouterr().err

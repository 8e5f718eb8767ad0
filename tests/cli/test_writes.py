from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from proxy.cli import main
from proxy.core.resilience import idempotency as idem
from tests.store.test_claims import opened, proceed, wanted
from tests.support.writes import lose_a_write

BACKENDS = "backends: {legacy: {url: 'http://127.0.0.1:1'}, async: {url: 'http://127.0.0.1:2'}}\n"


@pytest.fixture
def config(tmp_path: Path) -> str:
    """Of a store with one write whose outcome is unknown."""
    url = f"sqlite:///{tmp_path}/state.db"

    lose_a_write(url)
    file = tmp_path / "routing.yaml"
    file.write_text(f"server: {{state: '{url}'}}\n{BACKENDS}")
    return str(file)


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["writes", *words])
    return result.exit_code, result.output


@pytest.mark.parametrize("limit", ["1_0", "٣", "", " 2"])
def test_a_limit_that_is_not_spelled_in_plain_digits_is_refused(config: str, limit: str) -> None:
    code, output = run("--unknown", "--limit", limit, "--config", config)
    assert (code, "is not a whole number" in output) == (2, True)


def test_unknown_writes_are_listed_and_the_exit_code_says_that_there_are_some(config: str) -> None:
    code, output = run("--unknown", "--config", config)
    assert code == 1
    assert "POST /x" in output
    assert "legacy" in output
    code, output = run("--config", config, "--json")
    assert (code, [write["state"] for write in json.loads(output)["writes"]]) == (0, ["unknown"])


def test_a_part_of_many_unknown_writes_says_of_how_many(config: str, tmp_path: Path) -> None:
    async def lose(number: int) -> None:
        async with opened(f"sqlite:///{tmp_path}/state.db") as claims:
            for each in range(number):
                record = await proceed(claims, wanted(f"k{each}", f"t{each}"))
                await claims.change(idem.lose(record, time.time()))
            await proceed(claims, wanted("running", "t9"))

    asyncio.run(lose(4))
    code, output = run("--unknown", "--limit", "2", "--config", config)
    assert (code, output.splitlines()[2:]) == (1, ["2 of 5; --limit shows more"])
    assert "of 5" not in run("--unknown", "--config", config)[1]
    _, output = run("--unknown", "--limit", "2", "--json", "--config", config)
    assert (json.loads(output)["total"], len(json.loads(output)["writes"])) == (5, 2)
    code, output = run("--state", "sent", "--config", config)
    assert (code, len(output.splitlines()), "running" in output) == (0, 1, True)
    assert run("--unknown", "--state", "sent", "--config", config)[0] == 2


def test_a_settled_write_is_unknown_no_more(config: str) -> None:
    settle = ("settle", "lost", "--as", "not-done", "--reason", "not there", "--config", config)
    assert run(*settle) == (0, "lost: released\n")
    assert run("--unknown", "--config", config) == (0, "no write has an unknown outcome\n")
    code, output = run(*settle)
    assert (code, "is released" in output) == (1, True)


def test_an_empty_reason_is_refused(config: str) -> None:
    assert run("settle", "lost", "--as", "done", "--reason", " ", "--config", config)[0] == 2


def test_a_store_that_cannot_be_opened_is_an_answer(tmp_path: Path) -> None:
    (tmp_path / "state.claims.db").write_text("this is no database, and long enough to be looked at" * 10)
    file = tmp_path / "routing.yaml"
    file.write_text(f"server: {{state: 'sqlite:///{tmp_path}/state.db'}}\n{BACKENDS}")
    code, output = run("--config", str(file))
    assert (code, "does not answer" in output) == (1, True)

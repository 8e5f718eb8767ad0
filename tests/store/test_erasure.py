"""What is erased and what stays, in SQLite and PostgreSQL."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.core.comparison.comparisons import Sample, Scope, Shown, Side
from proxy.core.privacy.erasure import NameMatcher, PathMatcher, PathPattern
from proxy.core.resilience import idempotency as idem
from proxy.core.resilience.idempotency import Refuse, Replay, StoredAnswer
from proxy.store import comparisons, erasure
from proxy.store.claims import Claims
from proxy.store.erasure import Erased, ErasureRequest, erase
from proxy.store.writes import listing, stored
from tests.store.test_claims import opened, proceed, wanted

pytestmark = pytest.mark.anyio

BODY = b'{"name": "pl4nted"}'
ANSWER = StoredAnswer(201, b"HTTP/1.1 201 Created\r\nx-name: pl4nted\r\n", BODY)
ADA = ErasureRequest(frozenset({"ada"}))


def ask(key: str, principal: str = "ada", endpoint: str = "POST /x", token: str = "t") -> idem.ClaimRequest:
    return replace(wanted(key, token), principal=principal, endpoint=endpoint)


async def answered(claims: Claims, request: idem.ClaimRequest, answer: StoredAnswer | None = ANSWER) -> None:
    assert await claims.change(idem.complete(await proceed(claims, request), answer, time.time()))


async def test_a_persons_answers_go_and_the_keys_stay(url: str) -> None:
    async with opened(url) as claims:
        await answered(claims, ask("k1"))
        await answered(claims, ask("k2", "bob"))
        await answered(claims, ask("k3"), None)
        await claims.change(idem.lose(await proceed(claims, ask("lost")), time.time()))
        await proceed(claims, ask("running"))
        assert await erase(url, ADA, dry_run=True) == Erased(keys=1, under_way=1)
        assert isinstance(await claims.claim(ask("k1", token="t2")), Replay)
        assert await erase(url, ADA, dry_run=False) == Erased(keys=1, under_way=1)
        for number in range(2):
            verdict = await claims.claim(ask("k1", token=f"again-{number}"))
            assert isinstance(verdict, Refuse)
            assert (verdict.status, verdict.kind) == (409, "idempotency_response_too_large")
            assert verdict.detail == "this was executed; its response was erased"
        assert await claims.claim(ask("k2", "bob", token="t2")) == Replay("legacy", ANSWER)
        assert await erase(url, ADA, dry_run=False) == Erased(under_way=1)
    assert await stored(url) == len(ANSWER.head) + len(ANSWER.body)  # bob's
    notes = {record.key: (record.state, record.note) for record in await listing(url)}
    assert notes == {
        "k1": ("completed", "erased"),
        "k2": ("completed", ""),
        "k3": ("completed", "too_large"),
        "lost": ("unknown", ""),
        "running": ("sent", ""),
    }


async def test_many_pages_are_erased(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "KEYS", 3)
    async with opened(url) as claims:
        for number in range(10):
            await answered(claims, ask(f"k{number}", "ada" if number % 3 else "bob"))
        assert (await erase(url, ADA, dry_run=True)).keys == 6
        assert (await erase(url, ADA, dry_run=False)).keys == 6
        assert (await erase(url, ErasureRequest(frozenset({"bob"})), dry_run=True)).keys == 4


async def test_by_path_those_go_that_surely_are_of_it(url: str) -> None:
    def path(pattern: str) -> ErasureRequest:
        return ErasureRequest(covers=PathPattern.parse(pattern).covers)

    async with opened(url) as claims:
        await answered(claims, ask("k1", endpoint="POST /payments"))
        await answered(claims, ask("k2", endpoint="POST /accounts/{id}/payments"))
        await answered(claims, ask("k3", endpoint="PUT /accounts/{id}"))
        assert await erase(url, path("/accounts/7/payments"), dry_run=False) == Erased(unsure=1)
        assert await erase(url, path("/payments"), dry_run=False) == Erased(keys=1)
        assert await erase(url, path("/accounts/**"), dry_run=False) == Erased(keys=2)


SCOPE = Scope("GET /a/{id}", "1", "2", "r")


def sample(number: int, target: str, body: str = "{}") -> Sample:
    side = Side(200, {}, body, False, len(body), 0.0)
    return Sample(
        f"s{number:03}", SCOPE, 1e9 + number, "GET", target, (), side, side, (Shown("x", "value", "1", "2"),)
    )


async def kept(url: str) -> list[str]:
    async with comparisons.opened(url) as engine, engine.connect() as connection:
        return [each.target for each in await comparisons.samples(connection, SCOPE.id)]


@pytest.mark.parametrize("matcher", [NameMatcher("ada"), PathMatcher(PathPattern.parse("/a/ada"))])
async def test_samples_that_match_go(
    url: str, matcher: NameMatcher | PathMatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "SAMPLES", 2)
    targets = ["/a/ada", "/a/bob", "/a/ada?x=1", "/a/adam", "/a/ada"]
    async with comparisons.opened(url) as engine, engine.begin() as connection:
        await comparisons.add(connection, samples=[sample(n, each) for n, each in enumerate(targets)])
    wished = ErasureRequest(sample=matcher)
    assert await erase(url, wished, dry_run=True) == Erased(samples=3)
    assert len(await kept(url)) == 5
    assert (await erase(url, wished, dry_run=False)).samples == 3
    assert sorted(await kept(url)) == ["/a/adam", "/a/bob"]


async def test_a_sample_of_another_version_is_counted_and_stays(url: str) -> None:
    async with comparisons.opened(url) as engine, engine.begin() as connection:
        await comparisons.add(connection, samples=[sample(1, "/a/ada")])
        await connection.exec_driver_sql("UPDATE comparison_samples SET document = 'new'")
    assert await erase(url, ErasureRequest(sample=NameMatcher("ada")), dry_run=False) == Erased(unreadable=1)


async def test_in_an_empty_store_there_is_nothing(url: str) -> None:
    everything = ErasureRequest(frozenset({"ada"}), sample=NameMatcher("ada"))
    assert await erase(url, everything, dry_run=False) == Erased()


def showing(folder: Path, content: bytes) -> list[str]:
    files = (each for each in folder.rglob("*") if each.is_file())
    return sorted(each.name for each in files if content in each.read_bytes())


async def test_nothing_of_it_is_left_in_sqlites_files(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    large = StoredAnswer(201, ANSWER.head, BODY * 5000)
    async with opened(url) as claims:
        await answered(claims, ask("k1"), large)
        async with comparisons.opened(url) as engine, engine.begin() as connection:
            await comparisons.add(connection, samples=[sample(1, "/a/pl4nted", "pl4nted" * 5000)])
        found = await erase(url, ADA._replace(sample=PathMatcher(PathPattern.parse("/a/**"))), dry_run=False)
        assert found == Erased(keys=1, samples=1)
        assert showing(tmp_path, b"pl4nted") == []
        assert showing(tmp_path, b"SQLite format") == ["state.claims.db", "state.comparisons.db"]
        assert isinstance(await claims.claim(ask("k1", token="t2")), Refuse)

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from proxy.control import verdicts
from proxy.control.state import State
from proxy.core.comparison.comparisons import Tally
from proxy.core.evidence.sequential import missing_units
from proxy.store import comparison_reader
from proxy.store.comparisons import StoredCounts
from tests.control.admin import planted

NAME = "GET /a/{id}"


def count_looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    looks: list[str] = []
    real = comparison_reader.everything

    async def everything(url: str) -> StoredCounts:
        looks.append(url)
        return await real(url)

    monkeypatch.setattr(comparison_reader, "everything", everything)
    return looks


def test_many_askers_share_a_look_and_a_new_configuration_asks_for_another(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = count_looks(monkeypatch)

    async def ask() -> None:
        await asyncio.gather(*(state.verdicts.current() for _ in range(5)))
        await state.verdicts.current()
        assert len(looks) == 1
        state.reloader.path.write_text(state.reloader.path.read_text().replace("12.5", "50"))
        await state.reloader.reload("test")
        await state.verdicts.current()
        assert len(looks) == 2

    asyncio.run(ask())


def test_nobody_waits_long_for_a_look_and_that_none_was_done_is_said(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdicts, "PATIENCE", 0.01)

    async def everything(url: str) -> StoredCounts:
        await free.wait()
        return StoredCounts([], [])

    async def ask() -> None:
        await state.verdicts.current()
        assert "being read" in state.verdicts.error
        assert state.verdicts.standings == {}
        free.set()
        monkeypatch.setattr(verdicts, "PATIENCE", 60.0)
        await state.verdicts.current()
        assert state.verdicts.error == ""
        assert list(state.verdicts.standings) == [NAME, "POST /b"]

    free = asyncio.Event()
    monkeypatch.setattr(comparison_reader, "everything", everything)
    asyncio.run(ask())


def test_a_look_that_fails_keeps_what_was_known(state: State, tmp_path: Path) -> None:
    snapshot = state.reloader.running.snapshot
    planted.plant(snapshot.server.state, [planted.equal(planted.scope_of(snapshot, NAME))])

    async def ask() -> None:
        await state.verdicts.current()
        (tmp_path / "state.comparisons.db").write_bytes(b"no database")
        (tmp_path / "state.comparisons.db-wal").unlink(missing_ok=True)
        state.verdicts._next = 0.0
        await state.verdicts.current()

    asyncio.run(ask())
    assert "does not answer" in state.verdicts.error
    assert state.verdicts.parity(snapshot.endpoints[0]).verdict == "likely equal"


@pytest.mark.parametrize("change", ["time", "rules"])
def test_what_was_read_long_ago_or_under_other_rules_certifies_nothing(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    snapshot = state.reloader.running.snapshot
    planted.plant(snapshot.server.state, [planted.equal(planted.scope_of(snapshot, NAME))])

    async def ask() -> None:
        await state.verdicts.current()
        assert state.verdicts.parity(snapshot.endpoints[0]).verdict == "likely equal"
        (tmp_path / "state.comparisons.db").write_bytes(b"no database")
        (tmp_path / "state.comparisons.db-wal").unlink(missing_ok=True)
        if change == "time":
            monkeypatch.setattr(verdicts, "STALE", 0.0)
        else:
            monkeypatch.setattr(state.verdicts, "_snapshot", lambda: replace(snapshot, hash="other"))
        state.verdicts._next = 0.0
        await state.verdicts.current()

    asyncio.run(ask())
    assert "does not answer" in state.verdicts.error
    assert state.verdicts.parity(snapshot.endpoints[0]).verdict == "no evidence"


def test_what_is_no_longer_listed_is_shown_with_the_newest_of_all(state: State) -> None:
    snapshot = state.reloader.running.snapshot
    scope = planted.scope_of(snapshot, NAME)._replace(endpoint="POST /b (read-back)", rules="others")
    found = StoredCounts([planted.equal(scope)], planted.traffic("GET /gone"))
    standings = verdicts.standings(snapshot, found, date.today())
    assert list(standings) == [NAME, "POST /b", "POST /b (read-back)", "GET /gone"]
    assert standings["POST /b (read-back)"].parity.verdict == "likely equal"
    assert standings["GET /gone"].skipped == {"rate": 12}


def test_of_versions_beside_each_other_the_worst_of_the_last_day_is_shown(state: State) -> None:
    """A canary: a tenth of the answers come from a faulty version, and the last one from the sound one."""
    snapshot = state.reloader.running.snapshot
    sound = planted.equal(planted.scope_of(snapshot, NAME, "2.0"))
    faulty = planted.differing(planted.scope_of(snapshot, NAME, "2.1"))
    faulty = faulty._replace(last=sound.last - 60)

    def shown(*tallies: Tally) -> tuple[str, str]:
        report = verdicts.standings(snapshot, StoredCounts([*tallies], []), date.today())[NAME].report
        assert report is not None
        return report.scope.async_, report.parity.verdict

    assert shown(sound, faulty) == ("2.1", "differs")
    replaced = faulty._replace(last=sound.first + 60)  # it was gone once the sound one was there
    assert shown(sound, replaced) == ("2.0", "likely equal")
    old = faulty._replace(last=sound.last - verdicts.DAY - 1)
    assert shown(sound._replace(first=sound.first - 10 * verdicts.DAY), old) == ("2.0", "likely equal")


def test_a_dry_run_has_the_parity_of_its_write_and_what_is_not_listed_that_of_all(state: State) -> None:
    (write,) = (each for each in state.reloader.running.snapshot.endpoints if each.name == "POST /b")
    listed = {write.name: replace(write, compare=replace(write.compare, parity=0.1))}
    for suffix in ("", " (dry run)", " (read-back)"):
        assert verdicts.parity_asked(f"POST /b{suffix}", listed, 0.05) == 0.1
    assert verdicts.parity_asked("GET /gone", listed, 0.05) == 0.05


def test_what_is_missing_follows_the_bound_that_the_endpoint_asks_for(state: State) -> None:
    snapshot = state.reloader.running.snapshot
    endpoint = replace(snapshot.endpoints[0], compare=replace(snapshot.endpoints[0].compare, parity=0.1))
    stricter = replace(snapshot, endpoints=(endpoint, *snapshot.endpoints[1:]))
    standing = verdicts.standings(stricter, StoredCounts([], []), date.today())[NAME]
    for parity in (standing.parity, state.verdicts.parity(endpoint)):
        assert (parity.verdict, parity.limit, parity.missing) == (
            "no evidence",
            0.1,
            missing_units(0, 0, 0.1),
        )

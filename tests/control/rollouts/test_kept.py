from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from proxy.control.rollouts.kept import NAME, Keeper, Kept
from proxy.core.rollout.position import RolloutPosition
from proxy.store.rollouts import RolloutRow

POSITION = RolloutPosition("GET /a", "careful", "running", "", 1, 100, 10.0, 10.0, generation=3)
ROW = RolloutRow(POSITION, None, {"digest": "x"})
LOWERED = POSITION._replace(state="rolled_back", weight=0)


def test_it_comes_back_as_it_was_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    Keeper(tmp_path).write([ROW], [LOWERED], 7)
    assert Keeper(tmp_path).read() == ({"GET /a": ROW}, {"GET /a": LOWERED}, 7)
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600


def test_what_a_process_left_half_written_is_not_taken(tmp_path: Path) -> None:
    Keeper(tmp_path).write([ROW], [])
    (tmp_path / NAME).with_suffix(".new").write_text("{")
    assert Keeper(tmp_path).read().rows == {"GET /a": ROW}
    Keeper(tmp_path).write([ROW], [LOWERED])
    assert Keeper(tmp_path).read().lowered == {"GET /a": LOWERED}


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"rows": [{}], "lowered": []}', '{"rows":[{"position":{}}]}']
)
def test_a_file_that_is_none_of_ours_is_left_out(tmp_path: Path, content: str) -> None:
    (tmp_path / NAME).write_text(content)
    assert Keeper(tmp_path).read() == Kept({}, {})


def test_without_a_file_nothing_is_known(tmp_path: Path) -> None:
    assert Keeper(tmp_path).read() == Kept({}, {})


def test_where_it_cannot_be_written_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keeper = Keeper(tmp_path / "gone")
    keeper.write([ROW], [])
    keeper.write([ROW], [LOWERED])
    assert len(caplog.records) == 1
    os.mkdir(tmp_path / "gone")
    keeper.write([ROW], [])
    assert "is written again" in caplog.text or keeper.read().rows == {"GET /a": ROW}


def test_the_same_is_not_written_twice(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    keeper.write([ROW], [])
    before = (tmp_path / NAME).stat().st_ino
    keeper.write([ROW], [])
    assert (tmp_path / NAME).stat().st_ino == before

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from proxy.control.kept_totals import NAME, NOTHING, KeptTotals, TotalsKeeper
from proxy.core.traffic.totals import EMPTY
from proxy.core.wire.messages import Requests

KEPT = KeptTotals(
    EMPTY, {"a": msgspec.structs.replace(EMPTY, requests=[Requests("GET /a", "legacy", "weight", 200, 5)])}
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    TotalsKeeper(tmp_path, lambda: KEPT).write()
    assert TotalsKeeper(tmp_path, lambda: NOTHING).read() == KEPT
    assert (tmp_path / NAME).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", [b"", b"nonsense", msgspec.msgpack.encode({"base": 1})])
def test_a_file_that_cannot_be_read_is_reported_and_counts_as_none(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / NAME).write_bytes(content)
    assert TotalsKeeper(tmp_path, lambda: KEPT).read() == NOTHING
    assert "cannot be read" in caplog.text


def test_without_a_file_nothing_is_known_and_nothing_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert TotalsKeeper(tmp_path, lambda: KEPT).read() == NOTHING
    assert not caplog.text


def test_a_fault_is_logged_once_and_its_end_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "missing"
    totals = [KEPT]
    keeper = TotalsKeeper(folder, lambda: totals[-1])
    keeper.write()
    keeper.write()
    assert caplog.text.count("cannot be written") == 1
    folder.mkdir(mode=0o700)
    caplog.set_level("INFO")
    keeper.write()
    assert "is written again" in caplog.text
    assert keeper.read() == KEPT


def test_nothing_is_written_while_nothing_changes(tmp_path: Path) -> None:
    keeper = TotalsKeeper(tmp_path, lambda: KEPT)
    keeper.write()
    (tmp_path / NAME).unlink()
    keeper.write()
    assert not (tmp_path / NAME).exists()

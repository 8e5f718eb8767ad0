from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from proxy.interpreter import module_command


def package(folder: Path, says: str) -> Path:
    (folder / "proxy").mkdir(parents=True)
    (folder / "proxy" / "__init__.py").write_text("")
    (folder / "proxy" / "edge.py").write_text(f"print({says!r})")
    return folder


@pytest.mark.parametrize("where", ["ours", "theirs"])
def test_a_module_is_that_of_the_process_that_starts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    ours, _ = package(tmp_path / "ours", "ours"), package(tmp_path / "theirs", "theirs")
    monkeypatch.chdir(tmp_path / where)
    if where == "theirs":
        monkeypatch.setenv("PYTHONPATH", str(ours))
    command = module_command("proxy.edge", ours)
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "ours\n"


def test_a_folder_that_was_removed_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert module_command("proxy.edge") == (sys.executable, "-P", "-m", "proxy.edge")

from __future__ import annotations

from pathlib import Path

from bench.compiled import stale
from bench.report import optimised


def test_a_build_is_stale_where_a_source_is_new_or_changed(tmp_path: Path) -> None:
    sources, built = tmp_path / "proxy", tmp_path / "built"
    for folder in (sources, built):
        (folder / "edge").mkdir(parents=True)
        (folder / "edge" / "same.py").write_text("x = 1\n")
        (folder / "changed.py").write_text(f"folder = {folder.name!r}\n")
    (sources / "new.py").write_text("")
    assert list(stale(sources, built)) == [sources / "changed.py", sources / "new.py"]


def test_the_interpreters_build_is_told() -> None:
    assert (
        optimised("'--enable-optimizations' '--with-lto'") == "configured --enable-optimizations --with-lto"
    )
    assert optimised("'--prefix=/usr'") == "configured without --enable-optimizations"

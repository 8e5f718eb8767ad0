from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from proxy import __version__
from proxy.cli import main
from proxy.core.http1 import scan
from proxy.datapath import SOURCES, data_path, described, this_build, why_interpreted


def test_it_is_compiled_if_its_parser_is() -> None:
    assert data_path() == ("compiled" if scan.COMPILED else "interpreted")


def test_a_compiled_build_says_only_that() -> None:
    assert described("compiled", "nothing") == f"strangler, version {__version__}, data path compiled"


def test_an_interpreted_one_says_in_the_same_line_how_to_get_the_compiled_one() -> None:
    line = described("interpreted", SOURCES)
    assert line.startswith(f"strangler, version {__version__}, data path interpreted: ")
    assert "pip install ." in line
    assert "\n" not in line


def test_what_the_build_wrote_is_the_reason(tmp_path: Path) -> None:
    note = tmp_path / "interpreted.txt"
    assert why_interpreted(note) == SOURCES
    note.write_text("no C compiler (gcc) when it was built\n")
    assert why_interpreted(note) == "no C compiler (gcc) when it was built"


def test_the_command_line_tells_it() -> None:
    assert CliRunner().invoke(main, ["--version"]).output == f"{this_build()}\n"

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from proxy.cli import main

TEXT = """\
backends: {legacy: {url: 'http://a'}, async: {url: 'http://b'}}
endpoints: {GET /a: {weight: 5}, GET /b: {}}
"""


def run(tmp_path: Path, old: str, new: str) -> Result:
    for name, text in (("a", old), ("b", new)):
        (tmp_path / name).write_text(text)
    return CliRunner().invoke(main, ["diff", str(tmp_path / "a"), str(tmp_path / "b")])


def test_what_changes_is_listed_and_exits_1(tmp_path: Path) -> None:
    result = run(tmp_path, TEXT, TEXT.replace("5", "50") + "server: {workers: 3}\n")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "server.workers: auto -> 3 (takes effect at the next restart)",
        "GET /a: weight 5 -> 50",
    ]


def test_another_spelling_of_the_same_exits_0(tmp_path: Path) -> None:
    result = run(tmp_path, TEXT, "# a comment\n" + TEXT.replace("weight: 5", "weight: 5.00"))
    assert (result.exit_code, result.stdout) == (0, "")


def test_an_invalid_file_exits_2_with_its_error(tmp_path: Path) -> None:
    result = run(tmp_path, TEXT, TEXT.replace("5", "500"))
    assert result.exit_code == 2
    assert "500 is not between 0 and 100" in result.stderr

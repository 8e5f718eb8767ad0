from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from proxy.cli import COMMANDS, SUMMARIES, main

BACKENDS = "backends: {legacy: {url: 'http://127.0.0.1:1'}, async: {url: 'http://127.0.0.1:2'}}\n"


def check(tmp_path: Path, text: str | bytes) -> Result:
    path = tmp_path / "routing.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return CliRunner().invoke(main, ["check", str(path)])


def test_good_file_exits_0_with_its_hash(tmp_path: Path) -> None:
    result = check(tmp_path, f"{BACKENDS}endpoints: {{GET /a: {{weight: 5}}}}")
    assert result.exit_code == 0
    assert "1 endpoints, no errors, config hash" in result.stdout


def test_errors_exit_2_and_point_at_the_line(tmp_path: Path) -> None:
    result = check(tmp_path, f"{BACKENDS}endpoints:\n  GET /x: {{weight: 150}}\n  GET /y: {{wait: 1}}\n")
    assert result.exit_code == 2
    path = tmp_path / "routing.yaml"
    assert result.stderr.splitlines() == [
        f'{path}:3:20: endpoints."GET /x".weight: 150 is not between 0 and 100',
        "      GET /x: {weight: 150}",
        "                       ^",
        f'{path}:4:12: endpoints."GET /y".wait: unknown key, did you mean weight?',
        "      GET /y: {wait: *}",  # what a misspelt key holds may be a secret
        "               ^",
        "2 errors",
    ]


def test_violation_of_the_phases_exits_2(tmp_path: Path) -> None:
    result = check(tmp_path, f"{BACKENDS}endpoints: {{GET /a: {{weight: 5}}, POST /a: {{weight: 5}}}}")
    assert result.exit_code == 2
    assert "POST /a: weight 5 in phase writes before phase reads is at 100: GET /a (5)" in result.stderr


def test_forced_violation_exits_0_with_a_warning(tmp_path: Path) -> None:
    text = f"{BACKENDS}endpoints: {{GET /a: , POST /a: {{weight: 5, force: QA agreed}}}}"
    result = check(tmp_path, text)
    assert result.exit_code == 0
    assert "QA agreed" in result.stderr


def test_missing_file_exits_2(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["check", str(tmp_path / "none.yaml")])
    assert result.exit_code == 2
    assert "No such file" in result.stderr


def test_bytes_that_are_no_text_exit_2(tmp_path: Path) -> None:
    result = check(tmp_path, b"a: \xff\n")
    assert result.exit_code == 2
    assert ":1:4: the byte 0xFF is not UTF-8" in result.stderr


def test_secrets_of_the_line_are_not_printed(tmp_path: Path) -> None:
    text = (
        'server: {admin_token: hunter2, wrong: 1, state: "postgresql://u:hunter2@db/x"}\n'
        'override: {token: "hunter2", x: 1}\n'
    )
    result = check(tmp_path, text)
    assert result.exit_code == 2
    assert "hunter2" not in result.output
    assert "admin_token: *******, wrong" in result.stderr


def test_very_long_line_is_cut_around_the_column(tmp_path: Path) -> None:
    result = check(tmp_path, f"{BACKENDS}endpoints: {{GET /a: {{force: {'a' * 5000}, weight: 500}}}}")
    assert max(len(line) for line in result.stderr.splitlines()[1:3]) < 200
    shown, caret = result.stderr.splitlines()[1:3]
    assert shown[caret.index("^") :].startswith("500")


def test_help_lists_every_command_without_importing_it() -> None:
    script = """
import sys
from proxy.cli import main
main(["--help"], standalone_mode=False)
print([name for name in sys.modules if name.startswith("proxy.")])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "['proxy.cli']" in done.stdout
    assert all(f"  {name} " in done.stdout for name in COMMANDS)
    assert COMMANDS.keys() == SUMMARIES.keys()


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert "Usage: " in result.output


def test_unknown_command_exits_2() -> None:
    assert CliRunner().invoke(main, ["chekc"]).exit_code == 2


def test_runs_as_a_module(tmp_path: Path) -> None:
    path = tmp_path / "routing.yaml"
    path.write_text("endpoints: 5")
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "check", str(path)],
        capture_output=True,
        text=True,
        env=os.environ,
        check=False,
    )
    assert done.returncode == 2
    assert "endpoints: 5 is not a mapping" in done.stderr

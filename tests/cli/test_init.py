from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from proxy.cli import main
from proxy.config import load_file


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "openapi.json"
    write(path, "/a", "/a/{x}.json")
    return path


def write(path: Path, *templates: str) -> None:
    paths = {template: {"get": {}} for template in templates}
    path.write_text(json.dumps({"openapi": "3.1.0", "paths": paths}))


def run(document: Path, *more: str) -> Result:
    file = document.with_name("routing.yaml")
    return CliRunner().invoke(main, ["init", "--openapi", str(document), "--config", str(file), *more])


def test_a_new_file_is_written_and_passes_check(document: Path) -> None:
    result = run(document, "--legacy", "http://old:81", "--async", "http://new:82")
    assert result.exit_code == 0
    assert "1 endpoints, all at weight 0" in result.stdout
    assert "not listed, so it goes to legacy: GET /a/{x}.json" in result.stderr
    file = document.with_name("routing.yaml")
    assert CliRunner().invoke(main, ["check", str(file)]).exit_code == 0
    assert load_file(file).snapshot.async_.upstreams[0].url == "http://new:82"


def test_an_existing_file_is_never_overwritten(document: Path) -> None:
    file = document.with_name("routing.yaml")
    file.write_text("mine")
    result = run(document)
    assert result.exit_code == 2
    assert "exists; use --merge to update it" in result.stderr
    assert file.read_text() == "mine"


def test_merge_says_what_it_did(document: Path) -> None:
    run(document)
    write(document, "/b")
    result = run(document, "--merge")
    assert (result.exit_code, result.stdout) == (0, "added: GET /b\ngone: GET /a\n")
    again = run(document, "--merge")
    assert (again.exit_code, again.stdout) == (0, f"{document.with_name('routing.yaml')} is up to date\n")


def test_a_wrong_address_is_refused_before_anything_is_written(document: Path) -> None:
    result = run(document, "--legacy", "ftp://old")
    assert result.exit_code == 2
    assert "nothing was written" in result.stderr
    assert not document.with_name("routing.yaml").exists()


@pytest.mark.parametrize("options", [[], ["--openapi", "x", "--flask", "y:z"]])
def test_exactly_one_source_is_needed(options: list[str]) -> None:
    result = CliRunner().invoke(main, ["init", *options])
    assert result.exit_code == 2
    assert "give either" in result.stderr

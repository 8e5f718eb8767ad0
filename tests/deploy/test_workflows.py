"""The workflow runs `.ci/run` on every Python that the project names; hooks run what `make check` runs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BIN = Path(sys.executable).parent


def read(path: Path) -> Any:
    """By YAML 1.2: in 1.1, which PyYAML reads, `on` is a boolean."""
    return YAML(typ="safe").load(path.read_text())


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_follow_the_schema(workflow: Path) -> None:
    command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", workflow]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_may_only_read_and_need_no_secret(workflow: Path) -> None:
    assert read(workflow)["permissions"] == {"contents": "read"}
    assert "secrets." not in workflow.read_text()


def test_every_python_that_the_project_names_is_tested_and_no_other() -> None:
    named = [each.rpartition(" :: ")[2] for each in PROJECT["classifiers"] if "Python :: 3." in each]
    job = read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["ci"]
    assert job["strategy"]["matrix"]["python"] == named
    assert PROJECT["requires-python"] == f">={named[0]}"


def test_the_last_step_is_ci_run() -> None:
    job = read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["ci"]
    script = re.fullmatch(r"sh (\S+)", job["steps"][-1]["run"])
    assert script is not None
    assert (ROOT / script[1]).exists()


def test_hooks_are_local_and_run_what_make_check_runs() -> None:
    hooks = [
        (repository["repo"], hook["language"], hook["entry"])
        for repository in read(ROOT / ".pre-commit-config.yaml")["repos"]
        for hook in repository["hooks"]
    ]
    assert {(repository, language) for repository, language, _ in hooks} == {("local", "system")}
    entries = [entry.split() for _, _, entry in hooks]
    assert all((BIN / Path(entry[0]).name).exists() for entry in entries)
    recipe = (ROOT / "Makefile").read_text().partition("\ncheck:")[2].partition("\n\n")[0]
    checked = re.findall(r"\$\(BIN\)/(\w+(?: check| format)?)", recipe)
    assert len(checked) == 3
    started = [" ".join(entry).removeprefix(".venv/bin/") for entry in entries]
    assert [each for each in checked if not any(entry.startswith(each) for entry in started)] == []


def test_hooks_are_what_pre_commit_takes() -> None:
    command = [BIN / "pre-commit", "validate-config", ROOT / ".pre-commit-config.yaml"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout

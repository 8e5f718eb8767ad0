"""What a build does, without the compiler: `make test-compiled` has what it compiles."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

import hatch_build
from hatch_build import CHOICE, NOTE, REQUIRES, CompiledDataPath, Decision, Lack, decide

ROOT = Path(__file__).parent.parent
LACK = Lack("no C compiler (cc)", "install one")


def compiler(folder: Path, code: str = "") -> list[str]:
    """A command that does as a C compiler would, as far as anybody looks."""
    program = folder / "cc"
    program.write_text(f"#!/bin/sh\n{code}\n")
    program.chmod(0o755)
    return [str(program)]


@pytest.fixture
def headers(tmp_path: Path) -> Path:
    (tmp_path / "Python.h").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("choice", "editable", "lack", "compiled"),
    [
        ("auto", False, None, True),
        ("always", False, None, True),
        ("never", False, None, False),
        ("auto", False, LACK, False),
        ("never", False, LACK, False),
        ("auto", True, None, False),
        ("always", True, None, False),
        ("always", True, LACK, False),
    ],
)
def test_it_compiles_where_it_can_and_says_in_one_line_why_not(
    choice: str, editable: bool, lack: Lack | None, compiled: bool
) -> None:
    decision = decide(choice, editable=editable, lack=lack)
    assert decision.compiled is compiled
    assert bool(decision.why_not) is not compiled
    assert "\n" not in decision.why_not


def test_what_is_lacking_is_in_the_line_with_its_remedy() -> None:
    why = decide("auto", editable=False, lack=LACK).why_not
    assert why == "no C compiler (cc); install one"


def test_where_it_must_compile_and_cannot_the_error_has_the_remedy() -> None:
    with pytest.raises(SystemExit, match=r"^STRANGLER_COMPILE=always: no C compiler \(cc\); install one$"):
        decide("always", editable=False, lack=LACK)


@pytest.mark.parametrize("editable", [False, True])
def test_another_value_is_refused(editable: bool) -> None:
    with pytest.raises(SystemExit, match=r"^STRANGLER_COMPILE=yes: must be auto, always or never$"):
        decide("yes", editable=editable, lack=None)


def test_the_compiler_is_cc_of_the_environment_or_one_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hatch_build.c_compiler({"CC": "ccache gcc-12"}) == ["ccache", "gcc-12"]
    monkeypatch.setattr("sysconfig.get_config_var", lambda _: "no-such-compiler -pthread")
    assert hatch_build.c_compiler({}) == ["cc"]
    monkeypatch.setattr("sysconfig.get_config_var", lambda _: f"{sys.executable} -pthread")
    assert hatch_build.c_compiler({}) == [sys.executable, "-pthread"]


def test_a_compiler_that_is_not_there_is_lacking(headers: Path) -> None:
    lack = hatch_build.lack_of_tools(["no-such-compiler"], headers)
    assert lack is not None
    assert lack.what == "no C compiler (no-such-compiler)"
    assert "apt-get install gcc libc6-dev python3-dev" in lack.remedy


def test_so_are_headers(tmp_path: Path) -> None:
    lack = hatch_build.lack_of_tools(compiler(tmp_path), tmp_path)
    assert lack is not None
    assert lack.what == f"no Python.h in {tmp_path}"
    assert "python3-dev" in lack.remedy


def test_so_is_one_that_cannot_compile(headers: Path) -> None:
    broken = compiler(
        headers, "echo 'In file included from' >&2; echo 'x.c:2: fatal error: no stdio.h' >&2; exit 1"
    )
    lack = hatch_build.lack_of_tools(broken, headers)
    assert lack is not None
    assert lack.what == f"{broken[0]} cannot compile (x.c:2: fatal error: no stdio.h)"


def test_a_compiler_and_headers_are_enough(headers: Path) -> None:
    assert hatch_build.lack_of_tools(compiler(headers), headers) is None


def test_a_build_in_this_environment_lacks_the_packages_that_it_has_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert hatch_build.lack_of_packages() is None
    monkeypatch.setattr(hatch_build, "find_spec", lambda name: None if name == "mypyc" else name)
    lack = hatch_build.lack_of_packages()
    assert lack is not None
    assert lack.what == "no mypyc beside hatchling"
    assert all(each in lack.remedy for each in REQUIRES)


@pytest.mark.parametrize(
    ("choice", "lack", "asked_for"),
    [("auto", None, True), ("always", None, True), ("auto", LACK, False), ("never", None, False)],
)
def test_mypy_is_asked_for_where_it_will_compile_and_never_for_an_editable_install(
    monkeypatch: pytest.MonkeyPatch, choice: str, lack: Lack | None, asked_for: bool
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv(CHOICE, choice)
    monkeypatch.setattr(hatch_build, "lack_of_tools", lambda *_: lack)
    assert set(REQUIRES).issubset(hatch_build.get_requires_for_build_wheel()) is asked_for
    assert not any("mypy" in each for each in hatch_build.get_requires_for_build_editable())


def test_pip_finds_all_of_the_backend_and_the_modules_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["build-system"]["build-backend"] == "hatch_build"
    assert project["build-system"]["backend-path"] == ["."]
    for name in ("build_wheel", "build_sdist", "build_editable", "get_requires_for_build_editable"):
        assert callable(getattr(hatch_build, name))
    modules = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]["modules"]
    assert [each for each in modules if not (ROOT / each).is_file()] == []


def test_an_interpreted_wheel_is_for_every_platform_and_says_why(tmp_path: Path) -> None:
    code = "import sys, hatch_build; print(hatch_build.build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, CHOICE: "never"},
        capture_output=True,
        text=True,
        check=True,
    )
    name = done.stdout.strip()
    assert name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(tmp_path / name) as wheel:
        assert not [each for each in wheel.namelist() if each.endswith(".so")]
        why = wheel.read(NOTE).decode()
    assert why == "STRANGLER_COMPILE=never; unset it, and run `pip install .` in the sources again\n"
    assert done.stderr == "strangler: data path interpreted: STRANGLER_COMPILE=never; unset it\n"


def hook(root: Path) -> CompiledDataPath:
    """Of a project whose compiled module does not exist."""
    (root / "proxy").mkdir()
    return CompiledDataPath(str(root), {"modules": ["proxy/none.py"]}, None, None, str(root), "wheel")  # type: ignore[arg-type]


def data() -> dict[str, Any]:
    return {"force_include": {}, "pure_python": True}


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hatch_build, "lack_of_tools", lambda *_: None)
    monkeypatch.setattr(hatch_build, "lack_of_packages", lambda: None)


@pytest.mark.usefixtures("able")
def test_where_compiling_fails_the_wheel_is_interpreted_and_the_reason_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(CHOICE, "auto")
    building, built = hook(tmp_path), data()
    building.initialize("standard", built)
    [(note, place)] = built["force_include"].items()
    assert place == NOTE
    assert Path(note).read_text().startswith("compiling failed; ")
    assert built["pure_python"]
    assert "proxy/none.py" in capfd.readouterr().err
    building.finalize("standard", built, "")
    assert not Path(note).exists()


@pytest.mark.usefixtures("able")
def test_where_it_must_compile_the_failure_ends_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CHOICE, "always")
    with pytest.raises(RuntimeError, match=r"mypyc failed:[^$]*proxy/none\.py"):
        hook(tmp_path).initialize("standard", data())


@pytest.mark.usefixtures("able")
def test_an_editable_install_neither_compiles_nor_leaves_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CHOICE, "always")
    monkeypatch.setattr(CompiledDataPath, "_compile", lambda *_: Decision(True))
    built = data()
    hook(tmp_path).initialize("editable", built)
    assert built == data()

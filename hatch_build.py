"""How the wheel is built: with the data path compiled by mypyc where there is a C compiler, else as Python.

This is a build hook of hatchling and also the build backend (pyproject.toml, `build-system`): hatchling's,
except that mypy is required where the data path will be compiled. An editable install is never compiled.

What is compiled is a copy, so that no compiled module is ever left among the sources. The sources are in the
wheel too, for tracebacks. A wheel that is not compiled says why in `proxy/interpreted.txt`: pip hides what a
build prints, so `strangler --version` and the log of `strangler serve` show it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from hatchling import build as hatchling
from hatchling.build import *  # noqa: F403  (all that is not said anew below)
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CHOICE = "STRANGLER_COMPILE"  # auto, always or never
OPTIMISATION = "STRANGLER_OPT_LEVEL"  # of the C compiler, 0 to 3: the lower, the sooner the build is done
REQUIRES = ("mypy>=2.4", "setuptools>=65", "msgspec>=0.19")
"""mypyc, what runs the C compiler, and what mypy must know to read the types of the data path."""
NOTE = "proxy/interpreted.txt"
INTERPRETED = 3  # exit status; 1 is an error

_MODULES = ("mypyc", "setuptools", "msgspec")  # what REQUIRES brings
_AGAIN = "run `pip install .` in the sources again"
_PROBE = "#include <Python.h>\n#include <stdio.h>\nint probe(void) { return PY_MAJOR_VERSION; }\n"
_SETUP = """\
from concurrent.futures import ThreadPoolExecutor
from mypyc.build import mypycify
from setuptools import setup
from setuptools.command.build_ext import build_ext

class InParallel(build_ext):
    '''The one large extension has a C file for each module; setuptools would compile them one by one.'''

    def build_extensions(self):
        whole = self.compiler.compile
        def each(sources, **options):
            with ThreadPoolExecutor({jobs}) as pool:
                return sum(pool.map(lambda source: whole([source], **options), sources), [])
        self.compiler.compile = each
        super().build_extensions()

built = mypycify({modules!r}, group_name="strangler", opt_level={level!r}, debug_level="0", multi_file=True)
setup(name="strangler", ext_modules=built, cmdclass=dict(build_ext=InParallel))
"""
# `make check` is strict; here types are only read, and of packages that are not installed they are unknown.
_MYPY = "[mypy]\nignore_missing_imports = True\n"


class Lack(NamedTuple):
    """What is missing for a compiled build, and what to do about it."""

    what: str
    remedy: str


class Decision(NamedTuple):
    compiled: bool
    why_not: str = ""  # one line, and what to do


def decide(choice: str, *, editable: bool, lack: Lack | None) -> Decision:
    """Whether this build compiles, by the value of STRANGLER_COMPILE. Raises SystemExit: backends end so."""
    if choice not in ("auto", "always", "never"):
        raise SystemExit(f"{CHOICE}={choice}: must be auto, always or never")
    if editable:
        return Decision(False, "an editable install runs the sources; leave out -e")
    if choice == "never":
        return Decision(False, f"{CHOICE}=never; unset it")
    if lack is None:
        return Decision(True)
    if choice == "always":
        raise SystemExit(f"{CHOICE}=always: {lack.what}; {lack.remedy}")
    return Decision(False, f"{lack.what}; {lack.remedy}")


def c_compiler(environ: Mapping[str, str]) -> list[str]:
    """The command: CC, or what this Python was built with, or if that is not here, cc."""
    if given := environ.get("CC"):
        return shlex.split(given)
    usual = shlex.split(sysconfig.get_config_var("CC") or "cc")
    return usual if shutil.which(usual[0]) else ["cc"]


def lack_of_tools(compiler: list[str], include: Path) -> Lack | None:
    """Tries them: a compiler is often there without the headers of the C library or of Python."""
    if sys.implementation.name != "cpython":
        return Lack(f"{sys.implementation.name} runs no compiled data path", "use CPython")
    if shutil.which(compiler[0]) is None:
        remedy = "install one (Debian: apt-get install gcc libc6-dev python3-dev)"
        return Lack(f"no C compiler ({compiler[0]})", remedy)
    if not (include / "Python.h").is_file():
        remedy = "install Python's headers (Debian: apt-get install python3-dev)"
        return Lack(f"no Python.h in {include}", remedy)
    with TemporaryDirectory(prefix="strangler-probe-") as folder:
        source = Path(folder, "probe.c")
        source.write_text(_PROBE)
        command = [*compiler, "-fPIC", "-shared", f"-I{include}", str(source), "-o", f"{folder}/probe.so"]
        tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode == 0:
        return None
    first = next((line for line in tried.stderr.splitlines() if "error" in line), tried.stderr.strip())
    return Lack(
        f"{shlex.join(compiler)} cannot compile ({first[:200]})",
        "mend it (Debian: apt-get install libc6-dev)",
    )


def lack_of_packages() -> Lack | None:
    missing = [name for name in _MODULES if find_spec(name) is None]
    if not missing:
        return None
    packages = " ".join(f"'{each}'" for each in REQUIRES)
    return Lack(f"no {' and no '.join(missing)} beside hatchling", f"pip install {packages}")


def _decision(*, editable: bool = False, packages: bool = True) -> Decision:
    lack = None
    choice = os.environ.get(CHOICE) or "auto"
    if choice != "never" and not editable:
        lack = lack_of_tools(c_compiler(os.environ), Path(sysconfig.get_paths()["include"]))
        if lack is None and packages:
            lack = lack_of_packages()
    return decide(choice, editable=editable, lack=lack)


def get_requires_for_build_wheel(  # type: ignore[no-redef]
    config_settings: dict[str, Any] | None = None,
) -> list[str]:
    """PEP 517. An editable install is asked about by another function, hatchling's: it needs none of this."""
    requires = hatchling.get_requires_for_build_wheel(config_settings)
    return [*requires, *REQUIRES] if _decision(packages=False).compiled else requires


class CompiledDataPath(BuildHookInterface):  # type: ignore[type-arg]
    """`modules` of its configuration are compiled together, so that they call each other directly."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        self._directory = TemporaryDirectory(prefix="strangler-build-")
        decision = _decision(editable=version == "editable")
        if decision.compiled:
            decision = self._compile(Path(self._directory.name), build_data)
        if not decision.compiled and version != "editable":
            note = Path(self._directory.name, "note.txt")
            note.write_text(f"{decision.why_not}, and {_AGAIN}\n")
            build_data["force_include"][str(note)] = NOTE
            print(f"strangler: data path interpreted: {decision.why_not}", file=sys.stderr)

    def _compile(self, work: Path, build_data: dict[str, Any]) -> Decision:
        """Into `work`. Interpreted if that fails, unless it must not."""
        source = Path(self.root, "proxy")
        shutil.copytree(source, work / "proxy", ignore=shutil.ignore_patterns("__pycache__"))
        (work / "mypy.ini").write_text(_MYPY)
        level, jobs = os.environ.get(OPTIMISATION, "2"), _cores()
        (work / "setup.py").write_text(_SETUP.format(modules=self.config["modules"], level=level, jobs=jobs))
        result = subprocess.run(
            [sys.executable, "setup.py", "-q", "build_ext", "--inplace", "--parallel", str(jobs)],
            cwd=work,
            env={**os.environ, "CC": shlex.join(c_compiler(os.environ))},
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            said = f"mypyc failed:\n{result.stdout[-4000:]}\n{result.stderr[-4000:]}"
            if os.environ.get(CHOICE) == "always":
                raise RuntimeError(said)
            print(said, file=sys.stderr)
            return Decision(False, f"compiling failed; find out why with {CHOICE}=always")
        for built in work.rglob("*.so"):
            if "build" not in built.relative_to(work).parts:
                build_data["force_include"][str(built)] = str(built.relative_to(work))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        return Decision(True)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        self._directory.cleanup()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":  # the Makefile asks whether a build would compile
    asked = _decision()
    if not asked.compiled:
        print(f"The data path is interpreted: {asked.why_not}")
        sys.exit(INTERPRETED)

"""Build hook of the wheel: compiles the data path with mypyc, if HATCH_BUILD_HOOK_ENABLE_CUSTOM is true.

Works on a copy, so that no compiled module is ever left among the sources: an editable install stays pure
Python. The sources are in the wheel too, for tracebacks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OPTIMISATION = "STRANGLER_OPT_LEVEL"  # of the C compiler, 0 to 3: with 0 the build takes half the time
_SETUP = """\
from mypyc.build import mypycify
from setuptools import setup

built = mypycify({modules!r}, group_name="strangler", opt_level="{opt}", debug_level="0")
setup(name="strangler", ext_modules=built)
"""
# `make check` is strict; here types are only read, and of packages that are not installed they are unknown.
_MYPY = "[mypy]\nignore_missing_imports = True\n"


class CompiledDataPath(BuildHookInterface):  # type: ignore[type-arg]
    """`modules` of its configuration are compiled together, so that they call each other directly."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        self._directory = TemporaryDirectory(prefix="strangler-build-")
        work = Path(self._directory.name)
        root = Path(self.root)
        shutil.copytree(root / "proxy", work / "proxy", ignore=shutil.ignore_patterns("__pycache__"))
        (work / "mypy.ini").write_text(_MYPY)
        (work / "setup.py").write_text(
            _SETUP.format(modules=self.config["modules"], opt=os.environ.get(OPTIMISATION, "2"))
        )
        command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
        result = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
        if result.returncode:
            raise RuntimeError(f"mypyc failed:\n{result.stdout[-4000:]}\n{result.stderr[-4000:]}")
        for built in work.rglob("*.so"):
            if "build" not in built.relative_to(work).parts:
                build_data["force_include"][str(built)] = str(built.relative_to(work))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != "editable":
            self._directory.cleanup()

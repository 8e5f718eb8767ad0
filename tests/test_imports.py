"""Who may import whom, read from the source: docs/architecture.md has the reasons."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from proxy.config import load_text

ROOT = Path(__file__).parent.parent
OURS = ("proxy", "legacy_flask", "async_api", "fx_provider", "bench")

PROCESS = ("proxy.logs", "proxy.owned", "proxy.signals")

EDGE_GROUND = ("proxy.edge.deadlines", "proxy.edge.turns", "proxy.edge.ports", "proxy.edge.outcome")

# Longest prefix wins. A part may import what it lists, itself, and nothing else of ours.
ALLOWED: dict[str, tuple[str, ...]] = {
    "proxy": ("proxy",),  # __init__, __main__ and entry
    "proxy.telemetry": (),
    "proxy.logs": ("proxy.core.timestamps",),
    "proxy.owned": (),
    "proxy.datapath": ("proxy.core.http1",),
    "proxy.interpreter": (),
    "proxy.signals": (),
    "proxy.core": (),
    "proxy.core.timestamps": (),
    # The rooms of core, from the ground up.
    "proxy.core.wire": (),
    "proxy.core.documents": (),
    "proxy.core.evidence": (),
    "proxy.core.weights": (),
    "proxy.core.settings": ("proxy.core.documents",),
    "proxy.core.http1": ("proxy.core.settings",),
    "proxy.core.forwarding": ("proxy.core.wire", "proxy.core.http1", "proxy.core.settings"),
    "proxy.core.routing": (
        "proxy.core.wire",
        "proxy.core.http1",
        "proxy.core.weights",
        "proxy.core.settings",
        "proxy.core.forwarding",
    ),
    "proxy.core.resilience": ("proxy.core.http1", "proxy.core.settings", "proxy.core.routing"),
    "proxy.core.comparison": ("proxy.core.documents", "proxy.core.settings", "proxy.core.evidence"),
    "proxy.core.rollout": (
        "proxy.core.wire",
        "proxy.core.weights",
        "proxy.core.settings",
        "proxy.core.evidence",
        "proxy.core.comparison",
    ),
    "proxy.core.privacy": ("proxy.core.documents", "proxy.core.comparison"),
    "proxy.core.traffic": (
        "proxy.core.wire",
        "proxy.core.settings",
        "proxy.core.forwarding",
        "proxy.core.routing",
        "proxy.core.evidence",
    ),
    "proxy.config": ("proxy.core",),
    "proxy.store": ("proxy.core",),
    # The rooms of edge, from the ground up; what has no line here is the worker, above all of them.
    "proxy.edge.deadlines": (),
    "proxy.edge.turns": (),
    "proxy.edge.ports": ("proxy.core", "proxy.edge.deadlines"),
    "proxy.edge.outcome": ("proxy.core",),
    "proxy.edge.observe": ("proxy.core", "proxy.edge.outcome", "proxy.owned", "proxy.telemetry"),
    "proxy.edge.upstream": ("proxy.core", *EDGE_GROUND),
    "proxy.edge.writes": ("proxy.core", "proxy.store", *EDGE_GROUND),
    "proxy.edge.crowd": EDGE_GROUND,
    "proxy.edge.services": (
        "proxy.core",
        *EDGE_GROUND,
        "proxy.edge.crowd",
        "proxy.edge.observe",
        "proxy.edge.upstream",
        "proxy.edge.writes",
    ),
    "proxy.edge.exchange": (
        "proxy.core",
        "proxy.store",
        *EDGE_GROUND,
        "proxy.edge.observe",
        "proxy.edge.upstream",
        "proxy.edge.writes",
        "proxy.edge.services",
    ),
    "proxy.edge.client": ("proxy.core", *EDGE_GROUND, "proxy.edge.services", "proxy.edge.exchange"),
    "proxy.edge": (
        "proxy.edge",
        "proxy.core",
        "proxy.config",
        "proxy.store",
        "proxy.logs",
        "proxy.owned",
        "proxy.signals",
        "proxy.telemetry",
    ),
    "proxy.control": (
        "proxy.core",
        "proxy.config",
        "proxy.store",
        "proxy.datapath",
        "proxy.interpreter",
        "proxy.logs",
        "proxy.owned",
        "proxy.signals",
    ),
    "proxy.compare": (
        "proxy.core",
        "proxy.config",
        "proxy.store",
        "proxy.logs",
        "proxy.owned",
        "proxy.signals",
        "proxy.telemetry",
    ),
    "proxy.cli": ("proxy",),
    "legacy_flask": (),
    "async_api": (),
    "fx_provider": (),
    "bench": ("bench",),
    "bench.compression": ("proxy.core", "proxy.edge"),
    "bench.crowd": ("bench", "proxy.cli.demo.postgres"),
    "bench.faultfinder": ("bench", "proxy.compare", "proxy.config", "proxy.core"),
    "bench.headline": ("bench", "async_api.models"),
    "bench.hundredk": ("bench",),
    "bench.instructions": ("bench", "proxy.config", "proxy.core", "proxy.edge"),
    "bench.rollouts": ("bench", "proxy.core"),
    "bench.writes": ("bench", "proxy.cli.demo.postgres"),
}

VERSION = "proxy.__version__"  # anyone may know it

# The decisions are pure: whatever changes from call to call is passed in.
IMPURE = (
    "aiosqlite",
    "asyncio",
    "asyncpg",
    "concurrent",
    "contextvars",
    "glob",
    "http.client",
    "http.server",
    "httpx2",
    "io",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "psycopg",
    "queue",
    "random",
    "secrets",
    "select",
    "selectors",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
    "urllib.request",
    "uuid",
    "uvloop",
    "warnings",
)
IMPURE_CALLS = frozenset({"open", "print", "input", "datetime.now", "datetime.utcnow", "date.today"})


class Import(NamedTuple):
    module: str
    line: int


def part_of(module: str) -> str | None:
    """The entry of ALLOWED that a module belongs to."""
    matches = [part for part in ALLOWED if module == part or module.startswith(part + ".")]
    return max(matches, key=len, default=None)


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST, module: str, is_package: bool) -> Iterator[Import]:
    """Every imported module, also those inside functions and TYPE_CHECKING, relative ones resolved.

    `from a.b import c` counts as a.b.c, since c may be a module.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = module.split(".")[: len(module.split(".")) - node.level + is_package]
                base = ".".join([*up, base] if base else up)
            yield from (Import(f"{base}.{alias.name}", node.lineno) for alias in node.names)


def broken_rules(path: Path, root: Path) -> list[str]:
    """One line per import or call that the rules forbid."""
    module = module_name(path, root)
    part = part_of(module)
    assert part is not None, f"{path}: belongs to no part; add it to ALLOWED"
    tree = ast.parse(path.read_text(), str(path))
    pure = _within(part, ("proxy.core",))
    found = []
    for target, line in imports(tree, module, path.name == "__init__.py"):
        theirs = part_of(target) if target != VERSION else None
        if theirs is not None and theirs not in (part, *ALLOWED[part]) and not _within(target, ALLOWED[part]):
            found.append(f"{module}:{line}: {part} may not import {target}")
        if pure and _within(target, IMPURE):
            found.append(f"{module}:{line}: proxy.core is pure and may not import {target}")
    if pure:
        found += [
            f"{module}:{node.lineno}: proxy.core is pure and may not call {ast.unparse(node.func)}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func) in IMPURE_CALLS
        ]
    return found


def _within(module: str, prefixes: tuple[str, ...]) -> bool:
    return any(module == prefix or module.startswith(prefix + ".") for prefix in prefixes)


@pytest.mark.parametrize("package", OURS)
def test_every_module_imports_only_what_its_part_may(package: str) -> None:
    paths = sorted((ROOT / package).rglob("*.py"))
    assert paths
    assert [line for path in paths for line in broken_rules(path, ROOT)] == []


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("proxy/core/a.py", "from proxy.config import x", "proxy.core may not import proxy.config.x"),
        ("proxy/core/a.py", "def f():\n    import random", "may not import random"),
        ("proxy/core/a.py", "import urllib.request", "may not import urllib.request"),
        ("proxy/core/a.py", "now = datetime.now()", "may not call datetime.now"),
        (
            "proxy/core/wire/a.py",
            "if TYPE_CHECKING:\n    from proxy.core.settings import Endpoint",
            "proxy.core.wire may not import proxy.core.settings.Endpoint",
        ),
        (
            "proxy/edge/upstream/a.py",
            "if TYPE_CHECKING:\n    from proxy.edge.exchange.exchange import Exchange",
            "proxy.edge.upstream may not import proxy.edge.exchange.exchange.Exchange",
        ),
        (
            "proxy/edge/observe/a.py",
            "from proxy.edge import services",
            "proxy.edge.observe may not import proxy.edge.services",
        ),
        ("proxy/config/a.py", "from ..edge import worker", "proxy.config may not import proxy.edge.worker"),
        ("proxy/edge/a.py", "from proxy import control", "proxy.edge may not import proxy.control"),
        ("proxy/edge/__init__.py", "from ..cli import main", "proxy.edge may not import proxy.cli.main"),
        ("proxy/cli/a.py", "import legacy_flask.app", "proxy.cli may not import legacy_flask.app"),
        ("async_api/a.py", "import legacy_flask", "async_api may not import legacy_flask"),
        ("legacy_flask/a.py", "from fx_provider.app import app", "legacy_flask may not import fx_provider"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, path: str, source: str, complaint: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(source)
    (found,) = broken_rules(file, tmp_path)
    assert complaint in found


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "proxy/core/evidence/a.py",
            "from proxy.core.evidence.stats import add\nimport hashlib\nfrom . import heads",
        ),
        (
            "proxy/edge/a.py",
            "from proxy.core import stats\nfrom proxy.config import load_file\nimport socket",
        ),
        ("proxy/edge/__init__.py", "from .worker import run"),
        ("proxy/edge/a.py", "from proxy import __version__"),
        ("proxy/cli/a.py", "from proxy.control import supervisor\nfrom proxy.edge import worker"),
    ],
)
def test_an_allowed_import_is_not_found(tmp_path: Path, path: str, source: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(source)
    assert broken_rules(file, tmp_path) == []


def circles(package: Path, root: Path) -> list[str]:
    """Modules of the package that import each other, also where only types are checked."""
    paths = {module_name(path, root): path for path in sorted(package.rglob("*.py"))}
    known: dict[str, set[str]] = {}
    for module, path in paths.items():
        tree = ast.parse(path.read_text(), str(path))
        targets = {each.module for each in imports(tree, module, path.name == "__init__.py")}
        found = {target if target in paths else target.rpartition(".")[0] for target in targets}
        known[module] = found & paths.keys() - {module}
    while free := {module for module, targets in known.items() if not targets & known.keys()}:
        known = {module: targets for module, targets in known.items() if module not in free}
    return sorted(known)


@pytest.mark.parametrize("package", ["cli", "compare", "config", "control", "core", "edge"])
def test_no_two_modules_of_a_package_import_each_other(package: str) -> None:
    assert circles(ROOT / "proxy" / package, ROOT) == []


def test_a_circle_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from b import B")
    (tmp_path / "b.py").write_text("import a")
    (tmp_path / "c.py").write_text("import socket")
    assert circles(tmp_path, tmp_path) == ["a", "b"]


# What a worker imports beside the standard library and the proxy itself: it starts whenever another one dies.
WORKERS_IMPORTS = {
    "_brotli",
    "_cares",
    "_cffi_backend",
    "aiodns",
    "brotli",
    "cython_runtime",
    "idna",
    "msgspec",
    "mypy_extensions",
    "pycares",
    "typing_extensions",
    "uvloop",
    "zstandard",
}
SITE = ("_cython_", "_distutils_hack", "sitecustomize", "a1_coverage", "coverage")  # not imported by a worker


def imported(starts: str, then: str = "") -> set[str]:
    """Modules that are there after `starts` is imported and `then` is done; of others the package."""
    code = f"import sys, {starts}\n{then}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_worker_imports_little_of_others() -> None:
    found = {each.partition(".")[0] for each in imported("proxy.edge.__main__")} - sys.stdlib_module_names
    assert {each for each in found if not each.startswith(("__", *SITE))} - {"proxy"} <= WORKERS_IMPORTS


def test_a_worker_that_compiles_validates_nothing() -> None:
    text = "backends: {legacy: {url: 'http://legacy'}, async: {url: 'http://async'}}\nendpoints: {GET /a: {}}"
    values = load_text(text, source="test", environ={}).values
    compiles = f"*_, last = proxy.edge.applying.compile_values({values!r}, 'h')\nassert last"
    found = imported("proxy.edge.__main__", compiles)
    assert "proxy.config.compile" in found
    assert not found & {"pydantic", "yaml", "proxy.config.model"}


@pytest.mark.parametrize(
    ("starts", "spared"),
    [
        ("proxy.edge.__main__", {"sqlalchemy", "asyncpg", "yaml", "pydantic", "proxy.config.model"}),
        ("proxy.compare.__main__", {"yaml", "pydantic", "proxy.config.model"}),
        (
            "proxy.cli.serve",
            {"sqlalchemy.dialects.postgresql", "asyncpg", "jinja2", "prometheus_client", "httpx2"},
        ),
    ],
    ids=["a worker that stores nothing", "a comparer", "a control process with SQLite"],
)
def test_a_process_starts_without_what_it_may_never_need(starts: str, spared: set[str]) -> None:
    assert not imported(starts) & spared

"""`make test-compiled` runs this against build/wheel; pytest alone does not find it, by its name."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.tags import sys_tags
from packaging.utils import parse_wheel_filename

from proxy import __version__
from tests.cli.real_site import RealSite, backend

ALONE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
"""Our environment without the build that `make test-compiled` has in it."""
ROOT = Path(__file__).parent.parent
TOLD = f"strangler, version {__version__}, data path compiled\n"


@pytest.fixture(scope="module")
def wheel() -> Path:
    [wheel] = (ROOT / "build" / "wheel").glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an empty environment with the wheel; what the wheel needs is found where the tests have it."""
    folder = tmp_path_factory.mktemp("empty")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install"]
    subprocess.run(
        [*pip, "--quiet", "--no-index", "--no-deps", "--no-compile", str(wheel)], env=ALONE, check=True
    )
    site = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    (folder / site / "needs.pth").write_text(sysconfig.get_paths()["purelib"])
    return python


@pytest.fixture
def site(python: Path, tmp_path: Path) -> Iterator[RealSite]:
    """Started as a user would in a checkout, where the sources are in the way."""
    servers = [backend("legacy"), backend("async")]
    site = RealSite(tmp_path, servers[0].server_port, servers[1].server_port)
    site.strangler = (str(python.with_name("strangler")),)
    site.folder = ROOT
    yield site
    site.close()
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_wheel_is_for_this_platform_alone(wheel: Path) -> None:
    tags = parse_wheel_filename(wheel.name)[3]
    assert {(each.interpreter, each.abi) for each in tags} == {
        (next(sys_tags()).interpreter, next(sys_tags()).abi)
    }
    assert all(each.platform != "any" for each in tags)


def test_it_serves_compiled_and_says_so_everywhere(
    site: RealSite, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    site.up()
    state = site.state()
    assert state["data_path"] == "compiled"
    assert site.get("/metrics").text.count(
        f'strangler_build_info{{data_path="compiled",version="{__version__}"}} 1.0'
    )
    assert TOLD in site.log()
    told = subprocess.run([*site.strangler, "--version"], capture_output=True, text=True, check=True)
    assert told.stdout == TOLD
    for worker in site.pids(state):
        mapped = Path(f"/proc/{worker}/maps").read_text()
        assert f"{python.parent.parent}/" in mapped
        assert "strangler__mypyc" in mapped


def test_tracebacks_have_the_sources_of_what_is_compiled(python: Path) -> None:
    code = "import proxy.core.http1.scan as scan; print(scan.__file__)"
    done = subprocess.run([python, "-P", "-c", code], capture_output=True, text=True, check=True, env=ALONE)
    extension = Path(done.stdout.strip())
    assert extension.suffix == ".so"
    source = extension.with_name("scan.py")
    assert source.read_bytes() == (ROOT / "proxy/core/http1/scan.py").read_bytes()

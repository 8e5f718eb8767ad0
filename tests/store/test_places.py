"""Who may read what the state directory holds."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.store import audit, comparisons, configs
from proxy.store.places import private_file, private_folder
from tests.store.test_claims import opened, proceed, wanted

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[0o000, 0o022, 0o377], ids=["open", "usual", "strict"])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def modes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder.parent)): stat.S_IMODE(path.stat().st_mode)
        for path in (folder, *folder.rglob("*"))
    }


@pytest.mark.parametrize("part", ["audit", "configs", "comparisons", "claims"])
async def test_all_of_the_state_is_for_its_owner_whatever_the_umask(
    umask: None, tmp_path: Path, part: str
) -> None:
    url = f"sqlite:///{tmp_path}/state/state.db"
    opening = {"audit": audit, "configs": configs, "comparisons": comparisons}
    async with opening[part].opened(url) if part in opening else opened(url) as store:
        if part == "claims":  # made with the first key
            await proceed(store, wanted("a"))
        found = modes(tmp_path / "state")
    assert len(found) > 1
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o077 or not mode & 0o600} == {}


def test_what_the_operator_has_made_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there").chmod(0o750)
    file = tmp_path / "there" / "file"
    file.touch()
    file.chmod(0o640)
    private_folder(tmp_path / "there")
    os.close(private_file(file))
    assert list(modes(tmp_path / "there").values()) == [0o750, 0o640]

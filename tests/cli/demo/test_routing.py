from __future__ import annotations

from pathlib import Path

import pytest

from proxy.cli.demo import routing
from proxy.cli.demo.services import Ports
from proxy.config import load_file
from proxy.core.routing.snapshot import Snapshot

ROOT = Path(__file__).parents[3]
PORTS = Ports(8000, 9000, 5001, 5002, 5003)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "routing.yaml"
    path.write_text(routing.initial(tmp_path, PORTS))
    return path


def weights(path: Path) -> dict[str, int]:
    snapshot: Snapshot = load_file(path).snapshot
    return {endpoint.name: endpoint.weight // 100 for endpoint in snapshot.endpoints}


def test_the_first_table_is_valid_and_moves_nothing(path: Path) -> None:
    assert weights(path) == dict.fromkeys((*routing.READS, *routing.WRITES), 0)
    assert load_file(path).warnings == ()


def test_all_endpoints_of_the_payments_api_are_in_it_and_its_reads_are_compared(path: Path) -> None:
    shipped = load_file(ROOT / "routing.yaml").snapshot
    assert set(weights(path)) == {endpoint.name for endpoint in shipped.endpoints}
    snapshot = load_file(path).snapshot
    assert all(endpoint.compare.sample == 1 for endpoint in snapshot.endpoints)
    assert [endpoint.name for endpoint in snapshot.endpoints if endpoint.compare.dry_run] == [routing.WRITE]
    assert snapshot.async_.dry_run == {"x-dry-run": "1"}


def test_an_edit_changes_the_reads_and_nothing_else(path: Path) -> None:
    before = path.read_text()
    routing.edit(path, 10)
    routing.edit(path, 100)
    assert weights(path) == {**dict.fromkeys(routing.READS, 100), **dict.fromkeys(routing.WRITES, 0)}
    routing.edit(path, 0)
    assert path.read_text() == before

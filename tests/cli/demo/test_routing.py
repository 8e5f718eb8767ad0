from __future__ import annotations

from pathlib import Path

import pytest

from proxy.cli.demo import routing
from proxy.cli.demo.services import Ports
from proxy.config import load_file
from proxy.core.routing.snapshot import Snapshot

ROOT = Path(__file__).parents[3]
PORTS = Ports(8000, 9000, 5001, 5002, 5003, 5004)


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
    (warning,) = load_file(path).warnings
    assert f"rollouts.{routing.PLAN}: no endpoint follows this plan" in str(warning)


def test_all_endpoints_of_the_payments_api_are_in_it_and_its_reads_are_compared(path: Path) -> None:
    shipped = load_file(ROOT / "routing.yaml").snapshot
    assert set(weights(path)) == {endpoint.name for endpoint in shipped.endpoints}
    snapshot = load_file(path).snapshot
    assert all(endpoint.compare.sample == 1 for endpoint in snapshot.endpoints)
    assert [endpoint.name for endpoint in snapshot.endpoints if endpoint.compare.dry_run] == [routing.WRITE]
    assert snapshot.async_.dry_run == {"x-dry-run": "1"}


def plans(path: Path) -> dict[str, str]:
    snapshot: Snapshot = load_file(path).snapshot
    return {endpoint.name: endpoint.plan.name for endpoint in snapshot.endpoints if endpoint.plan}


def test_an_edit_changes_these_endpoints_and_nothing_else(path: Path) -> None:
    before = path.read_text()
    assert not plans(path)
    routing.roll_out(path, routing.FIRST)
    assert plans(path) == dict.fromkeys(routing.FIRST, routing.PLAN)
    routing.roll_out(path, routing.READS)
    assert plans(path) == dict.fromkeys(routing.READS, routing.PLAN)
    assert load_file(path).warnings == ()
    routing.set_weight(path, routing.READS, 100)
    assert weights(path) == {**dict.fromkeys(routing.READS, 100), **dict.fromkeys(routing.WRITES, 0)}
    routing.set_weight(path, routing.READS, 0)
    assert path.read_text() == before


def test_the_plan_asks_for_every_step_that_the_demo_claims(path: Path) -> None:
    routing.roll_out(path, routing.FIRST)
    plan = next(each.plan for each in load_file(path).snapshot.endpoints if each.plan)
    assert tuple(weight // 100 for weight in plan.steps) == routing.STEPS
    assert plan.advance.parity is not None


def test_a_deployment_changes_the_address_of_async_alone(path: Path) -> None:
    before = path.read_text()
    routing.deploy(path, PORTS.async_, PORTS.repaired)
    assert path.read_text() == before.replace(":5002", ":5004")
    assert weights(path)

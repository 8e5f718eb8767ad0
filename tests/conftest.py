"""Properties are about results, not about how long a busy machine takes; what runs first; what is shared."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.contract.fixtures import (
    async_server,
    fx_server,
    ledger,
    legacy_server,
    new_ledger,
    postgres,
    proxy_at_0_server,
    proxy_at_50_server,
    proxy_at_100_server,
    template,
)

__all__ = [
    "async_server",
    "fx_server",
    "ledger",
    "legacy_server",
    "new_ledger",
    "postgres",
    "proxy_at_0_server",
    "proxy_at_50_server",
    "proxy_at_100_server",
    "template",
]

settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")
# For `make coverage`: few examples reach the same lines, and each costs more while lines are counted.
settings.register_profile("few", settings.get_profile("project"), max_examples=5)

# With `--dist loadfile --no-loadscope-reorder` files are handed out in this order. What takes longest goes
# first, or one worker would be left alone with it at the end. The story of the demo mostly waits.
LONGEST = (
    "e2e/test_demo.py",
    "async_api/test_reads.py",
    "control/test_roll.py",
    "control/admin/test_browser.py",
    "control/admin/test_silence.py",
    "control/test_supervisor.py",
    "cli/test_replay.py",
    "e2e/test_rollout.py",
    "cli/test_restart.py",
    "control/test_watch.py",
    "edge/model/test_model.py",
    "contract/test_statements.py",
    "contract/test_generated.py",
    "control/test_hung.py",
    "e2e/test_demo_ends.py",
    "bench/headline/test_main.py",
    "faults",
    "store/test_side_by_side.py",
    "contract",
    "control/rollouts/test_runner.py",
    "store/test_overload.py",
    "compare/test_sampling.py",
    "bench/test_soak.py",
    "async_api",
    "e2e",
    "control",
    "cli",
)
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _rank(item.path.relative_to(HERE)))


def _rank(path: Path) -> int:
    """Place in LONGEST of the file or its folder; behind all of them if it has none."""
    places = [LONGEST.index(str(part)) for part in (path, *path.parents) if str(part) in LONGEST]
    return min(places, default=len(LONGEST))

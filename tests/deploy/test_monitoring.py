"""A real Prometheus with the deployed rules scrapes the proxy and both backends."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from async_api import metrics as async_metrics
from legacy_flask import metrics as legacy_metrics
from tests import plain
from tests.contract import servers
from tests.contract.fixtures import Ledger, client_of
from tests.contract.servers import ROOT
from tests.support.ports import free_port
from tests.support.waiting import eventually

PROMETHEUS = ROOT / "deploy/prometheus"
DASHBOARD = ROOT / "deploy/grafana/dashboards/migration.json"
METRIC = re.compile(r"\b(?:payments|strangler)_[a-z_0-9]+")
UNSEEN = {  # families of the proxy that have no series before the first event, or without a rollout
    "strangler_retries_total",
    "strangler_outcome_unknown_total",
    "strangler_proxy_errors_total",
    "strangler_dropped_total",
    "strangler_compare_total",
    "strangler_keyed_writes_total",
    "strangler_parity",
    "strangler_async_worse",
    "strangler_rollout_state",
    "strangler_rollout_e_value",
    "strangler_rollout_threshold",
}


def expressions() -> list[str]:
    """Of all alerts and panels."""
    rules = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())
    alerts = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return alerts + [target["expr"] for panel in panels for target in panel["targets"]]


@contextmanager
def scraped(ledger: Ledger, folder: Path) -> Iterator[dict[str, Any]]:
    """The deployed configuration with the targets on free ports; yields it and the backends' URLs."""
    admin, legacy_port, async_port = free_port(), free_port(), free_port()
    with ExitStack() as stack:
        legacy = stack.enter_context(
            servers.legacy(ledger.url, METRICS_PORT=str(legacy_port), WEB_CONCURRENCY="2")
        )
        new = stack.enter_context(servers.async_(ledger.url, METRICS_PORT=str(async_port), WORKERS="2"))
        routing = {
            "server": {"listen": f"127.0.0.1:{free_port()}", "admin": f"127.0.0.1:{admin}", "workers": 1},
            "backends": {"legacy": {"url": legacy.url}, "async": {"url": new.url}},
            "endpoints": {"GET /accounts/{account_id}": {"weight": 50}},
        }
        routing["server"] |= {"runtime_dir": f"{folder}/run", "state": f"sqlite:///{folder}/state.db"}
        (folder / "routing.yaml").write_text(yaml.safe_dump(routing))
        command = ["proxy", "serve", "--config", str(folder / "routing.yaml")]
        stack.enter_context(servers.serve(command, admin, {}))
        config: dict[str, Any] = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
        ports = {"proxy": admin, "legacy": legacy_port, "async": async_port}
        for job in config["scrape_configs"]:
            job["static_configs"] = [{"targets": [f"127.0.0.1:{ports[job['job_name']]}"]}]
        config["global"]["scrape_interval"] = "200ms"
        config["rule_files"] = [str(PROMETHEUS / "alerts.yml")]
        yield {"config": config, "ports": ports, "urls": [legacy.url, new.url]}


@contextmanager
def prometheus(config: dict[str, Any], folder: Path) -> Iterator[Callable[[str], dict[str, float]]]:
    """Runs it; what it yields answers an instant query: value by job."""
    port = free_port()
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/tsdb",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "GOMAXPROCS": "2"},
    )

    def query(expression: str) -> dict[str, float]:
        try:
            url = f"http://127.0.0.1:{port}/api/v1/query"
            answer = plain.get(url, params={"query": expression}, timeout=5).json()
        except httpx2.TransportError:
            assert process.poll() is None
            return {}
        assert answer["status"] == "success", answer
        return {row["metric"].get("job", ""): float(row["value"][1]) for row in answer["data"]["result"]}

    try:
        yield query
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.prometheus
def test_prometheus_scrapes_the_proxy_and_all_workers_of_both_backends(
    new_ledger: Callable[[], Ledger], tmp_path: Path
) -> None:
    made = new_ledger()
    with scraped(made, tmp_path) as site, prometheus(site["config"], tmp_path) as query:
        account = f"/accounts/{made.accounts()[0]}"
        for url in site["urls"]:
            for _ in range(20):  # on connections of their own: all workers get some
                with client_of(url, made.api_key) as client:
                    assert client.get(account).status_code == 200
        eventually(lambda: query("up") == {"proxy": 1, "legacy": 1, "async": 1})
        counted = 'sum by (job) (payments_requests_total{route="/accounts/{account_id}", code="200"})'
        eventually(lambda: query(counted) == {"legacy": 20, "async": 20})
        assert query("payments_workers") == {"legacy": 2}
        assert query("payments_pool_max_connections") == {"legacy": 30, "async": 20}
        for expression in expressions():
            query(expression)  # understood by it
        _every_metric_exists(site["ports"]["proxy"])


def _every_metric_exists(admin: int) -> None:
    shown = plain.get(f"http://127.0.0.1:{admin}/metrics").text
    families = set(re.findall(r"^# TYPE (\S+)", shown, re.M)) | UNSEEN
    for registry in (async_metrics.LOCAL, legacy_metrics.LOCAL):
        for family in registry.collect():
            families.add(f"{family.name}_total" if family.type == "counter" else family.name)
    wanted = {name.removesuffix("_bucket") for text in expressions() for name in METRIC.findall(text)}
    assert wanted - families == set()


@pytest.mark.prometheus
@pytest.mark.parametrize(
    "command",
    [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
        ["test", "rules", "alerts_slow_test.yml"],
    ],
    ids=" ".join,
)
def test_promtool_finds_nothing_wrong(command: list[str]) -> None:
    result = subprocess.run(
        ["promtool", *command], cwd=PROMETHEUS, capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_dashboard_asks_the_provisioned_source() -> None:
    folder = ROOT / "deploy/grafana/provisioning/datasources"
    [source] = yaml.safe_load((folder / "prometheus.yml").read_text())["datasources"]
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = {target["datasource"]["uid"] for panel in panels for target in panel["targets"]}
    assert asked == {source["uid"]}
    assert len({panel["id"] for panel in panels}) == len(panels)

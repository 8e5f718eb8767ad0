"""What is measured: each scenario is one kind of load, run against every target in turn."""

from __future__ import annotations

from dataclasses import dataclass

from bench.configs import ENDPOINTS
from bench.load import Recipe


@dataclass(frozen=True)
class Scenario:
    """Closed-loop load over `connections` (None: as asked on the command line)."""

    name: str
    title: str
    recipe: Recipe
    connections: int | None = None


SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario("keys", "GET, 0.2 KiB JSON, 20,000 users over 45 endpoints", Recipe.keys(ENDPOINTS - 5)),
        Scenario("fixed", "GET, 0.2 KiB JSON, one user, one endpoint", Recipe.fixed()),
        Scenario("c1", "one connection, 0.2 KiB JSON", Recipe.fixed(), 1),
        Scenario("c1000", "1,000 connections, 0.2 KiB JSON", Recipe.fixed(), 1000),
        Scenario("get-10k", "GET, 10 KiB response", Recipe.fixed("/resource7/10k")),
        Scenario("get-1000k", "GET, 1,000 KiB response", Recipe.fixed("/resource7/1000k"), 16),
        Scenario("post-200", "POST, 0.2 KiB body", Recipe.fixed(method="POST", body=200)),
        Scenario("post-10k", "POST, 10 KiB body", Recipe.fixed(method="POST", body=10 * 1024)),
        Scenario("post-1000k", "POST, 1,000 KiB body", Recipe.fixed(method="POST", body=1000 * 1024), 16),
        Scenario("connect", "a new connection for each request", Recipe.fixed(close=True)),
    )
}
DEFAULT = ("keys", "fixed")

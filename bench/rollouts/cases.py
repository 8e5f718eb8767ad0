"""What is simulated. Each case plays one seed; `python -m bench.rollouts` plays many, the tests a few."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Final

from bench.rollouts.runs import CAREFUL, HOUR, Rollout, Run, alone
from bench.rollouts.world import DAY, Harm, Traffic, World

ENDED: Final = ("done", "rolled_back")
ENDPOINTS: Final = 10
OUTAGE: Final = 60.0  # seconds


def equal(seed: int, endpoints: int = ENDPOINTS, days: float = 7.0) -> list[Run]:
    """A/A: the endpoints of one plan over a week, nothing wrong with async alone.

    1 % of the requests are reset on both sides, one user in 200 always fails on both, everything fails for a
    minute at some time in the first six hours, and async is deployed three times.
    """
    chance = random.Random(f"equal {seed}")
    begins = chance.uniform(0, 6 * HOUR)
    deploys = sorted(chance.uniform(0, 2 * DAY) for _ in range(3))
    harm = Harm(resets=0.01, broken=0.005, refused=0.02, outage=(begins, begins + OUTAGE))
    runs = []
    for endpoint in range(endpoints):
        rate = 10 ** chance.uniform(-1, 2)
        traffic = Traffic(rate, round(10 ** chance.uniform(2, 4.5)), unkeyed=chance.choice((0.0, 0.0, 0.03)))
        rollout = Rollout(CAREFUL, World(seed * 100 + endpoint, traffic, harm), endpoints)
        now = 0.0
        for number, until in enumerate([*deploys, days * DAY]):
            interval = min(300.0, max(60.0, 100 / rate)) if now < DAY else 600.0
            run = rollout.play(now, min(until, days * DAY), interval, ENDED)
            now = until
            rollout.deploy(str(number + 2))
        runs.append(run)
    return runs


def dead(seed: int, outage: bool, rate: float = 20.0) -> Run:
    """At 1 %; async answers nothing from some time on, which may be soon after an outage of both."""
    chance = random.Random(f"dead {seed}")
    begins = chance.uniform(30, 590)
    dies = begins + OUTAGE + chance.uniform(1, 120)
    harm = Harm(outage=(begins, begins + OUTAGE) if outage else (0.0, 0.0), dead_from=dies)
    rollout = Rollout(alone(CAREFUL, 100), World(seed, Traffic(rate, 20_000), harm))
    run = rollout.play(0.0, dies, 1.0, ENDED)
    run = rollout.play(dies, dies + HOUR, 1.0, ENDED) if run.state not in ENDED else run
    run.at -= dies
    return run


def five_times(seed: int) -> Run:
    """At 10 %: one in 500 requests fails on legacy, one in 100 on async."""
    harm = Harm(resets=0.002, more_resets=0.008)
    rollout = Rollout(alone(CAREFUL, 1000), World(seed, Traffic(50.0, 20_000), harm))
    return rollout.play(0.0, 6 * HOUR, 1.0, ENDED)


def one_in_a_hundred(seed: int, slower: bool = True, days: float = 2.0) -> Run:
    """The whole plan at 2 requests per second; one user in 100 fails on async, always, and none on legacy."""
    plan = CAREFUL if slower else replace(CAREFUL, advance=replace(CAREFUL.advance, slower=None))
    rollout = Rollout(plan, World(seed, Traffic(2.0, 20_000), Harm(broken_on_async=0.01)))
    return rollout.play(0.0, days * DAY, 120.0, ENDED)

"""Says what has become of a rollout: log, audit log, history, webhook, metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from proxy.control.log import log
from proxy.control.rollouts.webhook import Webhooks
from proxy.core.rollout.facts import RolloutChange
from proxy.core.rollout.position import RolloutPosition
from proxy.core.settings import RolloutPlan
from proxy.core.timestamps import timestamp
from proxy.core.traffic.authors import NOBODY, Author
from proxy.core.weights import percent
from proxy.store import audit, rollouts
from proxy.store.rollouts import Past


class Told(NamedTuple):
    """One change, of the position that it led to. `author`: nobody, where the evidence decided."""

    time: float  # Unix seconds
    plan: RolloutPlan | None
    position: RolloutPosition
    change: RolloutChange
    author: Author = NOBODY

    def __str__(self) -> str:
        """Such as `GET /a: running (5 -> 25): ...`."""
        before, weight = percent(self.change.before), percent(self.change.weight)
        moved = f"{before} -> {weight}" if before != weight else f"at {weight}"
        state = self.change.to.replace("_", " ")
        return f"{self.position.endpoint}: {state} ({moved}): {self.change.text}"

    def as_json(self) -> dict[str, Any]:
        """For the webhook and the history; weights are percent."""
        position, change = self.position, self.change
        return {
            "time": timestamp(self.time),
            "endpoint": position.endpoint,
            "plan": position.plan,
            "state": change.to,
            "why": change.why,
            "reason": change.text,
            "before": change.before / 100,
            "weight": change.weight / 100,
            "step": position.step,
            "attempt": position.attempt,
            "version": position.version,
            "author": str(self.author),
            "evidence": dict(change.evidence),
        }


async def record(connection: AsyncConnection, changes: Iterable[Told]) -> None:
    """In the audit log and in the history, in the transaction of the change itself."""
    changes = list(changes)
    for each in changes:
        details = {**each.as_json(), "lines": [str(each)], "claimed": each.author.claimed}
        action = f"rollout {each.change.to}".replace("_", " ")
        await audit.append(connection, each.time, each.author.name, action, details)
    past = [Past(each.time, each.position.endpoint, each.as_json()) for each in changes]
    await rollouts.remember(connection, past)


def announce(changes: Iterable[Told], webhooks: Webhooks, counted: Counter[tuple[str, str, str]]) -> None:
    """To people and programs, once it is so."""
    for each in changes:
        change = each.change
        level = log.error if change.to == "rolled_back" else log.info
        level("rollout of %s", each)
        counted[each.position.endpoint, change.to, change.why] += 1
        if each.plan is not None and each.plan.webhook:
            webhooks.send(each.plan.webhook, each.as_json())

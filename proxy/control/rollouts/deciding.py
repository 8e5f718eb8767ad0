"""Asks the core what is next for each rollout, and keeps the evidence between two looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from proxy.control.log import log
from proxy.control.rollouts.about import About, about
from proxy.control.rollouts.board import Board
from proxy.control.rollouts.gathering import Gatherer, RolloutLook
from proxy.core.rollout.decision import decide_group
from proxy.core.rollout.evidence import NOTHING, Evidence, from_json
from proxy.core.rollout.facts import GroupMember, Next
from proxy.core.settings import Endpoint, RolloutPlan
from proxy.store.rollouts import RolloutRow


class Decided(NamedTuple):
    """What the core says of one endpoint, and the row that it was asked about."""

    endpoint: Endpoint
    plan: RolloutPlan
    row: RolloutRow
    next: Next
    about: About

    @property
    def moved(self) -> bool:
        """Whether there is something to store at once."""
        return self.next.position != self.row.position or bool(self.next.changes)

    @property
    def falls(self) -> bool:
        """A rollback that has to be in force at once."""
        after = self.next.position
        return after.state == "rolled_back" and after.weight < self.row.position.weight


class Decider:
    def __init__(self, board: Board, gatherer: Gatherer) -> None:
        self._board = board
        self._gatherer = gatherer
        self._evidence: dict[str, Evidence] = {}

    def __contains__(self, endpoint: str) -> bool:
        return endpoint in self._evidence

    def forget(self) -> None:
        """Somebody else goes on from here; what is known here will be old."""
        self._evidence.clear()

    def recall(self, endpoint: Endpoint, text: str) -> None:
        """Goes on with what was stored; evidence of an earlier version begins anew."""
        assert endpoint.plan is not None
        try:
            found = from_json(endpoint.plan, msgspec.json.decode(text)) if text else NOTHING
        except ValueError as error:  # msgspec's errors are of this kind
            log.warning("the evidence on %s begins anew: %s", endpoint.name, error)
            found = NOTHING
        self._evidence[endpoint.name] = found

    def decide(self, look: RolloutLook) -> list[Decided]:
        """All endpoints with a plan. What is decided holds once it is `taken`."""
        decided = []
        for plan, group in _groups(look.snapshot.endpoints):
            rows = {each.name: row for each in group if (row := self._board.row(each)) is not None}
            members = [each for each in group if each.name in rows]
            found = decide_group(
                [self._member(look, each, plan, rows[each.name]) for each in members], look.now
            )
            decided += [
                Decided(each, plan, rows[each.name], next, self._about(look, rows[each.name], next))
                for each, next in zip(members, found, strict=True)
            ]
        return decided

    def taken(self, decided: Decided) -> None:
        self._evidence[decided.endpoint.name] = decided.next.evidence

    def _member(
        self, look: RolloutLook, endpoint: Endpoint, plan: RolloutPlan, row: RolloutRow
    ) -> GroupMember:
        facts = self._gatherer.facts(look, endpoint, row.position, about(row.about))
        return GroupMember(plan, row.position, self._evidence.get(endpoint.name, NOTHING), facts)

    def _about(self, look: RolloutLook, row: RolloutRow, next: Next) -> About:
        return self._gatherer.about(look, row.endpoint, next.position, about(row.about))


def _groups(endpoints: tuple[Endpoint, ...]) -> Iterator[tuple[RolloutPlan, list[Endpoint]]]:
    """Endpoints with one group and plan move together."""
    groups: dict[tuple[str, str], list[Endpoint]] = {}
    plans: Mapping[str, RolloutPlan] = {each.plan.name: each.plan for each in endpoints if each.plan}
    for endpoint in endpoints:
        if endpoint.plan is not None:
            groups.setdefault((endpoint.plan.name, endpoint.group), []).append(endpoint)
    for (name, _), members in groups.items():
        yield plans[name], members

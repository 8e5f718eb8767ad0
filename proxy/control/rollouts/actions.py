"""What people do to rollouts: each is a compare-and-swap on the stored rows, whoever leads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from proxy.control.errors import Refusal
from proxy.control.reload import InForce
from proxy.control.rollouts.about import about
from proxy.control.rollouts.board import Board
from proxy.control.rollouts.database import Database
from proxy.control.rollouts.listed import NO_ROLLOUT, listed
from proxy.control.rollouts.runner import Runner
from proxy.control.rollouts.telling import Told, announce, record
from proxy.control.rollouts.webhook import Webhooks
from proxy.core.rollout.actions import Action, ActionRefused, act
from proxy.core.settings import Endpoint, RolloutPlan
from proxy.core.traffic.authors import Author
from proxy.store import StoreUnavailable, audit, rollouts
from proxy.store.rollouts import Freeze, RolloutRow

TRIES: Final = 3  # somebody else may change the row at the same moment

Done = list[tuple[Told, RolloutRow]]


class _Overtaken(Exception):
    """Somebody else has changed a row since it was read; the transaction is rolled back."""


class Actions:
    def __init__(
        self, in_force: InForce, board: Board, database: Database, runner: Runner, webhooks: Webhooks
    ) -> None:
        self._in_force = in_force
        self._board = board
        self._database = database
        self._runner = runner
        self._webhooks = webhooks

    async def perform(self, action: Action, name: str, author: Author, reason: str = "") -> list[str]:
        """The endpoints that it was done to: those of one group and plan move together. Raises Refusal."""
        endpoint, plan = self.find(name)
        members = self._members(endpoint, plan)
        async with self._runner.lock:
            try:
                done = await self._stored(action, endpoint, members, author, reason)
            except StoreUnavailable as error:
                if action != "abort":
                    raise Refusal(503, f"the state database does not answer: {error}") from error
                done = self._change(action, endpoint, members, author, reason)
                for told, _ in done:  # lowering is never refused; the database hears of it when it is back
                    self._board.lowered[told.position.endpoint] = told.position
            self._runner.place()
        announce([told for told, _ in done], self._webhooks, self._board.changes)
        return [told.position.endpoint for told, _ in done]

    async def freeze(self, frozen: bool, author: Author, reason: str) -> Freeze:
        """Nothing advances anywhere, or may again. Raises Refusal."""
        for _ in range(TRIES):
            try:
                found = await self._freeze(frozen, author, reason)
            except StoreUnavailable as error:
                raise Refusal(503, f"the state database does not answer: {error}") from error
            if found is not None:
                self._board.freeze = found
                return found
        raise Refusal(409, "somebody else has just changed it; look again")

    def find(self, name: str) -> tuple[Endpoint, RolloutPlan]:
        """Raises Refusal for an endpoint that is not in a rollout."""
        endpoint = listed(self._in_force.loaded.snapshot, name)
        if endpoint.plan is None:
            raise Refusal(404, NO_ROLLOUT.format(name))
        return endpoint, endpoint.plan

    def _members(self, endpoint: Endpoint, plan: RolloutPlan) -> list[Endpoint]:
        return [
            each
            for each in self._in_force.loaded.snapshot.endpoints
            if each.plan is not None and (each.plan.name, each.group) == (plan.name, endpoint.group)
        ]

    async def _stored(
        self, action: Action, endpoint: Endpoint, members: Sequence[Endpoint], author: Author, reason: str
    ) -> Done:
        for _ in range(TRIES):
            try:
                async with self._database.transaction() as connection:
                    stored = await rollouts.rows(connection, evidence=False)
                    self._board.take_rows(stored, self._in_force.loaded.snapshot)
                    done = self._change(action, endpoint, members, author, reason)
                    kept = [(told, await self._swap(connection, told, row)) for told, row in done]
            except _Overtaken:
                continue
            for _, row in kept:
                self._board.stored(row)
                self._board.results.pop(row.endpoint, None)
            return kept
        raise Refusal(409, "somebody else has just changed it; look again")

    async def _swap(self, connection: AsyncConnection, told: Told, row: RolloutRow) -> RolloutRow:
        newer = await rollouts.swap(connection, row)
        if newer is None:
            raise _Overtaken
        await record(connection, [told])
        return newer

    def _change(
        self, action: Action, endpoint: Endpoint, members: Sequence[Endpoint], author: Author, reason: str
    ) -> Done:
        """The named one first: what is refused to it is refused; the others go with it if they can."""
        done: Done = []
        for each in sorted(members, key=lambda member: member is not endpoint):
            row = self._board.row(each)
            if row is None or each.plan is None:
                continue
            try:
                done.append(self._one(action, each.plan, row, author, reason))
            except ActionRefused as refusal:
                if each is endpoint:
                    raise Refusal(409, str(refusal)) from refusal
        return done

    def _one(
        self, action: Action, plan: RolloutPlan, row: RolloutRow, author: Author, reason: str
    ) -> tuple[Told, RolloutRow]:
        last = self._board.results.get(row.endpoint)
        target = about(row.about).shown.get("target") if last is None else last.target
        who = f"by {author}" if str(author) else "by a person"
        now = self._runner.now()
        position, change = act(action, plan, row.position, target, now, f"{who}: {reason}" if reason else who)
        return Told(now, plan, position, change, author), row._replace(position=position, evidence=None)

    async def _freeze(self, frozen: bool, author: Author, reason: str) -> Freeze | None:
        now = self._runner.now()
        async with self._database.transaction() as connection:
            known = await rollouts.freeze(connection)
            if known.frozen == frozen:
                raise Refusal(409, "the rollouts are frozen already" if frozen else "nothing is frozen")
            newer = await rollouts.swap_freeze(
                connection, Freeze(known.generation, frozen, reason, str(author), now)
            )
            if newer is not None:
                action = "rollouts frozen" if frozen else "rollouts unfrozen"
                details = {"reason": reason, "claimed": author.claimed}
                await audit.append(connection, now, author.name, action, details)
        return newer

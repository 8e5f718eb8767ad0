"""What this control process knows of the rollouts: as stored, as begun here, and as lowered here.

Three things may say where an endpoint stands. A *row* is what the state database has, or had when it last
answered. A *draft* is how an endpoint begins whose plan is new in the file, until the database has it. A
*lowered* position is a rollback of our own that the database may not know; it holds until it does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from proxy.control.rollouts.about import About, about, digest
from proxy.control.rollouts.force import on_the_wire
from proxy.control.rollouts.kept import Keeper
from proxy.core.rollout.facts import Next
from proxy.core.rollout.moves import initial
from proxy.core.rollout.position import RolloutPosition
from proxy.core.routing.phases import RolloutStanding
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import Endpoint, RolloutPlan
from proxy.core.weights import percent
from proxy.core.wire.messages import EndpointPosition
from proxy.store.rollouts import Freeze, RolloutRow


@dataclass(frozen=True, slots=True)
class Draft:
    """`row` is to take the place of the stored one with the generation `base`; None: whichever there is.

    `placeholder`: nothing is known of what is stored, and whatever it is comes first.
    """

    row: RolloutRow
    base: int | None = None
    placeholder: bool = False


class Board:
    """`snapshot` is the effective one in force, `clock` Unix seconds."""

    def __init__(self, snapshot: Callable[[], Snapshot], keeper: Keeper, clock: Callable[[], float]) -> None:
        self._snapshot = snapshot
        self._keeper = keeper
        self._clock = clock
        self.rows: dict[str, RolloutRow] = {}
        self.drafts: dict[str, Draft] = {}
        self.lowered: dict[str, RolloutPosition] = {}
        self.results: dict[str, Next] = {}  # of the last decision here
        self.freeze = Freeze()
        self.problem = "the state database has not been read yet"  # why what is known may be old
        self.leads = False
        self.leader = ""
        self.changes: Counter[tuple[str, str, str]] = Counter()  # by endpoint, to, why
        self.cold = True  # nothing was in force before

    # Who stands where

    def row(self, endpoint: Endpoint) -> RolloutRow | None:
        """As it holds here; None for an endpoint without a plan."""
        if endpoint.plan is None:
            return None
        draft = self.drafts.get(endpoint.name)
        found = self.rows.get(endpoint.name) if draft is None else draft.row
        lowered = self.lowered.get(endpoint.name)
        if found is None or lowered is None:
            return found
        return found._replace(position=lowered._replace(generation=found.position.generation))

    def position(self, endpoint: Endpoint) -> RolloutPosition | None:
        row = self.row(endpoint)
        return None if row is None else row.position

    def positions(self, snapshot: Snapshot) -> dict[str, RolloutPosition]:
        found = ((each.name, self.position(each)) for each in snapshot.endpoints)
        return {name: position for name, position in found if position is not None}

    def standing(self) -> RolloutStanding:
        positions = self.positions(self._snapshot())
        done = {name for name, each in positions.items() if each.state == "done"}
        return RolloutStanding({name: each.weight for name, each in positions.items()}, done)

    def wire(self, snapshot: Snapshot) -> list[EndpointPosition]:
        """What workers have to know to serve this snapshot."""
        found = ((each.plan, self.position(each)) for each in snapshot.endpoints)
        return [on_the_wire(plan, position) for plan, position in found if plan and position]

    # The file

    def adopt(self, snapshot: Snapshot) -> list[EndpointPosition]:
        """A snapshot is about to be in force: endpoints whose plan is new or another begin a new attempt, at
        the step that is not above their weight of now."""
        before = {each.name: each for each in self._snapshot().endpoints}
        for endpoint in snapshot.endpoints:
            if endpoint.plan is not None:
                self._adopt(endpoint, endpoint.plan, before.get(endpoint.name))
        planned = _planned(snapshot)
        for name in self.drafts.keys() - planned:
            del self.drafts[name]
        for name in self.lowered.keys() - planned:
            del self.lowered[name]
        self.cold = False
        return self.wire(snapshot)

    def _adopt(self, endpoint: Endpoint, plan: RolloutPlan, before: Endpoint | None) -> None:
        known = self.row(endpoint)
        if self.cold:
            if known is None or not fits(plan, known):
                weight = 0 if known is None or about(known.about).ended else known.position.weight
                row = begun(endpoint, plan, known, weight, self._clock())
                self.drafts[endpoint.name] = Draft(row, placeholder=True)
            return
        weighed = before is not None and before.plan is None
        if known is not None and not weighed and fits(plan, known):
            return
        same = None if weighed else known
        row = begun(endpoint, plan, same, 0 if before is None else before.weight, self._clock())
        base = None if same is None else same.position.generation
        self.drafts[endpoint.name] = Draft(row, base, placeholder=before is None)
        self.lowered.pop(endpoint.name, None)

    # The database

    def take_rows(self, stored: Mapping[str, RolloutRow], snapshot: Snapshot) -> None:
        """What the database has now. What it has lost is kept, and stored again."""
        lost = [name for name in self.rows if name not in stored]
        planned = _planned(snapshot) if lost else frozenset()
        for name in lost:
            known = self.rows[name]
            if name in planned and name not in self.drafts:
                again = known._replace(position=known.position._replace(generation=0))
                self.drafts[name] = Draft(again, 0)
        self.rows = dict(stored)
        for endpoint in snapshot.endpoints:
            if endpoint.plan is not None:
                self._settle_draft(endpoint, endpoint.plan, stored.get(endpoint.name))
        for name, lowered in list(self.lowered.items()):
            if (row := stored.get(name)) is not None and is_known(lowered, row.position):
                del self.lowered[name]

    def _settle_draft(self, endpoint: Endpoint, plan: RolloutPlan, row: RolloutRow | None) -> None:
        name, draft = endpoint.name, self.drafts.get(endpoint.name)
        usable = row is not None and fits(plan, row)
        generation = 0 if row is None else row.position.generation
        if draft is None or draft.placeholder:
            if usable:
                self.drafts.pop(name, None)
                return
            weight = 0 if draft is None else draft.row.position.weight
            if row is not None and (draft is None or not about(row.about).ended):
                weight = row.position.weight
            self.drafts[name] = Draft(begun(endpoint, plan, row, weight, self._clock()), generation)
        elif usable and draft.base not in (None, generation):
            del self.drafts[name]  # somebody else has begun it
        elif draft.base != generation:
            attempt = draft.row.position.attempt if row is None else row.position.attempt + 1
            position = draft.row.position._replace(generation=generation, attempt=attempt)
            self.drafts[name] = Draft(draft.row._replace(position=position), generation)

    def stored(self, row: RolloutRow) -> None:
        """It is in the database now."""
        name = row.endpoint
        self.rows[name] = row
        self.drafts.pop(name, None)
        lowered = self.lowered.get(name)
        if lowered is not None and is_known(lowered, row.position):
            del self.lowered[name]

    def keep(self, generation: int) -> None:
        """On disk when it returns. `generation` is that of the positions that workers will be told next."""
        rows = {**self.rows, **{name: each.row for name, each in self.drafts.items()}}
        short = (row._replace(about=replace(about(row.about), shown={}).as_json()) for row in rows.values())
        self._keeper.write(short, self.lowered.values(), generation)

    def recall(self) -> int:
        """What the process before us knew; the generation of the positions that its workers have."""
        kept = self._keeper.read()
        self.rows, self.lowered = kept.rows, kept.lowered
        return kept.generation


def begun(
    endpoint: Endpoint, plan: RolloutPlan, known: RolloutRow | None, weight: int, now: float
) -> RolloutRow:
    """A new attempt, at the highest step that is not above `weight`; from nothing if that is 0.

    A rollout that was rolled back, or is through, stays so: a changed plan is no wish to try again.
    """
    position = initial(plan, endpoint.name, now)
    if known is not None:
        was = known.position
        position = position._replace(attempt=was.attempt + 1, generation=was.generation)
        if not about(known.about).ended and was.state in ("rolled_back", "done", "paused"):
            step = max((each for each, its in enumerate(plan.steps) if its <= was.weight), default=0)
            kept = was._replace(plan=plan.name, step=step, attempt=was.attempt + 1)
            return RolloutRow(kept, None, About(digest(plan)).as_json())
    steps = [each for each, its in enumerate(plan.steps) if 0 < its <= weight]
    if steps:
        step = steps[-1]
        position = position._replace(
            state="running",
            reason=f"the plan begins at {percent(plan.steps[step])} %, where the endpoint was",
            step=step,
            weight=plan.steps[step],
            epoch_began=now,
        )
    return RolloutRow(position, None, About(digest(plan)).as_json())


def ended(row: RolloutRow, reason: str, now: float) -> RolloutRow:
    """The rollout is over, because the file says a weight."""
    kept = replace(about(row.about), ended=True, shown={})
    position = row.position._replace(reason=reason, since=now)
    return RolloutRow(position, None, kept.as_json())


def fits(plan: RolloutPlan, row: RolloutRow) -> bool:
    """Whether the row's attempt goes on, by this plan."""
    kept = about(row.about)
    return not kept.ended and kept.plan == digest(plan)


def is_known(lowered: RolloutPosition, stored: RolloutPosition) -> bool:
    """Whether the database has this rollback, or has gone beyond it with another attempt."""
    if stored.attempt != lowered.attempt:
        return stored.attempt > lowered.attempt
    return stored.state == "rolled_back" and stored.weight <= lowered.weight


def _planned(snapshot: Snapshot) -> frozenset[str]:
    """Names of the endpoints with a plan. Made once for all of them: to ask for each would be quadratic."""
    return frozenset(each.name for each in snapshot.endpoints if each.plan is not None)

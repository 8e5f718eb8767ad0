"""The next position of a rollout. Pure: everything it knows is handed in, and it may be asked at any time.

The order is that of danger: first what was seen is taken in, then a rollback is looked for, which needs
nothing but evidence, and only then whether the weight may rise. What was decided holds for the members of a
group together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from proxy.core.evidence.sequential import above, upper_bound
from proxy.core.evidence.units import Kind, Sides
from proxy.core.rollout import criteria
from proxy.core.rollout.criteria import Missing, Reason
from proxy.core.rollout.evidence import Evidence, epoch_seconds, kinds
from proxy.core.rollout.facts import Facts, GroupMember, Next, RolloutChange
from proxy.core.rollout.moves import again, fallen, fitting, past
from proxy.core.rollout.position import RolloutPosition, State, watched
from proxy.core.settings import FULL_WEIGHT, RolloutPlan
from proxy.core.weights import percent

FALLEN: Final = 3.0  # at 100: async's failing share, as a multiple of legacy's last bound
_FIGURES: Final = re.compile(r"\d[\d.,]*")  # a reason that differs in these alone is not stored again
SHARED: Final = 75.0  # seconds: a failure of what both share is over by then, so at 100 it has to go on

WORDS: Final[dict[Kind, str]] = {
    "failing": "async fails more often than legacy",
    "refused": "async refuses more often than legacy",
    "slower": "async is slow more often than legacy",
}


def decide(
    plan: RolloutPlan, position: RolloutPosition, evidence: Evidence, facts: Facts, now: float
) -> Next:
    """Of an endpoint that is alone in its group. `now` in Unix seconds."""
    return decide_group([GroupMember(plan, position, evidence, facts)], now)[0]


def decide_group(members: Sequence[GroupMember], now: float) -> list[Next]:
    """Of all endpoints with the same group and plan, in the same order."""
    looks = [_Look(each, now) for each in members]
    for look in looks:
        look.take_in()
    _roll_back_together(looks)
    for look in looks:
        look.turn_epoch()
    _advance_together(looks)
    return [look.result() for look in looks]


class _Look:
    """One endpoint while it is decided about: what has become of its position so far, and why."""

    def __init__(self, member: GroupMember, now: float) -> None:
        self.plan: Final = member.plan
        self.facts: Final = member.facts
        self.position = fitting(member.plan, past(member.position, now))
        self.evidence = member.evidence
        self.now: Final = now
        self.changes: list[RolloutChange] = []
        self.missing: list[Missing] = []
        self.against: list[Reason] = []
        self.settled = False
        self.judged: int | None = None  # the step that `against` and `missing` are about

    @property
    def member(self) -> GroupMember:
        return GroupMember(self.plan, self.position, self.evidence, self.facts)

    @property
    def name(self) -> str:
        return self.position.endpoint

    # What was seen

    def take_in(self) -> None:
        """The evidence one look later; at first what begins: an attempt, or another version."""
        if self._is_retried():
            self.to("waiting", "version", f"async has another version: {self.facts.version}")
            self.position = again(self.position)._replace(version=self.facts.version)
        if not self.position.epoch_began:
            self._begin()
        if not watched(self.position):
            self.settled = True
            return
        self.evidence = self.evidence.placed(self.plan, self.position, self.facts.endpoints_in_plan).after(
            self.plan, self.facts.units, self.facts.unkeyed_dealt
        )
        self._note()

    def _is_retried(self) -> bool:
        known, seen = self.position.version, self.facts.version
        stable = self.facts.stable_version_seconds >= criteria.STABLE
        rolled_back = self.position.state == "rolled_back" and self.plan.retry == "version"
        return rolled_back and stable and bool(known) and bool(seen) and known != seen

    def _begin(self) -> None:
        """The first step, once its phase is open and, if it moves anybody, nothing speaks against it."""
        position, weight = self.position, self.plan.steps[0]
        if position.state in ("paused", "rolled_back", "done"):
            return
        phase = self.facts.phase_blocked_by
        reasons = criteria.outside(self.facts) if weight else []
        if phase and not weight:
            reasons = [Reason("phase", f"its phase is not open: {phase}")]
        person = criteria.needs_person(self.member, 0)
        if reasons or person is not None:
            self.against = reasons or [person] if person is not None else reasons
            state: State = "waiting" if reasons else "approval"
            self.to(state, self.against[0].code, _joined(self.against))
            return
        self.stand(0, weight, "started", f"the rollout begins at {percent(weight)} %")

    def _note(self) -> None:
        """What is pinned for this step and attempt, once it is known; another version begins the step
        again."""
        position, facts = self.position, self.facts
        if facts.version and not position.version:
            position = position._replace(version=facts.version)
        if position.slow is None and facts.legacy_p95 is not None:
            position = position._replace(slow=facts.legacy_p95)
        if position.legacy_rate is None and facts.rate[0] > 0:
            position = position._replace(legacy_rate=facts.rate[0])
        self.position = position

    # Rollback

    def cause(self) -> Reason | None:
        """The evidence for which this endpoint has to come back now."""
        if self.settled or not self.position.weight:
            return None
        if self.position.weight == FULL_WEIGHT:
            return self._fallen()
        limit = self.evidence.threshold(self.plan)
        for kind in kinds(self.plan):
            if self.evidence.log_e(kind) >= limit:
                return Reason(kind, f"{WORDS[kind]}: {self._counted(kind)}")
        return None

    def _fallen(self) -> Reason | None:
        """At 100 nobody is left to compare with. What fails for a minute and then goes on failing is not
        a failure of what both backends share."""
        active, failed = self.evidence.active().async_, self.evidence.failed().async_
        bound = self.position.legacy_bound
        limit = min(0.5, FALLEN * (1.0 if bound is None else bound))
        if above(failed, active, limit) < self.evidence.threshold(self.plan):
            return None
        alarm = self.evidence.alarm or self.now
        self.evidence = self.evidence.alarmed(alarm)
        if self.position.epoch_began < alarm + self._patience():
            return None
        text = f"{failed} of {active} users fail on async, legacy had fewer than {100 * (bound or 1):.2g} %"
        return Reason("failing", text)

    def _patience(self) -> float:
        return min(SHARED, self.plan.dwell / 8)

    def _counted(self, kind: Kind) -> str:
        active, failed = self.evidence.active_in_step(), self.evidence.failed_in_step(kind)
        return (
            f"{failed.async_} of {active.async_} users on async, {failed.legacy} of {active.legacy} on legacy"
        )

    def fall(self, reason: Reason) -> None:
        step, weight = fallen(self.plan, self.position)
        if self.position.state != "rolled_back" or weight != self.position.weight:
            text = f"back to {percent(weight)} %: {reason.text}"
            self.stand(step, weight, reason.code, text, "rolled_back")
            self.position = self.position._replace(version=self.facts.version or self.position.version)
        self.settled = True

    # Epochs and versions

    def turn_epoch(self) -> None:
        if not watched(self.position):
            return
        position, facts = self.position, self.facts
        replaced = facts.version not in ("", position.version)
        if replaced and facts.stable_version_seconds >= criteria.STABLE and position.state != "rolled_back":
            self._replaced()
            return
        elapsed = self.now - position.epoch_began
        alarm = self.evidence.alarm
        confirm = bool(alarm) and position.epoch_began < alarm + self._patience() <= self.now
        if elapsed < epoch_seconds(self.plan) and not confirm:
            return
        self.position = position._replace(epoch=position.epoch + 1, epoch_began=self.now)
        self.evidence = self.evidence.closed(self.plan, self.position.label, elapsed)
        if alarm and not confirm:
            self.evidence = self.evidence.alarmed(0.0)
        seen = self.evidence.windows
        if self.position.weight < FULL_WEIGHT and seen.legacy:
            bound = upper_bound(seen.legacy_failed, seen.legacy)
            self.position = self.position._replace(legacy_bound=bound)

    def _replaced(self) -> None:
        """What was seen of one version says nothing about the next: the step begins again."""
        text = f"async has another version: {self.facts.version}; the step begins again"
        position = self.position
        self.stand(position.step, position.weight, "version", text, position.state)
        self.position = self.position._replace(version=self.facts.version)

    # Advance

    def judge(self, step: int | None) -> None:
        """Finds what is against `step` and what is missing for it. None: 100 is in force."""
        if step is None:
            breaker = [each for each in criteria.outside(self.facts) if each.code == "breaker"]
            self.against = breaker
            if self.evidence.alarm:
                self.against = [*breaker, Reason("failing", "async fails; is it what both backends share?")]
            return
        self.judged = step
        self.against = criteria.against(self.member)
        self.missing = criteria.missing(self.member, self.plan.steps[step], self.now)

    @property
    def left(self) -> float:
        """At 100, time counts only while nothing speaks against it: what a breaker keeps from async shows
        nothing of how it does."""
        position = self.position
        if position.weight == FULL_WEIGHT and position.state != "done":
            since = position.since if position.state == "running" and not self.against else self.now
            position = position._replace(stepped=max(position.stepped, since))
        return criteria.dwell_left(self.plan, position, self.now)

    @property
    def ready(self) -> bool:
        return not (self.settled or self.against or self.missing or self.left)

    def needs_person(self, step: int) -> Reason | None:
        return criteria.needs_person(self.member, step)

    def stay(self, step: int | None, target: int | None, others: Sequence[_Look]) -> None:
        """It stays where it is, and says why."""
        if self.position.state == "paused":
            return
        if self.ready and step is None:
            self.to("done", "dwell", "at 100 %, and async went on as before")
            return
        person = self.needs_person(target) if target is not None and self.position.step < target else None
        if self.ready and person is not None:
            self.to("approval", person.code, person.text)
            return
        if self.ready and others:
            self.against = [Reason("group", f"waits for {others[0].name} of its group")]
        if self.against:
            self.to("holding", self.against[0].code, _joined(self.against))
        elif self.missing and not self.left:
            self.to("holding", self.missing[0].reason.code, _joined([each.reason for each in self.missing]))
        else:
            at_the_end = self.position.weight == FULL_WEIGHT
            what = "watching whether async goes on as before" if at_the_end else "gathering evidence"
            self.to("running", "running", f"at {percent(self.position.weight)} %, {what}")

    def advance(self, step: int) -> None:
        weight = self.plan.steps[step]
        text = f"from {percent(self.position.weight)} to {percent(weight)} %: {self._proof()}"
        if self.facts.legacy_capacity:
            text += f"; in doubt: {self.facts.legacy_capacity}"
        why = "approved" if self.position.approved == weight else "evidence"
        self.stand(step, weight, why, text)

    def _proof(self) -> str:
        seen = self.evidence.windows
        if not self.position.weight:
            return "nobody was on async yet"
        return (
            f"{seen.async_failed} of {seen.async_} users failed on async, "
            f"{seen.legacy_failed} of {seen.legacy} on legacy"
        )

    # Changes

    def stand(self, step: int, weight: int, why: str, text: str, state: State = "running") -> None:
        """At this step from now on, in a new epoch."""
        old = self.position
        p95 = self.facts.legacy_p95
        position = old._replace(
            step=step,
            stepped=self.now,
            epoch=old.epoch + 1 if old.epoch_began else old.epoch,
            epoch_began=self.now,
            slow=old.slow if p95 is None else p95,
            approved=None,
        )
        self._change(position._replace(weight=weight), state, why, text)
        if watched(self.position):
            self.evidence = self.evidence.placed(self.plan, self.position, self.facts.endpoints_in_plan)

    def to(self, state: State, why: str, text: str) -> None:
        if self.position.state == state:
            if _FIGURES.sub("", self.position.reason) != _FIGURES.sub("", text):
                self.position = self.position._replace(reason=text)
        else:
            self._change(self.position, state, why, text)

    def _change(self, position: RolloutPosition, state: State, why: str, text: str) -> None:
        before = self.position
        since = before.since if before.state == state else self.now
        self.changes.append(
            RolloutChange(state, why, text, before.weight, position.weight, self._evidence(position.weight))
        )
        self.position = position._replace(state=state, reason=text, since=since)

    def _evidence(self, weight: int) -> dict[str, object]:
        """Figures for the audit log, as they were at the change."""
        active, seen, member = self.evidence.active(), self.evidence.windows, self.member
        return {
            "active": {"legacy": active.legacy, "async": active.async_},
            "failed": self._failed(self.evidence.failed),
            "failed_in_step": self._failed(self.evidence.failed_in_step),
            "windows": {
                "legacy": [seen.legacy_failed, seen.legacy],
                "async": [seen.async_failed, seen.async_],
            },
            "e_values": criteria.e_values(member),
            "threshold": criteria.shown(self.evidence.threshold(self.plan)),
            "bounds": criteria.bounds(member, weight),
            "epoch": self.position.epoch,
            "version": self.position.version,
        }

    def _failed(self, count: Callable[[Kind], Sides]) -> dict[str, dict[str, int]]:
        found = {kind: count(kind) for kind in kinds(self.plan)}
        return {kind: {"legacy": each.legacy, "async": each.async_} for kind, each in found.items()}

    def _target(self, member: GroupMember) -> int | None:
        """The step that was judged, which may be that of its group; after an advance the one after it."""
        if self.judged is not None and self.judged > self.position.step:
            return self.judged
        return criteria.target_step(member)

    def result(self) -> Next:
        member = self.member
        begun = bool(self.position.epoch_began) and self.position.state not in ("rolled_back", "done")
        step = self._target(member) if begun else None
        target = self.plan.steps[step] if step is not None else None
        texts = [each.text for each in self.against] + [each.text for each in self.missing]
        left = self.left if begun else 0.0
        if left:
            texts.append(f"{left:.0f} s at this step")
        etas = [each.eta for each in self.missing] + [None] * len(self.against)
        known = [each for each in etas if each is not None]
        return Next(
            self.position,
            self.evidence,
            tuple(self.changes),
            target,
            tuple(texts),
            max([left, *known]) if len(known) == len(etas) else None,
            criteria.bounds(member, target),
            criteria.needed(member, target),
            criteria.e_values(member),
            criteria.shown(self.evidence.threshold(self.plan)),
            self.facts.legacy_capacity if target is not None else "",
        )


def _roll_back_together(looks: Sequence[_Look]) -> None:
    causes = [(look, cause) for look in looks if (cause := look.cause()) is not None]
    for look, cause in causes:
        look.fall(cause)
    if not causes:
        return
    first, cause = causes[0]
    for look in looks:
        if not look.settled and look.position.state != "rolled_back":
            look.fall(Reason("together", f"together with {first.name}: {cause.text}"))


def _advance_together(looks: Sequence[_Look]) -> None:
    """All members that have begun and are not through go to the next step together, or none does."""
    moving = [look for look in looks if not look.settled and look.position.state != "rolled_back"]
    own = [criteria.target_step(look.member) for look in moving]
    target = min((step for step in own if step is not None), default=None)
    behind = []
    for look, step in zip(moving, own, strict=True):
        if target is not None and look.position.step < target:
            behind.append(look)
            step = target
        look.judge(step)
    blocking = [] if target is None else [look for look in looks if _blocks(look, target)]
    for look, step in zip(moving, own, strict=True):
        if look in behind and target is not None and not blocking:
            look.advance(target)
        else:
            others = blocking if look in behind else blocking or behind
            look.stay(step, target, [each for each in others if each is not look])


def _blocks(look: _Look, target: int) -> bool:
    """Whether others of its group may not go to `target` because of this one."""
    position = look.position
    if position.state == "rolled_back":
        return True
    if not position.epoch_began or position.state == "done" or position.step >= target:
        return False
    return position.state == "paused" or not look.ready or look.needs_person(target) is not None


def _joined(reasons: Sequence[Reason]) -> str:
    return "; ".join(each.text for each in reasons)

"""What speaks against a rollout's next step, and what is still missing for it. Pure."""

from __future__ import annotations

from math import exp, log
from typing import Final, NamedTuple

from proxy.core.evidence.sequential import CONFIDENCE, below, missing_units, upper_bound
from proxy.core.evidence.units import BUCKETS, KINDS, UNITS
from proxy.core.rollout.evidence import Evidence, epoch_seconds, kinds, slower_ratios
from proxy.core.rollout.facts import Facts, GroupMember
from proxy.core.rollout.position import RolloutPosition
from proxy.core.settings import FULL_WEIGHT, RolloutPlan
from proxy.core.weights import percent

SAMPLE_RATIO: Final = log(1 / 0.001)
SUSPECT: Final = log(5.0)  # of async failing more often: then its bound is not discounted by the weight
MANY: Final = 2500  # hundredths of a percent: who goes there has shown all that the plan asks
REFUSES: Final = log(100.0)  # of async refusing more often: it holds, long before it comes back
UNKEYED: Final = 0.05  # of the requests; more and the last step waits for a person
KNOWN: Final = 20  # users of whole epochs; of fewer nobody knows which step would move any
STABLE: Final = 60.0  # seconds that a version of async has to be alone before it counts
MOST: Final = 1e12  # of an e-value that is shown


class Reason(NamedTuple):
    """`code` is a word for a metric's label, `text` for people, without figures that change all the time."""

    code: str
    text: str


class Missing(NamedTuple):
    """`eta` in seconds at this traffic; None: never."""

    reason: Reason
    text: str
    eta: float | None


def against(member: GroupMember) -> list[Reason]:
    """All that forbids to raise the weight now, however good the evidence is."""
    _, position, evidence, facts = member
    found = [*outside(facts)]
    if facts.version and position.version and facts.version != position.version:
        found.append(Reason("version", "async is being replaced by another version"))
    if facts.legacy_worse:
        doubt = f"; {facts.legacy_capacity}" if facts.legacy_capacity else ""
        found.append(Reason("legacy", f"legacy is worse than usual: {facts.legacy_worse}{doubt}"))
    if evidence.dealt_wrongly(facts.unkeyed_dealt) >= SAMPLE_RATIO:
        found.append(Reason("sample_ratio", "async's share of the users is not what the weight says"))
    if facts.parity is not None and facts.parity.verdict == "differs" and _asks_parity(member):
        found.append(Reason("parity", "the comparison says: differs"))
    if evidence.log_e_step("refused") >= REFUSES:
        found.append(Reason("refused", "async refuses more users than legacy"))
    return found


def outside(facts: Facts) -> list[Reason]:
    """What forbids to raise any weight, whatever the rollout has seen."""
    found = []
    if facts.unavailable:
        found.append(Reason("unavailable", facts.unavailable))
    if facts.frozen:
        found.append(Reason("frozen", f"frozen: {facts.frozen}"))
    if facts.phase_blocked_by:
        found.append(Reason("phase", f"its phase is not open: {facts.phase_blocked_by}"))
    if not facts.in_hours:
        found.append(Reason("hours", "outside the plan's hours"))
    if facts.breaker_open:
        found.append(Reason("breaker", "a breaker is open"))
    return found


def missing(member: GroupMember, target: int, now: float) -> list[Missing]:
    """The plan's positive evidence that is not there yet for a step to `target`. Dwell is not among it."""
    _, position, evidence, _ = member
    found = [_traffic(evidence)] if position.weight == 0 else []
    if position.weight:
        found += [_failing(member, target, now), _slower(member, target, now)]
    return [each for each in [*found, _parity(member)] if each is not None]


def dwell_left(plan: RolloutPlan, position: RolloutPosition, now: float) -> float:
    """A time in the future counts as now: a clock that was set back makes nothing come sooner."""
    return max(0.0, plan.dwell - max(0.0, now - position.stepped))


def target_step(member: GroupMember) -> int | None:
    """The next step; one that moves nobody is skipped. None at the end.

    Who moves is known only once enough users have been here for a whole epoch. Of the few of the first
    moment, or of a single monitor, none may be in a small step, and all users would follow in a large one.
    """
    plan, position, evidence, facts = member
    rest = range(position.step + 1, len(plan.steps))
    if not rest:
        return None
    if evidence.windows.legacy + evidence.windows.async_ < KNOWN:
        return rest[0]
    moving = (step for step in rest if evidence.moves(position.weight, plan.steps[step], facts.unkeyed_dealt))
    return next(moving, rest[0])


def needs_person(member: GroupMember, step: int) -> Reason | None:
    """Why a step waits for a person, unless one has agreed to it."""
    plan, position, _, facts = member
    weight = plan.steps[step]
    if position.approved == weight:
        return None
    first = position.step + 1 if position.epoch_began else 0
    if any(plan.steps[each] in plan.approve for each in range(first, step + 1)):
        return Reason("approval", f"the step to {percent(weight)} % waits for a person's approval")
    if weight == FULL_WEIGHT and facts.unkeyed_share > UNKEYED:
        text = "many requests have no sticky key, so the last step waits for a person's approval"
        return Reason("unkeyed", text)
    return None


def failing_limit(limit: float, target: int) -> float:
    """The bound that async's failing share has to come down to before the step to `target`.

    At a smaller weight fewer users meet what fails, so a larger share may. That ends at MANY: a fault of
    just the share that the plan allows would otherwise pass with a handful of users who happen to be well,
    and then meets a quarter of all of them.
    """
    return limit if target >= MANY else limit * FULL_WEIGHT / target


# One thing that the plan asks


def _traffic(evidence: Evidence) -> Missing | None:
    if evidence.step.active or evidence.step.legacy[0] or evidence.step.async_[0]:
        return None
    return Missing(Reason("traffic", "no traffic"), "any request at all", None)


def _failing(member: GroupMember, target: int, now: float) -> Missing | None:
    plan, position, evidence, _ = member
    limit, ratio = plan.advance.failing, plan.advance.no_worse
    if limit is None and ratio is None:
        return None
    if ratio is not None and evidence.failing_no_worse >= CONFIDENCE:
        return None
    etas, texts = [], []
    if limit is not None:
        bound, why = _limit(evidence, limit, target)
        more = _users_missing(evidence, bound)
        if not more:
            return None
        etas.append(_until_users(plan, position, evidence, more, now))
        texts.append(f"{more:,} more users on async without a failure (bound {bound * 100:.3g} %{why})")
    if ratio is not None:
        etas.append(_until(evidence.failing_no_worse, position, now))
        texts.append(
            f"evidence that async fails no more than {ratio:g} times as often "
            f"(E = {exp(evidence.failing_no_worse):.2g} of 20)"
        )
    known = [each for each in etas if each is not None]
    reason = Reason("failing", "too little is known about failures on async")
    return Missing(reason, ", or ".join(texts), min(known, default=None))


def _limit(evidence: Evidence, limit: float, target: int) -> tuple[float, str]:
    """Nothing is forgiven where async seems to be the cause."""
    if evidence.log_e_step("failing") >= SUSPECT:
        return min(limit, 1.0), ", since more fail on async than on legacy"
    return failing_limit(limit, target), ""


def _users_missing(evidence: Evidence, bound: float) -> int:
    if bound >= 1.0:
        return 0
    seen = evidence.windows
    if seen.async_ and below(seen.async_failed, seen.async_, bound) >= CONFIDENCE:
        return 0
    return missing_units(seen.async_failed, seen.async_, bound)


def _slower(member: GroupMember, target: int, now: float) -> Missing | None:
    plan, position, evidence, _ = member
    found = evidence.slower_bounded.get(target, 0.0)
    if plan.advance.slower is None or found >= CONFIDENCE:
        return None
    ratio = slower_ratios(plan, position.weight).get(target, plan.advance.slower)
    text = f"evidence that async is slow no more than {ratio:.3g} times as often (E = {exp(found):.2g} of 20)"
    reason = Reason("slower", "too little is known about how fast async is")
    return Missing(reason, text, _until(found, position, now))


def _asks_parity(member: GroupMember) -> bool:
    return member.plan.advance.parity is not None


def _parity(member: GroupMember) -> Missing | None:
    asked, seen = member.plan.advance.parity, member.facts.parity
    if asked is None or (seen is not None and seen.verdict == "likely equal" and seen.bound <= asked):
        return None
    reason = Reason("parity", "the comparison does not say `likely equal` yet")
    bound = "nothing was compared" if seen is None else seen.verdict
    if seen is not None and seen.bound < 1:
        bound += f", bound {seen.bound * 100:.2g} %"
    text = f"a comparison that says `likely equal` with a bound of {asked * 100:.2g} % ({bound})"
    return Missing(reason, text, seen.eta if seen is not None else None)


# How long it takes


def _until(log_e: float, position: RolloutPosition, now: float) -> float | None:
    """If it goes on to grow as it has in this step."""
    elapsed = now - position.stepped
    if log_e <= 0 or elapsed <= 0:
        return None
    return (CONFIDENCE - log_e) * elapsed / log_e


def _until_users(
    plan: RolloutPlan, position: RolloutPosition, evidence: Evidence, more: int, now: float
) -> float | None:
    """Until windows of so many more users are over. There are not more of them than async's share has."""
    elapsed = max(0.0, now - position.epoch_began)
    pending = evidence.pending()
    left = max(0.0, epoch_seconds(plan) - elapsed)
    if pending >= more:
        return left
    keyed_only = not evidence.now.async_[0]
    pool = UNITS // BUCKETS * position.weight
    if keyed_only and evidence.windows.async_ + more > pool:
        return None
    rate = evidence.fresh or (pending / elapsed if elapsed > 0 else 0.0)
    return left + (more - pending) / rate if rate > 0 else None


# For those who look


def bounds(member: GroupMember, target: int | None) -> dict[str, float | None]:
    """`no_worse` and `slower` are e-values that have to reach 20; the others are shares, 1 if unknown."""
    plan, position, evidence, facts = member
    seen, asked = evidence.windows, plan.advance
    return {
        "failing": upper_bound(seen.async_failed, seen.async_),
        "legacy": upper_bound(seen.legacy_failed, seen.legacy) if seen.legacy else position.legacy_bound,
        "no_worse": shown(evidence.failing_no_worse) if asked.no_worse is not None else None,
        "slower": shown(evidence.slower_bounded.get(target or 0, 0.0)) if asked.slower is not None else None,
        "parity": facts.parity.bound if asked.parity is not None and facts.parity is not None else None,
    }


def needed(member: GroupMember, target: int | None) -> dict[str, float | None]:
    """What `bounds` have to reach for a step to `target`; None for what is not asked.

    While nobody is on async there is nothing to ask of it but its answers.
    """
    plan, position, evidence, _ = member
    asked, here = plan.advance, bool(position.weight)
    share = None
    if asked.failing is not None and target and here:
        share = min(1.0, _limit(evidence, asked.failing, target)[0])
    reach = exp(CONFIDENCE) if here else None
    return {
        "failing": share,
        "no_worse": reach if asked.no_worse is not None else None,
        "slower": reach if asked.slower is not None else None,
        "parity": asked.parity,
    }


def e_values(member: GroupMember) -> dict[str, float | None]:
    asked = kinds(member.plan)
    return {kind: shown(member.evidence.log_e(kind)) if kind in asked else None for kind in KINDS}


def shown(log_e: float) -> float:
    return exp(min(log_e, log(MOST)))

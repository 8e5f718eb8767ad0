"""Plans of `rollouts:`: the rules between their keys, and the plan that a rollout follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, cast

from proxy.config.errors import Path
from proxy.core.forwarding.forwarded import canonical
from proxy.core.settings import FULL_WEIGHT, Advance, RolloutPlan
from proxy.core.weights import percent

if TYPE_CHECKING:
    from proxy.config.model import Config, EndpointSection, RolloutSection

MAX_FIRST: Final = 100  # keys; each worker holds them for each endpoint
_SUCH_AS: Final = "such as [0, 1, 5, 25, 50, 100]"


def compile_plan(name: str, plan: RolloutSection) -> RolloutPlan:
    return RolloutPlan(
        name=name,
        steps=plan.steps,
        dwell=plan.dwell,
        advance=Advance(**plan.advance.model_dump()),
        alpha=plan.rollback.alpha,
        to="previous" if plan.rollback.to == "previous" else "zero",
        approve=frozenset(plan.approve),
        first=plan.first,
        retry=cast(Any, plan.retry),
        hours=plan.hours,
        webhook=plan.webhook,
    )


def check_plans(config: Config) -> Iterator[tuple[Path, str]]:
    """Paths of what is wrong, each with a phrase that follows the value."""
    for name, plan in config.rollouts.items():
        path: Path = ("rollouts", name)
        yield from _check_steps((*path, "steps"), plan.steps, given="steps" in plan.model_fields_set)
        for position, weight in enumerate(plan.approve):
            if plan.steps and weight not in plan.steps:
                yield (*path, "approve", position), f"is not one of the steps ({_percents(plan.steps)})"
        yield from _check_first((*path, "first"), name, plan.first, config)


def check_rollout(
    path: Path, endpoint: EndpointSection, config: Config, *, safe: bool
) -> Iterator[tuple[Path, str]]:
    """Of one endpoint; `path` is that of its `rollout`."""
    name = endpoint.rollout
    if name is None:
        return
    if "weight" in endpoint.model_fields_set:
        yield path, "cannot be combined with weight, which is that of the rollout's step: remove one of them"
    plan = config.rollouts.get(name)
    if plan is None:
        yield path, f"is not a plan{_nearest(name, list(config.rollouts))}"
    elif plan.advance.parity is not None and (lack := _not_compared(endpoint, config, safe=safe)):
        bound = f"advance.parity is {100 * plan.advance.parity:g}%"
        yield path, f"advances on equal answers ({bound}), but {lack}, or advance.parity: off"


def unused(config: Config) -> list[str]:
    """Names of plans that no endpoint follows."""
    used = {endpoint.rollout for endpoint in config.endpoints.values()}
    return [name for name in config.rollouts if name not in used]


def _check_steps(path: Path, steps: Sequence[int], *, given: bool) -> Iterator[tuple[Path, str]]:
    if not steps:
        yield path, f"is empty: name the weights, {_SUCH_AS}" if given else f"is required, {_SUCH_AS}"
        return
    for position, (before, step) in enumerate(pairwise(steps), 1):
        if before == step:
            yield (*path, position), "is listed twice: remove one of them"
        elif before > step:
            yield (*path, position), f"is below {percent(before)}, the step before it: steps rise"
    if steps[-1] != FULL_WEIGHT:
        yield (
            (*path, len(steps) - 1),
            "is the last step, and a rollout ends with all clients: add 100 after it",
        )
    elif len(steps) == 1:
        yield path, f"has only 100, where nothing can be compared: put lower steps before it, {_SUCH_AS}"


def _not_compared(endpoint: EndpointSection, config: Config, *, safe: bool) -> str:
    """Why the answers of an endpoint are not compared, and what to set; "" if they are."""
    own = "sample" in endpoint.compare.model_fields_set
    if not (endpoint.compare.sample if own else config.compare.sample):
        return "its answers are not compared: set compare.sample, such as 10%"
    if not safe and endpoint.compare.read_back is None and not endpoint.compare.dry_run:
        return "writes are compared by what they did: set compare.read_back or compare.dry_run"
    return ""


def _check_first(path: Path, name: str, keys: Sequence[str], config: Config) -> Iterator[tuple[Path, str]]:
    if len(keys) > MAX_FIRST:
        yield path, f"has more than {MAX_FIRST} keys: for more people, begin with a small step"
    sources = {
        source
        for endpoint in config.endpoints.values()
        if endpoint.rollout == name
        for source in (config.sticky.key if endpoint.sticky is None else endpoint.sticky)
    }
    for position, key in enumerate(keys):
        if key in keys[:position]:
            yield (*path, position), "is listed twice: remove one of them"
        elif sources and not any(_carries(source, key) for source in sources):
            listed = ", ".join(sorted(sources))
            yield (*path, position), f"cannot be a sticky key of the endpoints of this plan ({listed})"


def _carries(source: str, key: str) -> bool:
    """Whether a key can come from there, by `proxy.core.routing.keys`."""
    kind = source.partition(":")[0]
    if kind == "cookie":
        return not set(key) & set(';" \t')
    return kind != "client-ip" or canonical(key) == key


def _nearest(name: str, known: Sequence[str]) -> str:
    import difflib  # only for an error

    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f", did you mean {close[0]}?"
    return f" of this file: {', '.join(known)}" if known else ": the file has no rollouts; add one there"


def _percents(steps: Sequence[int]) -> str:
    return ", ".join(map(percent, steps))

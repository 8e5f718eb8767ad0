"""Random walks through worlds: many thousand events per second, and the shortest way to what they find.

Each world has a temper of its own: some kinds of events happen often in it, some seldom, some never. What is
rare in the average world is then common in one of them.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.edge.model.events import BY_NAME, EVENTS, Event
from tests.edge.model.invariants import KINDS
from tests.edge.model.replaced import prepared
from tests.edge.model.settings import Settings
from tests.edge.model.world import World

LENGTH: Final = 40  # events of one world
TEMPERS: Final = (0.0, 0.3, 1.0, 1.0, 1.0, 3.0)

Step = tuple[str, tuple[Any, ...]]
Choose = Callable[[World], Step | None]


@dataclass(frozen=True)
class Beginning:
    settings: Settings
    backwards: bool
    eager: bool
    watched: frozenset[str] = field(repr=False)


@dataclass
class Found:
    """What is wrong, and the events that lead there."""

    wrong: str
    beginning: Beginning
    steps: list[Step]
    after: int = 0  # events in all worlds until then

    @property
    def kind(self) -> str:
        return self.wrong.split(":", 1)[0]

    def __str__(self) -> str:
        lines = [f"  {name}{arguments}" for name, arguments in self.steps]
        return "\n".join([self.wrong, f"  in {self.beginning}", *lines])


@dataclass
class Walk:
    seed: int
    watched: frozenset[str] = KINDS
    count: int = 0  # events
    worlds: int = 0
    happened: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)  # relayed, replayed, own

    def go(self, steps: int) -> Found | None:
        """Until something is wrong, or `steps` events have happened."""
        chance = random.Random(self.seed)
        with prepared():
            while self.count < steps:
                found = self._world(chance)
                if found is not None:
                    found.after = self.count
                    return found
        return None

    def _world(self, chance: random.Random) -> Found | None:
        self.worlds += 1
        beginning = Beginning(
            Settings(
                connections=chance.choice((1, 2, 4)),
                idempotent=chance.random() < 0.3,
                health=chance.random() < 0.2,
                weight=chance.choice((0, 100)),
            ),
            backwards=chance.random() < 0.3,
            eager=chance.random() < 0.7,
            watched=self.watched,
        )
        tempers = [event.weight * chance.choice(TEMPERS) for event in EVENTS]
        steps: list[Step] = []
        wrong = play(beginning, self._choose(chance, tempers, steps), self.answers)
        return None if wrong is None else Found(wrong, beginning, steps)

    def _choose(self, chance: random.Random, tempers: list[float], steps: list[Step]) -> Choose:
        def choose(world: World) -> Step | None:
            if len(steps) == LENGTH:
                return None
            event: Event
            for event in chance.choices(EVENTS, tempers, k=20):
                if event.possible(world):
                    break
            else:
                return None
            step = (event.name, tuple([chance.choice(choices) for choices in event.choices]))
            steps.append(step)
            self.count += 1
            self.happened[event.name] += 1
            return step

        return choose


def play(beginning: Beginning, choose: Choose, answers: Counter[str]) -> str | None:
    """One world, from its beginning to its end; what is wrong with it, if anything."""
    random.seed(0)  # of the pools' own choices
    world = World(beginning.settings, beginning.backwards, beginning.eager, beginning.watched)
    try:
        while (step := choose(world)) is not None:
            world.happen(BY_NAME[step[0]].happen, step[1])
        world.settle()
    except AssertionError as error:
        return str(error)
    except Exception as error:  # the proxy's own, out of one of its callbacks
        return f"raised: {type(error).__name__}: {error}"
    finally:
        answers.update(world.invariants.answers)
        world.close()
    return None


def again(beginning: Beginning, steps: list[Step]) -> str | None:
    """The same events once more; those that are not possible do not happen."""
    left = iter(steps)

    def choose(world: World) -> Step | None:
        return next((step for step in left if BY_NAME[step[0]].possible(world)), None)

    return play(beginning, choose, Counter())


def shortest(found: Found) -> Found:
    """Leaves out whatever can be left out."""
    with prepared():
        best = found
        size = max(1, len(best.steps) // 2)
        while size:
            start = 0
            while start < len(best.steps):
                steps = best.steps[:start] + best.steps[start + size :]
                wrong = again(best.beginning, steps)
                if wrong is not None and wrong.split(":", 1)[0] == found.kind:
                    best = Found(wrong, best.beginning, steps, found.after)
                else:
                    start += size
            size //= 2
    return best

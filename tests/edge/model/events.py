"""Everything that can happen to a worker, one event at a time, each with its choices.

`which` chooses among what there is, whatever its number: so a row of events still means something when some
of them are taken out, which is how a long way to a fault becomes a short one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

from tests.edge.model.backends import SHAPES, STATUSES, Upstream
from tests.edge.model.clients import Client
from tests.edge.model.loop import Dial
from tests.edge.model.store import Call
from tests.edge.model.world import CLIENTS, World

T = TypeVar("T")


class Event(NamedTuple):
    """Shown by hypothesis as its name."""

    name: str
    weight: float  # how often, beside the others
    choices: tuple[tuple[Any, ...], ...]  # of each argument
    possible: Callable[[World], Any]
    happen: Callable[..., None]

    def __repr__(self) -> str:
        return self.name


def _always(world: World) -> bool:
    return True


def _pick(items: list[T], which: int) -> T:
    return items[which % len(items)]


# clients


def _client(change: Callable[[Client], None]) -> Callable[[World, int], None]:
    return lambda world, which: change(_pick(world.connected, which))


def _go_on(world: World, which: int) -> None:
    _pick(world.hesitant, which).go_on()


def _unstall(world: World, which: int) -> None:
    _pick(world.stalled, which).unblock()


# backends


def _dial_succeeds(world: World, which: int) -> None:
    world.dial_succeeds(_pick(world.dials, which))


def _dial_fails(world: World, which: int) -> None:
    world.dial_fails(_pick(world.dials, which))


def _upstream_answers(world: World, which: int, status: int, shape: Any) -> None:
    world.upstream_answers(_pick(world.busy, which), status, shape)


def _upstream_resets(world: World, which: int) -> None:
    _pick(world.open, which).lose(ConnectionResetError())


def _upstream_ends(world: World, which: int) -> None:
    _pick(world.open, which).send_eof()


def _upstream_babbles(world: World, which: int) -> None:
    _pick(world.open, which).babble()


def _upstream_stalls(world: World, which: int) -> None:
    _pick(world.open, which).block()


# the store


def _store_answers(world: World, which: int) -> None:
    world.store_answers(_pick(world.calls, which))


def _store_carries_out(world: World, which: int) -> None:
    world.store_carries_out(_pick(world.calls, which))


def _store_fails(world: World, which: int, carried_out: bool) -> None:
    call = _pick(world.calls, which)
    if carried_out:
        world.store_carries_out(call)
    world.store_fails(call)


# the worker


def _time_passes(world: World, seconds: float) -> None:
    world.loop.now += seconds


def _loop_runs(world: World, limit: int, timers_first: bool) -> None:
    world.loop.run(limit, timers_first)


ANY: Final = (0, 1, 2, 3, 4, 5)
EITHER: Final = (False, True)

METHODS: Final = ("POST", "POST", "POST", "PUT", "PUT", "GET", "GET", "UPGRADE")


def _connected(world: World) -> list[Client]:
    return world.connected


def _open(world: World) -> list[Upstream]:
    return world.open


def _calls(world: World) -> list[Call]:
    return world.calls


def _dials(world: World) -> list[Dial]:
    return world.dials


EVENTS: Final = (
    Event(
        "client_asks",
        4,
        (tuple(range(CLIENTS)), METHODS, (1, 1, 0, 2, 3), (*[False] * 5, True)),
        _always,
        World.client_asks,
    ),
    Event("client_goes_on", 2, (ANY,), lambda world: world.hesitant, _go_on),
    Event("client_leaves", 0.7, (ANY,), _connected, _client(Client.leave)),
    Event("client_half_closes", 0.3, (ANY,), _connected, _client(Client.send_eof)),
    Event("client_stalls", 0.3, (ANY,), _connected, _client(Client.block)),
    Event("stall_ends", 1, (ANY,), lambda world: world.stalled, _unstall),
    Event("dial_succeeds", 8, (ANY,), _dials, _dial_succeeds),
    Event("dial_fails", 1.5, (ANY,), _dials, _dial_fails),
    Event("upstream_answers", 8, (ANY, STATUSES, SHAPES), lambda world: world.busy, _upstream_answers),
    Event("upstream_resets", 1, (ANY,), _open, _upstream_resets),
    Event("upstream_ends", 0.7, (ANY,), _open, _upstream_ends),
    Event("upstream_babbles", 0.3, (ANY,), _open, _upstream_babbles),
    Event("upstream_stalls", 0.3, (ANY,), _open, _upstream_stalls),
    Event("store_answers", 12, (ANY,), _calls, _store_answers),
    Event("store_carries_out", 1, (ANY,), _calls, _store_carries_out),
    Event("store_fails", 1, (ANY, EITHER), _calls, _store_fails),
    Event("time_passes", 3, ((2.5, 0.1, 0.6, 1.0),), _always, _time_passes),
    Event(
        "loop_runs", 20, ((10_000, 10_000, 1, 2, 4), EITHER), lambda world: world.loop.has_work(), _loop_runs
    ),
    Event("reload", 0.3, ((0, 100), (4, 5)), _always, World.reload),
    Event("drain", 0.1, (EITHER,), _always, World.drain),
)
BY_NAME: Final = {event.name: event for event in EVENTS}

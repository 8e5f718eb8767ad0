"""Everything that can happen to a worker, one event at a time, each with its choices.

`which` chooses among what there is, whatever its number: so a row of events still means something when some of
them are taken out, which is how a long way to a fault becomes a short one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

from tests.edge.model.backends import SHAPES, STATUSES
from tests.edge.model.clients import Client
from tests.edge.model.world import CLIENTS, World

T = TypeVar("T")


class Event(NamedTuple):
    name: str
    weight: float  # how often, beside the others
    choices: tuple[tuple[Any, ...], ...]  # of each argument
    possible: Callable[[World], Any]
    happen: Callable[..., None]


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

EVENTS: Final = tuple(
    Event(*event)
    for event in (
        (
            "client_asks",
            4,
            (
                tuple(range(CLIENTS)),
                ("POST", "POST", "POST", "PUT", "PUT", "GET", "GET", "UPGRADE"),
                (1, 1, 0, 2, 3),
                (*[False] * 5, True),
            ),
            _always,
            World.client_asks,
        ),
        ("client_goes_on", 2, (ANY,), lambda world: world.hesitant, _go_on),
        ("client_leaves", 0.7, (ANY,), lambda world: world.connected, _client(Client.leave)),
        ("client_half_closes", 0.3, (ANY,), lambda world: world.connected, _client(Client.send_eof)),
        ("client_stalls", 0.3, (ANY,), lambda world: world.connected, _client(Client.block)),
        ("stall_ends", 1, (ANY,), lambda world: world.stalled, _unstall),
        ("dial_succeeds", 8, (ANY,), lambda world: world.dials, _dial_succeeds),
        ("dial_fails", 1.5, (ANY,), lambda world: world.dials, _dial_fails),
        ("upstream_answers", 8, (ANY, STATUSES, SHAPES), lambda world: world.busy, _upstream_answers),
        ("upstream_resets", 1, (ANY,), lambda world: world.open, _upstream_resets),
        ("upstream_ends", 0.7, (ANY,), lambda world: world.open, _upstream_ends),
        ("upstream_babbles", 0.3, (ANY,), lambda world: world.open, _upstream_babbles),
        ("upstream_stalls", 0.3, (ANY,), lambda world: world.open, _upstream_stalls),
        ("store_answers", 12, (ANY,), lambda world: world.calls, _store_answers),
        ("store_carries_out", 1, (ANY,), lambda world: world.calls, _store_carries_out),
        ("store_fails", 1, (ANY, EITHER), lambda world: world.calls, _store_fails),
        ("time_passes", 3, ((2.5, 0.1, 0.6, 1.0),), _always, _time_passes),
        (
            "loop_runs",
            20,
            ((10_000, 10_000, 1, 2, 4), EITHER),
            lambda world: world.loop.has_work(),
            _loop_runs,
        ),
        ("reload", 0.3, ((0, 100), (4, 5)), _always, World.reload),
        ("drain", 0.1, (EITHER,), _always, World.drain),
    )
)
BY_NAME: Final = {event.name: event for event in EVENTS}

"""One control process from its start to the end of the drain, including how it reacts to signals."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from proxy import signals
from proxy.control.admin.server import AdminServer
from proxy.control.dataport import DataPort, data_port
from proxy.control.descriptors import admin_connections
from proxy.control.errors import Refusal
from proxy.control.handover import SIGNALS, replace_process, took
from proxy.control.lasting import harmless, lasting
from proxy.control.listener import display
from proxy.control.log import log
from proxy.control.notify import READY, STOPPING, notify
from proxy.control.parts import Given, Ground, Parts, build, ground_floor
from proxy.control.recorder import started
from proxy.control.running import announced_state
from proxy.control.supervisor.roll import Restart
from proxy.control.watch import Watcher
from proxy.datapath import this_build
from proxy.store import start_anew

SIGNALS_READ: Final = 0.01  # seconds in which the event loop hears of signals that have come
STOP: Final = frozenset({signal.SIGTERM, signal.SIGINT})

Events = asyncio.Queue[signal.Signals | Restart]
"""Signals that came, and restarts that are ready to replace this process."""


async def serve(given: Given, admin_socket: socket.socket) -> None:
    """Runs until a signal ends it. Raises StartupError."""
    loop, events = asyncio.get_running_loop(), Events()
    for number in SIGNALS:
        loop.add_signal_handler(number, events.put_nowait, number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # held back by the process that we replace
    ground = ground_floor(given)
    ground.channel.start()
    try:
        address = given.loaded.snapshot.server.listen
        port = await data_port(address, given.restart, ground.supervisor.unclaimed)
        with port.current:
            parts = build(given, ground, events.put_nowait)
            with announced_state(given.runtime, parts.reloader.started.server.state):
                await Instance(given, parts, ground, port, events).serve(admin_socket)
    finally:
        signals.hold()  # the event loop gives its handlers up before the process has ended
        await ground.channel.close()


class Instance:
    """A running control process."""

    def __init__(self, given: Given, parts: Parts, ground: Ground, port: DataPort, events: Events) -> None:
        self._given = given
        self._parts = parts
        self._ground = ground
        self._supervisor = ground.supervisor
        self._port = port
        self._events = events
        self._count = parts.reloader.started.server.workers or cores()

    async def serve(self, admin_socket: socket.socket) -> None:
        """Runs from the first worker to the end of the drain."""
        admin = AdminServer(self._parts.state, admin_socket, admin_connections(self._count))
        log.info("%s", this_build())
        await self._parts.rollouts.runner.begin()
        self._start()
        log.info("serving on %s, admin on http://%s/", display(self._port.current), display(admin_socket))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(admin.run())
            background = [tasks.create_task(lasting(*each)) for each in self._background()]
            rolling = tasks.create_task(self._roll())
            readiness = tasks.create_task(self._tell_when_ready())
            restart = await self._until_stopped(tasks)
            for task in (*background, readiness):
                task.cancel()
            if restart is None:
                await self._stop()
                rolling.cancel()
            admin.stop()
        if restart is not None:
            await self._replace(restart)

    def _start(self) -> None:
        reloader, restart = self._parts.reloader, self._given.restart
        loaded = reloader.running
        self._parts.recorder.record(
            started(loaded.snapshot.hash, self._given.content.decode("utf-8", "replace"))
        )
        log.info("configuration %s from %s", loaded.snapshot.hash, reloader.path)
        for line in reloader.warnings:
            log.warning("%s", line)
        self._parts.publisher.push(loaded, reloader.generation)
        if restart is None:
            if not any(self._supervisor.unclaimed):
                self._ground.collector.begin_anew()
            if start_anew(reloader.started.server.state):
                self._parts.ledger.forget_keys()
            self._supervisor.start(self._port.current, self._count)
        else:
            log.info("the next control process is ready after %s", took(restart))
            self._supervisor.take_over(self._port.current, self._port.previous, restart.workers)

    def _background(self) -> Iterator[tuple[str, Callable[[], Awaitable[None]]]]:
        """The background tasks that run until the process stops."""
        parts = self._parts
        yield "watching the workers", self._supervisor.watch
        yield "watching the backends", parts.alarms.run
        yield "watching the store", parts.storage.run
        yield "keeping the counters", self._ground.keeper.run
        yield "watching the configuration file", Watcher(parts.reloader).run
        yield "writing the audit log", parts.recorder.run
        yield "keeping the ledger", parts.ledger.run
        yield "keeping the comparer", parts.comparer.run
        yield "running the rollouts", parts.rollouts.runner.run

    async def _roll(self) -> None:
        """Ends the restart that this process was started for."""
        restarter = self._parts.restarter
        if restarter.current is not None:
            restarter.current = await self._supervisor.roll(restarter.current, self._count)

    async def _tell_when_ready(self) -> None:
        await self._supervisor.ready()
        notify(READY)

    async def _until_stopped(self, tasks: asyncio.TaskGroup) -> Restart | None:
        """Waits until a signal ends the process, or a restart is ready to replace it."""
        trials: list[asyncio.Task[None]] = []
        while True:
            trials = [trial for trial in trials if not trial.done()]
            event = await self._events.get()
            if isinstance(event, Restart):
                return event
            if event == signal.SIGHUP:
                self._supervisor.reopen_logs()
                tasks.create_task(harmless("the reload", self._parts.reloader.reload("SIGHUP")))
            elif event == signal.SIGUSR1:
                log.info("SIGUSR1: reopening the access log")
                self._supervisor.reopen_logs()
            elif event == signal.SIGUSR2:
                trials.append(tasks.create_task(harmless("the restart", self._restart())))
            else:
                log.info("%s: finishing requests in flight; send it again to stop at once", event.name)
                for trial in trials:
                    trial.cancel()
                return None

    async def _restart(self) -> None:
        try:
            await self._parts.restarter.request("SIGUSR2")
        except Refusal as refusal:
            log.error("SIGUSR2: %s", refusal)

    async def _replace(self, restart: Restart) -> None:
        """Replaces the process with the next one, unless it was told to stop in the meantime."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # from now on they are for the next one
        await asyncio.sleep(SIGNALS_READ)
        came = [self._events.get_nowait() for _ in range(self._events.qsize())]
        if not STOP.isdisjoint(came):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            await self._stop()
            return
        self._ground.keeper.write()
        workers = [worker.pid for worker in self._supervisor.workers()]
        replace_process(restart, workers, self._supervisor.sockets.in_use(), self._parts.reloader.content)

    async def _stop(self) -> None:
        notify(STOPPING)
        drain = asyncio.create_task(self._supervisor.drain())
        again = asyncio.create_task(self._second_signal())
        await asyncio.wait((drain, again), return_when=asyncio.FIRST_COMPLETED)
        if not drain.done():
            log.warning("stopping at once")
            drain.cancel()
            await self._supervisor.kill()
        again.cancel()
        log.info("stopped")

    async def _second_signal(self) -> None:
        while await self._events.get() not in STOP:
            pass


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

"""`strangler serve`: puts the control process together and runs it until a signal ends it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from proxy import logs, signals
from proxy.config import Loaded
from proxy.control import preflight
from proxy.control.admin.server import AdminServer
from proxy.control.alarms import Alarms
from proxy.control.channel import SOCKET_NAME, ChannelServer
from proxy.control.collect import Collector
from proxy.control.comparer import ComparerProcess
from proxy.control.descriptors import admin_connections
from proxy.control.errors import Refusal, StartupError
from proxy.control.handover import SIGNALS, announced, handed_socket, handed_text, replace_process, took
from proxy.control.lasting import harmless, lasting
from proxy.control.ledger import Ledger
from proxy.control.listener import AddressTaken, RuntimeDir, display, listen, resolve
from proxy.control.log import log
from proxy.control.notify import READY, STOPPING, notify
from proxy.control.oneoff import OneOffCompare
from proxy.control.recorder import Recorder, started
from proxy.control.reload import Reloader, load, read
from proxy.control.restart import Restarter
from proxy.control.roll import Restart, roll
from proxy.control.running import announced_state
from proxy.control.state import State
from proxy.control.storage import Storage
from proxy.control.supervisor import Supervisor
from proxy.control.verdicts import Verdicts
from proxy.control.watch import Watcher
from proxy.core.wire.messages import Apply
from proxy.store import start_anew

WORKER = (sys.executable, "-m", "proxy.edge")
COMPARER = (sys.executable, "-m", "proxy.compare")
ORPHAN_TIMEOUT = 2.0  # seconds in which an orphan may offer the socket of a taken address
ORPHAN_GRACE = 0.5  # seconds in which the other orphans follow the first
SIGNALS_READ = 0.01  # seconds in which the event loop hears of signals that have come
STOP = frozenset({signal.SIGTERM, signal.SIGINT})
APPLY_TIMEOUT = 5.0  # seconds that a reload waits for the workers


def run(path: Path, worker: Sequence[str] = WORKER, one_off: OneOffCompare | None = None) -> None:
    """Serves until SIGTERM or SIGINT. `worker` is the command that starts a worker, `one_off` what the admin
    port asks both backends with.

    Raises ConfigErrors and StartupError if it cannot start.
    """
    signals.hold()  # until there are handlers
    logs.configure("control")
    bound = preflight.requested()
    restart = announced()
    content = read(path) if (handed := handed_text(restart)) is None else handed
    if isinstance(content, OSError):
        raise StartupError(f"{path}: cannot be read: {content.strerror}")
    loaded = load(content, str(path))
    server = loaded.snapshot.server
    if bound is not None:
        preflight.check(server, bound)
        return
    runtime = RuntimeDir(server.runtime_dir)
    try:
        with listen("server.admin", server.admin) as admin:
            asyncio.run(Instance(path, content, loaded, runtime, worker, restart, one_off).serve(admin))
    finally:
        runtime.release()


class Instance:
    """One control process with its parts."""

    def __init__(
        self,
        path: Path,
        content: bytes,
        loaded: Loaded,
        runtime: RuntimeDir,
        worker: Sequence[str],
        restart: Restart | None = None,
        one_off: OneOffCompare | None = None,
    ) -> None:
        self._one_off = one_off
        self._runtime = runtime.path
        self._content = content
        channel = runtime.path / SOCKET_NAME
        self.collector = Collector()
        self.supervisor = Supervisor(worker, str(channel), self.collector)
        self.alarms = Alarms(self.collector.signals)
        self.channel = ChannelServer(channel, self.supervisor)
        self.supervisor.pulse.deaf = lambda: self.channel.deaf
        self.comparer = ComparerProcess(COMPARER, runtime.path, self.supervisor.pulse)
        self.reloader = Reloader(path.absolute(), content, loaded, self._publish)
        self._events: asyncio.Queue[signal.Signals | Restart] = asyncio.Queue()
        self._held: socket.socket | None = None  # of the workers that a roll replaces, if it moves
        self.restarter = Restarter(
            self.reloader, self.supervisor, str(runtime.path), restart, self._events.put_nowait
        )

    async def serve(self, admin_socket: socket.socket) -> None:
        """From start to the end of the drain."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._events.put_nowait, number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # held back by the process that we replace
        self.channel.start()
        try:
            with await self._listener() as listener:
                self.reloader.keep_state(self.supervisor.unclaimed.state())
                url = self.reloader.started.server.state
                with announced_state(self._runtime, url):
                    admin = AdminServer(self._state(url), admin_socket, admin_connections(self._count()))
                    await self._serve(admin, listener, display(admin_socket))
        finally:
            signals.hold()  # the event loop gives its handlers up before the process has ended
            await self.channel.close()

    def _state(self, url: str) -> State:
        """What keeps its part of the state database `url`, and all that the admin port reads."""
        self.recorder = Recorder(url)
        self.recorder.record(
            started(self.reloader.running.snapshot.hash, self._content.decode("utf-8", "replace"))
        )
        self.reloader.record = self.recorder.record
        self.ledger = Ledger(url, self.collector, lambda: self.reloader.running.snapshot)
        self.reloader.unlisted = self.ledger.unlisted_lately
        self.storage = Storage(url, lambda: self.reloader.running.snapshot.idempotency.max_store)
        return State(
            self.reloader,
            self.supervisor,
            self.collector,
            self.restarter,
            Verdicts(url, lambda: self.reloader.running.snapshot),
            self.recorder,
            self.ledger,
            self._one_off,
            self.comparer,
            self.alarms,
            self.storage,
        )

    async def _serve(self, admin: AdminServer, listener: socket.socket, admin_address: str) -> None:
        self._start(listener)
        log.info("serving on %s, admin on http://%s/", display(listener), admin_address)
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

    def _background(self) -> Iterator[tuple[str, Callable[[], Awaitable[None]]]]:
        """What goes on beside the admin port until the process stops."""
        yield "watching the workers", self.supervisor.watch
        yield "watching the backends", self.alarms.run
        yield "watching the store", self.storage.run
        yield "watching the configuration file", Watcher(self.reloader).run
        yield "writing the audit log", self.recorder.run
        yield "keeping the ledger", self.ledger.run
        yield "keeping the comparer", self.comparer.run

    async def _replace(self, restart: Restart) -> None:
        """Gives the process up for the next one, unless it was told to stop meanwhile."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # from now on they are for the next one
        await asyncio.sleep(SIGNALS_READ)
        came = [self._events.get_nowait() for _ in range(self._events.qsize())]
        if not STOP.isdisjoint(came):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            await self._stop()
            return
        workers = [worker.pid for worker in self.supervisor.workers()]
        replace_process(restart, workers, self.supervisor.listener(), self.reloader.content)

    async def _listener(self) -> socket.socket:
        """The data port's socket: newly opened, or that of workers that outlived their control process."""
        address = self.reloader.running.snapshot.server.listen
        restart = self.restarter.current
        if restart is not None:
            self._held = handed_socket(restart)
            await self.supervisor.unclaimed.arrived(restart.workers, ORPHAN_TIMEOUT)
            if address == restart.listen and self._held is not None:
                held, self._held = self._held, None
                return held
        try:
            return listen("server.listen", address)
        except AddressTaken:
            _, name = resolve("server.listen", address)
            adopted = await self.supervisor.unclaimed.socket_on(name, ORPHAN_TIMEOUT)
            if adopted is None:
                raise
            await asyncio.sleep(ORPHAN_GRACE)
            return adopted

    def _start(self, listener: socket.socket) -> None:
        loaded = self.reloader.running
        log.info("configuration %s from %s", loaded.snapshot.hash, self.reloader.path)
        for line in self.reloader.warnings:
            log.warning("%s", line)
        self._push(loaded, self.reloader.generation)
        restart = self.restarter.current
        if restart is None:
            if start_anew(self.reloader.started.server.state):
                self.ledger.forget_keys()
            self.supervisor.start(listener, self._count())
        else:
            log.info("the next control process is up after %s", took(restart))
            self.supervisor.take_over(listener, self._held, restart.workers)

    async def _tell_when_ready(self) -> None:
        await self.supervisor.changes.until(self.supervisor.ready)
        notify(READY)

    async def _roll(self) -> None:
        restart = self.restarter.current
        if restart is None:
            return
        try:
            self.restarter.current = await roll(restart, self.supervisor, self._count())
        except Exception as error:
            log.exception("rolling restart stopped")
            self.supervisor.restore(self._count())
            self.restarter.current = replace(restart, state="failed", detail=repr(error))

    def _count(self) -> int:
        """How many workers there are to be."""
        return self.reloader.started.server.workers or cores()

    async def _publish(self, loaded: Loaded, generation: int) -> None:
        self.ledger.look()  # at each configuration, for some last less than the time between two looks
        self._push(loaded, generation)
        for worker in await self.supervisor.settled(APPLY_TIMEOUT):
            log.error(
                "worker %d (pid %d) does not serve configuration %s yet",
                worker.slot,
                worker.pid,
                loaded.snapshot.hash,
            )

    def _push(self, loaded: Loaded, generation: int) -> None:
        snapshot = loaded.snapshot
        newest = Apply(snapshot.hash, generation, loaded.document, self.reloader.started.server.state)
        self.supervisor.publish(newest, snapshot.server.timeouts)
        self.comparer.publish(newest, snapshot)

    async def _until_stopped(self, tasks: asyncio.TaskGroup) -> Restart | None:
        """Until a signal ends the process, or a restart is ready to replace it."""
        trials: list[asyncio.Task[None]] = []
        while True:
            trials = [trial for trial in trials if not trial.done()]
            event = await self._events.get()
            if isinstance(event, Restart):
                return event
            if event == signal.SIGHUP:
                self.supervisor.reopen_logs()
                tasks.create_task(harmless("the reload", self.reloader.reload("SIGHUP")))
            elif event == signal.SIGUSR1:
                log.info("SIGUSR1: opening the access log anew")
                self.supervisor.reopen_logs()
            elif event == signal.SIGUSR2:
                trials.append(tasks.create_task(harmless("the restart", self._restart())))
            else:
                log.info("%s: finishing what is in flight; once more to stop at once", event.name)
                for trial in trials:
                    trial.cancel()
                return None

    async def _restart(self) -> None:
        try:
            await self.restarter.request("SIGUSR2")
        except Refusal as refusal:
            log.error("SIGUSR2: %s", refusal)

    async def _stop(self) -> None:
        notify(STOPPING)
        drain = asyncio.create_task(self.supervisor.drain())
        again = asyncio.create_task(self._second_signal())
        await asyncio.wait((drain, again), return_when=asyncio.FIRST_COMPLETED)
        if not drain.done():
            log.warning("stopping at once")
            drain.cancel()
            await self.supervisor.kill()
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

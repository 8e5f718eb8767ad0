"""The only place where a new configuration is validated, and what is known about the one in use.

A file is validated as a whole: loading, the order of phases, the difference. It either replaces the
configuration in use on every worker, or changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from proxy.config import ConfigError, ConfigErrors, Loaded, load_text
from proxy.config.difference import difference, needs_restart, takes_effect
from proxy.config.excerpt import excerpt
from proxy.control.log import log
from proxy.core.routing.phases import RolloutStanding, refused
from proxy.core.routing.snapshot import Snapshot
from proxy.core.traffic.authors import NOBODY, Author
from proxy.core.wire.messages import EndpointPosition

ANNOUNCED = 16  # authors that are remembered before their change comes
EXCERPTS = 20  # errors that are shown with their line
MAX_FILE = 16 * 1024 * 1024  # bytes read of a configuration file; the loader's own limit is lower


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """What became of a file. `loaded` is None if it was refused, with `errors`; both empty never happens.

    `changes` are readable lines, such as `GET /a: weight 25 -> 50`; `warnings` include those changes that
    only a restart brings about.
    """

    loaded: Loaded | None
    errors: tuple[ConfigError, ...] = ()
    changes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LastError:
    """The newest refused file; gone as soon as a file is accepted. `time` in seconds since the epoch."""

    time: float
    trigger: str
    errors: tuple[ConfigError, ...]
    excerpts: tuple[tuple[str, ...], ...] = ()  # for each error its line and a caret, or nothing


@dataclass(frozen=True, slots=True)
class Change:
    """A file that was accepted or refused, for the record. `hash` is None if it was refused.

    `lines` are the difference, or the errors; `author` is a caller of the admin port, else "", and `claimed`
    as of `Author`.
    """

    time: float
    trigger: str
    author: str
    hash: str | None
    lines: tuple[str, ...]
    text: str
    claimed: str = ""


def judge(
    content: bytes, source: str, running: Snapshot, started: Snapshot, standing: RolloutStanding | None = None
) -> ReloadResult:
    """Whether this text may replace the running configuration. Pure but for the environment's variables.

    `started` is the configuration that the process began with: what only a restart changes is still its.
    `standing` is where rollouts stand now, if that is known.
    """
    try:
        loaded = load(content, source)
    except ConfigErrors as errors:
        return ReloadResult(None, errors.errors)
    rejected = [_problem(str(violation)) for violation in refused(running, loaded.snapshot, standing)]
    if rejected:
        return ReloadResult(None, tuple(rejected))
    found = difference(running, loaded.snapshot)
    restart = _waiting(started, loaded.snapshot)
    broken = tuple(
        f"ahead of its phase, accepted only because its weight was not raised: {each}"
        for each in loaded.violations
    )
    return ReloadResult(loaded, (), found.lines, loaded.warnings + broken + restart)


def _waiting(started: Snapshot, wanted: Snapshot) -> tuple[str, ...]:
    """What the file says and only a restart brings about."""
    lines = needs_restart(started, wanted)
    return tuple(f"{line} (takes effect {takes_effect(line)})" for line in lines)


def _judge_safely(
    content: bytes, source: str, running: Snapshot, started: Snapshot, standing: RolloutStanding | None
) -> ReloadResult:
    """A fault of the loader's own must not end a process that serves."""
    try:
        return judge(content, source, running, started, standing)
    except Exception as error:
        log.exception("internal error while validating %s", source)
        return ReloadResult(None, (_problem(f"internal error while validating the file: {error!r}"),))


def load(content: bytes, source: str) -> Loaded:
    """The configuration in these bytes. Raises ConfigErrors."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigErrors(source, [ConfigError(line, 1, "", "", "is not UTF-8 text")]) from error
    return load_text(text, source=source, environ=os.environ)


def _problem(message: str) -> ConfigError:
    """An error without a place in the file."""
    return ConfigError(0, 0, "", "", message)


class InForce:
    """The configuration that runs, for all who look at it; the reloader alone replaces it.

    `loaded` is as the file has it; `snapshot` has rollouts where they stand.
    """

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self._effective = loaded.snapshot

    def snapshot(self) -> Snapshot:
        return self._effective

    def take(self, loaded: Loaded, positions: Sequence[EndpointPosition]) -> None:
        """A newer file is in force, with its rollouts where `positions` say."""
        self.loaded = loaded
        self.place(positions)

    def place(self, positions: Sequence[EndpointPosition]) -> None:
        """Rollouts stand elsewhere."""
        snapshot = self.loaded.snapshot
        self._effective = snapshot.with_positions(positions) if positions else snapshot

    def started(self, state: str) -> Snapshot:
        """What a process begins with whose workers use this store already; "" if there are none.

        They know the keys of that one: until a full stop it is the instance's.
        """
        snapshot = self.loaded.snapshot
        if not state or state == snapshot.server.state:
            return snapshot
        return replace(snapshot, server=replace(snapshot.server, state=state))


class Reloader:
    """Judges the file. `publish` hands a snapshot to the workers and waits until they serve it.

    `started` is what the process began with, if it is not what is in force; `record` is told of every file;
    `unlisted` counts unlisted paths that were asked for in the last day; `standing` knows where rollouts are.
    `adopt` is told of a snapshot about to be in force, and says where its rollouts are.
    """

    def __init__(
        self,
        path: Path,
        content: bytes,
        in_force: InForce,
        publish: Callable[[Loaded, int], Awaitable[None]],
        *,
        started: Snapshot | None = None,
        record: Callable[[Change], None] = lambda change: None,
        unlisted: Callable[[], int] = lambda: 0,
        standing: Callable[[], RolloutStanding | None] = lambda: None,
        adopt: Callable[[Snapshot], Sequence[EndpointPosition]] = lambda snapshot: (),
    ) -> None:
        loaded = in_force.loaded
        self.path = path
        self._in_force = in_force
        self.content = content  # of what runs
        self.started = started or loaded.snapshot  # what only a restart changes stays as it is here
        self.generation = 1
        self.loaded_at = time.time()
        self.failures = 0
        self.last_error: LastError | None = None
        self.last_difference: tuple[str, ...] = ()
        self.warnings = loaded.warnings + tuple(f"ahead of its phase: {each}" for each in loaded.violations)
        if self.started is not loaded.snapshot:
            self.warnings += _waiting(self.started, loaded.snapshot)
        self._record = record
        self._unlisted = unlisted
        self.standing = standing
        self._adopt = adopt
        self._announced: OrderedDict[str, Author] = OrderedDict()  # by hash
        self._publish = publish
        self._judged = digest(content)
        self._lock = asyncio.Lock()

    @property
    def running(self) -> Loaded:
        """As the file has it."""
        return self._in_force.loaded

    @property
    def effective(self) -> Snapshot:
        """With rollouts where they stand."""
        return self._in_force.snapshot()

    def announce(self, hash: str, author: Author) -> None:
        """Somebody is about to write the configuration with this hash: for the record of who did it."""
        self._announced[hash] = author
        if len(self._announced) > ANNOUNCED:
            self._announced.popitem(last=False)

    async def reload(self, trigger: str, author: Author = NOBODY, *, force: bool = False) -> ReloadResult:
        """Reads and judges the file now, whatever was judged before.

        `force` takes `unlisted: 404` although unlisted paths are still asked for.
        """
        async with self._lock:
            return await self._take(await asyncio.to_thread(read, self.path), trigger, author, force)

    async def reload_if_changed(self, content: bytes | OSError, trigger: str) -> None:
        """Judges what was read from the file, unless exactly that was judged already."""
        async with self._lock:
            if digest(content) != self._judged:
                await self._take(content, trigger)

    def is_judged(self, content: bytes | OSError) -> bool:
        return digest(content) == self._judged

    async def _take(
        self, content: bytes | OSError, trigger: str, author: Author = NOBODY, force: bool = False
    ) -> ReloadResult:
        before = self.running.snapshot.hash
        self._judged = digest(content)
        if isinstance(content, OSError):
            result = ReloadResult(None, (_problem(f"cannot be read: {content.strerror}"),))
        else:
            result = await asyncio.to_thread(
                _judge_safely,
                content,
                str(self.path),
                self.running.snapshot,
                self.started,
                self.standing(),
            )
            if result.loaded is not None and not force and (lost := self._lost(result.loaded)):
                result = ReloadResult(None, (_problem(lost),))
            if result.loaded is not None:
                self.content = content
        if result.loaded is None:
            self._refuse(result, content, trigger)
        else:
            await self._accept(result.loaded, result, trigger)
        if result.loaded is None or result.loaded.snapshot.hash != before:
            self._remember(result, content, trigger, author)
        return result

    def _lost(self, loaded: Loaded) -> str:
        """What `unlisted: 404` would take away from clients, if it is new; "" for nothing."""
        if loaded.snapshot.unlisted != "404" or self.running.snapshot.unlisted == "404":
            return ""
        count = self._unlisted()
        if not count:
            return ""
        return (
            f"unlisted: is 404, but {count} unlisted paths were requested in the last day; list them "
            "(`strangler ledger` shows them), or accept the change with `strangler reload --force`"
        )

    def _remember(self, result: ReloadResult, content: bytes | OSError, trigger: str, author: Author) -> None:
        text = "" if isinstance(content, OSError) else content.decode("utf-8", "replace")
        accepted = result.loaded.snapshot.hash if result.loaded else None
        if author == NOBODY:
            author = self._announced.pop(accepted or "", NOBODY)
        lines = result.changes if result.loaded else tuple(map(str, result.errors))
        self._record(Change(time.time(), trigger, author.name, accepted, lines, text, author.claimed))

    def _refuse(self, result: ReloadResult, content: bytes | OSError, trigger: str) -> None:
        self.failures += 1
        text = "" if isinstance(content, OSError) else content.decode("utf-8", "replace")
        excerpts = tuple(tuple(excerpt(text, each.line, each.column)) for each in result.errors[:EXCERPTS])
        self.last_error = LastError(time.time(), trigger, result.errors, excerpts)
        for error in result.errors:
            log.error("%s:%s", self.path, error)
        log.error(
            "configuration refused (%s): %d error(s); %s stays in use",
            trigger,
            len(result.errors),
            self.running.snapshot.hash,
        )

    async def _accept(self, loaded: Loaded, result: ReloadResult, trigger: str) -> None:
        self.last_error = None
        self.warnings = result.warnings
        if loaded.snapshot.hash == self.running.snapshot.hash:
            log.info("configuration %s is unchanged (%s)", loaded.snapshot.hash, trigger)
            return
        self._in_force.take(loaded, self._adopt(loaded.snapshot))
        self.generation += 1
        self.loaded_at = time.time()
        self.last_difference = result.changes
        for line in result.changes:
            log.info("%s", line)
        for line in result.warnings:
            log.warning("%s", line)
        log.info("configuration %s accepted (%s)", loaded.snapshot.hash, trigger)
        await self._publish(loaded, self.generation)


def read(path: Path) -> bytes | OSError:
    """The file's content, or why it cannot be had."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE)
    except OSError as error:
        return error


def digest(content: bytes | OSError) -> bytes:
    """Tells one content, or one way of being unreadable, from another."""
    if isinstance(content, OSError):
        return f"errno {content.errno}".encode()
    return hashlib.sha256(content).digest()

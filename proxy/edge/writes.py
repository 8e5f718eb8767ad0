"""What all keyed writes of one worker share: the store, their tasks, and which writes are in progress."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final

from proxy.core.http1.request import RequestHead
from proxy.core.resilience import identity
from proxy.core.resilience.idempotency import ClaimRequest
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import BACKENDS, BackendName, Endpoint
from proxy.edge.ports import Claimant
from proxy.store import Claims, StoreUnavailable, attend, load, open_claims

MAX_TROUBLE: Final = 200  # characters of what the store says
EXPLAINS: Final = 60.0  # seconds for which a cause stands for refusals without one


class Writes:
    """`ownership_off` sends every request by its weight, as if there were no keys: for tests only."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, state: str, incarnation: str, *, ownership_off: bool
    ) -> None:
        self.ownership_off = ownership_off
        self.under_way: set[Claimant] = set()  # whether or not their clients are still there
        self._loop = loop
        self._state = state  # only a restart changes it
        self._incarnation = incarnation
        self._claims: Claims | None = None
        self._loaded = False  # what it needs
        self._tasks: set[asyncio.Task[None]] = set()
        self._attending: int | None = None  # a descriptor
        self._trouble = ""  # why the store did not answer last
        self._trouble_at = 0.0

    def attend(self) -> None:
        """From here to its end this process counts as one of those that must know the claims."""
        self._attending = attend(self._state)

    async def ready(self) -> None:
        """Before `claims` is asked for the first time. Raises StoreUnavailable."""
        if self._claims is None and not self._loaded:
            try:
                await self._loop.run_in_executor(None, load, self._state)
            except RuntimeError as error:  # no thread
                raise StoreUnavailable(f"cannot be opened: {error}") from error
            self._loaded = True

    def refused(self, why: StoreUnavailable) -> None:
        """A keyed write was refused, because the store did not answer."""
        now = self._loop.time()
        if why.explains or now - self._trouble_at > EXPLAINS or not self._trouble:
            self._trouble = str(why)[:MAX_TROUBLE]
        self._trouble_at = now

    def trouble(self, since: float) -> str:
        """Why writes were refused since then; "" if none was."""
        return self._trouble if self._trouble_at >= since else ""

    def warm(self, snapshot: Snapshot) -> None:
        """Where writes may have keys the first of them had better not wait for imports."""
        if any(endpoint.idempotency != "off" for endpoint in snapshot.endpoints):
            self.spawn(self._warm(), lambda: None)

    async def _warm(self) -> None:
        with suppress(StoreUnavailable):  # whoever needs it will hear of it
            await self.ready()

    def claims(self) -> Claims:
        """The store, opened with the first use."""
        if self._claims is None:
            self._claims = open_claims(self._state, self._incarnation, self._tokens)
        return self._claims

    def room(self, limit: int) -> int | None:
        """Bytes of answers that the store may still take; `limit` 0: no limit, None."""
        return max(0, limit - self.claims().stored()) if limit else None

    def spawn(self, work: Coroutine[Any, Any, None], failed: Callable[[], None]) -> None:
        """Runs `work` as a task. What it raises goes to the loop's exception handler, then `failed` runs."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(partial(self._on_task_done, failed))

    def wanted(
        self,
        snapshot: Snapshot,
        endpoint: Endpoint,
        head: RequestHead,
        body: bytes,
        keys: list[bytes],
        backend: BackendName,
        token: str,
    ) -> ClaimRequest:
        """What to ask the store for. `keys` are the lines of the header.

        Raises Malformed if they hold no key, or if it is ambiguous whose it is.
        """
        settings = snapshot.idempotency
        key = identity.parse_key(keys)
        caller = identity.caller(head.fields, settings.principal)
        return ClaimRequest(
            id=identity.identity(caller.principal, endpoint, key),
            former_id=identity.identity(caller.former, endpoint, key) if caller.former else "",
            principal=caller.principal,
            endpoint=endpoint.name,
            key=key,
            fingerprint=identity.fingerprint(head, body, endpoint.sticky, caller),
            first_fingerprint=identity.first_fingerprint(head, body),
            second_fingerprint=identity.second_fingerprint(head, body, endpoint.sticky, caller),
            backend=backend,
            incarnation=self._incarnation,
            token=token,
            now=time.time(),
            ttl=settings.ttl,
            idempotent=frozenset(name for name in BACKENDS if snapshot.backend(name).idempotent),
            in_flight=settings.in_flight,
            mismatch=settings.mismatch,
            records_only=endpoint.idempotency == "record",
        )

    def _tokens(self) -> set[str]:
        return {each.token for each in self.under_way}

    async def close(self) -> None:
        if self._claims is not None:
            await self._claims.close()
        if self._attending is not None:
            os.close(self._attending)
            self._attending = None

    def _on_task_done(self, failed: Callable[[], None], task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler(
                {"message": "a write with an idempotency key failed", "exception": error}
            )
            failed()

"""What must hold, whatever happens in whatever order.

1. No key, and no write without one, is sent twice, unless the rules allow it: nothing of it was sent before,
   the backend answered that it did not execute it, or the key's owner dedupes keys itself.
2. What a client's connection receives are the answers to its requests: one for each, in order, each its own.

3. What these two rest on: a write with a key is on a wire only while the store calls that key sent; no
   exchange ends twice; no deadline is called early; whose outcome is being stored wants no connection; every
   change of state stands in its table; and none of the proxy's own tripwires
   (`strangler_invariant_violations_total`) is touched.
4. Everything ends: no request waits for ever, no key stays open, no pool counts what is not there.

Every request carries a nonce, which the backend puts into each part of its answer. The proxy's own answers
carry it too, as the origin that they allow. 1 and 2 look at nothing but the bytes on wires.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.edge.model.wire import Message

NOT_EXECUTED: Final = frozenset({401, 403, 429})

KINDS: Final = frozenset(
    {
        *("sent twice", "foreign answer", "mixed answer", "never asked", "two at once"),
        *("unclaimed", "ended twice", "early deadline", "unsettled", "caught", "raised"),
        *("still waiting", "miscounted", "no transition"),
    }
)
"""Of what can be wrong."""


@dataclass
class Request:
    """One request of a client, and what became of it at the backends."""

    nonce: str
    method: str
    key: str = ""
    upgrade: bool = False
    sent_to: str = ""  # the backend
    status: int = 0  # of the backend's whole answer

    @property
    def is_write(self) -> bool:
        return self.method != "GET"


class Invariants:
    """Told of every request and answer on every wire; collects what is wrong."""

    def __init__(self, idempotent: bool, state_of: Callable[[str], str], watched: frozenset[str]) -> None:
        """`state_of` a key, in the store. `watched`: of KINDS."""
        self._state_of = state_of
        self._watched = watched
        self.violations: list[str] = []
        self.answers: Counter[str] = Counter()
        self.requests: dict[str, Request] = {}
        self._by_key: dict[str, list[Request]] = {}
        self._idempotent = idempotent  # both backends dedupe keys

    def wrong(self, kind: str, what: str) -> None:
        assert kind in KINDS, kind
        if kind in self._watched:
            self.violations.append(f"{kind}: {what}")

    def asked(self, request: Request) -> None:
        self.requests[request.nonce] = request

    # 1

    def sent(self, nonce: str, backend: str) -> None:
        """The first byte of a request has gone to a backend."""
        request = self.requests.get(nonce)
        if request is None:
            self.wrong("never asked", nonce)
            return
        if not request.is_write:
            return
        if request.sent_to:
            self.wrong("sent twice", f"write {nonce} to {request.sent_to}, then to {backend}")
        request.sent_to = backend
        if request.key:
            self._key_sent(request, backend)

    def _key_sent(self, request: Request, backend: str) -> None:
        if (state := self._state_of(request.key)) != "sent":
            self.wrong("unclaimed", f"key {request.key} goes to {backend} while it is {state}")
        earlier = self._by_key.setdefault(request.key, [])
        for other in earlier:
            deduped = self._idempotent and other.sent_to == backend
            if other.status not in NOT_EXECUTED and not deduped:
                self.wrong(
                    "sent twice",
                    f"key {request.key}, as {other.nonce} to {other.sent_to} "
                    f"(answered {other.status}), then as {request.nonce} to {backend}",
                )
        earlier.append(request)

    def executed(self, nonce: str, status: int) -> None:
        """A backend's whole answer has left it."""
        if nonce in self.requests:
            self.requests[nonce].status = status

    # 2

    def answer(self, asked: list[Request], message: Message, who: str) -> None:
        """A head of an answer, or all of it, has reached client `who`, which still waits for `asked`."""
        if not asked:
            self.wrong("foreign answer", f"{who} asked for nothing and got {_shown(message)}")
            return
        request = asked[0]
        if message.done:
            kind = "own" if b"x-proxy-error" in message.fields else "relayed"
            self.answers["replayed" if b"idempotent-replayed" in message.fields else kind] += 1
        replayed = b"idempotent-replayed" in message.fields
        own = b"x-proxy-error" in message.fields
        nonce = message.text(b"access-control-allow-origin" if own else b"x-nonce")
        if own and not nonce:
            return  # the head could not be read, or not yet
        if nonce != request.nonce and not (replayed and self._same_key(nonce, request)):
            self.wrong("foreign answer", f"{who} asked for {request.nonce} and got {_shown(message)}")
        whole = message.done and not own
        if whole and message.body != nonce.encode() * (len(message.body) // max(1, len(nonce))):
            self.wrong("mixed answer", f"{who} got {message.body!r} for {nonce}")

    def tunnelled(self, nonce: bytes, data: bytes, who: str) -> None:
        if data.replace(nonce, b""):
            self.wrong("mixed answer", f"{who} got {data!r} in the tunnel of {nonce.decode()}")

    def _same_key(self, nonce: str, request: Request) -> bool:
        other = self.requests.get(nonce)
        return other is not None and bool(request.key) and other.key == request.key


def _shown(message: Message) -> str:
    nonce = message.text(b"x-nonce") or message.text(b"access-control-allow-origin")
    return f"{message.status} of {nonce or 'nobody'} {message.text(b'x-proxy-error')}".rstrip()

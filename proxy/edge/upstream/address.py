"""One address of a backend: what a worker knows about it, and its connections as their pool sees them."""

from __future__ import annotations

import logging
import ssl
from typing import Final

from proxy.core.forwarding import addresses
from proxy.core.http1.response import ResponseHead
from proxy.core.settings import Upstream
from proxy.edge.deadlines import NEVER
from proxy.edge.ports import UpstreamPort

log = logging.getLogger("strangler.worker")

FAILURES: Final = 5
NEVER_YET: Final = float("-inf")
SIT_OUT = 30.0  # not Final: tests shorten it, also where this is compiled


class Pooled(UpstreamPort):
    """A connection, with what its pool keeps about it."""

    __slots__ = (
        "address",
        "beat",
        "began",
        "expires",
        "host",
        "hosts",
        "idle_since",
        "pooled",
        "received",
        "request_sent",
        "response",
        "tunnel",
        "turned",
        "waited",
    )

    def __init__(self, address: Address) -> None:
        super().__init__()
        self.address = address
        self.idle_since = 0.0
        self.expires = NEVER  # from then on it serves nobody any more
        self.host = ""  # the numeric address that it is connected to; "" for a unix socket
        self.hosts: tuple[str, ...] = address.hosts  # those that its upstream had when last compared
        self.waited = 0.0  # seconds longer for its client than it was at work, up to `turned`
        self.turned = 0.0  # when it last began to wait for its client, or went on
        self.tunnel = False
        self.request_sent = False  # the last byte of the request was written
        self.response: ResponseHead | None = None  # under way: its head came, its end has not
        self.began = 0.0  # when that head came
        self.beat = NEVER_YET  # when the last interim answer came, on this connection
        self.received = 0  # bytes of its body, if that did not come whole with the head
        self.pooled = False  # its pool has it, and hears of its end

    @property
    def url(self) -> str:
        return self.address.upstream.url


class Address:
    """One upstream and what this worker knows about it. Times are the loop's; NEVER_YET before the first."""

    __slots__ = (
        "answered_at",
        "bad_probes",
        "failed_at",
        "failures",
        "gave_up",
        "gave_up_at",
        "healthy",
        "heard_at",
        "hosts",
        "idle",
        "lame",
        "left_out",
        "out_until",
        "outstanding",
        "probing",
        "run",
        "run_at",
        "run_began",
        "run_told",
        "tls",
        "trouble",
        "upstream",
        "vain",
        "whose",
    )

    def __init__(self, upstream: Upstream, whose: str = "") -> None:
        """`whose`: the backend, if that has several and may leave one out; otherwise ""."""
        self.upstream = upstream
        self.whose = whose
        self.left_out = False  # it lets requests wait or fail: from `out_until` on it gets one
        self.vain: dict[str, int] = {}  # by numeric address, if there are several: waits in vain in a row
        self.lame: dict[str, float] = {}  # those that lets connections wait, and until when it gets none
        self.hosts: tuple[str, ...] = ()  # its numeric addresses, as of the last lookup
        self.idle: list[Pooled] = []
        self.outstanding = 0
        self.failures = 0  # since the last whole answer
        self.failed_at = NEVER_YET
        self.answered_at = NEVER_YET  # the last whole answer
        self.heard_at = NEVER_YET  # the last head of an event stream, or upgrade: all that comes for hours
        self.gave_up = 0  # requests whose clients left, in the course of a long wait in which nothing came
        self.gave_up_at = NEVER_YET  # the last of them
        self.run = 0  # requests in a row whose clients left after a short wait, without anything in between
        self.run_began = NEVER_YET  # when the first of them began to wait
        self.run_at = NEVER_YET  # when the last of them left
        self.run_told = 0  # how many of them count already
        self.out_until = 0.0
        self.healthy = True  # as far as health checks know
        self.bad_probes = 0  # in a row
        self.probing = False
        self.trouble = ""  # why the last connection could not be made
        self.tls = ssl.create_default_context() if upstream.scheme == "https" else None

    def reached(self, backend: str, trouble: str) -> None:
        """A connection was made, or could not be for `trouble`. Only a new cause is logged: the numeric
        addresses of a name, which fail in turn for the same one, stand in brackets behind it."""
        before, self.trouble = self.trouble, trouble
        if _cause(trouble) != _cause(before):
            what = f"cannot be reached: {trouble}" if trouble else "can be reached again"
            log.warning("%s upstream %s %s", backend, self.upstream.url, what)

    def answered(self, now: float) -> None:
        """A whole answer came."""
        self.failures = 0
        self.answered_at = now
        if self.left_out:
            self.back()

    def back(self) -> None:
        """It was left out, and has answered."""
        self.left_out = False
        self.out_until = 0.0
        log.warning("%s upstream %s answers again", self.whose, self.upstream.url)

    def is_due(self, now: float, write: bool) -> bool:
        """Whether it may get a request."""
        return self.out_until + (3 * SIT_OUT if write and self.left_out else 0.0) <= now

    def is_left_out(self, now: float) -> bool:
        """Whether it is, and has been asked of late."""
        return self.left_out and now - max(self.gave_up_at, self.failed_at) < addresses.FORGOTTEN

    def in_vain(self, backend: str, host: str, now: float) -> bool:
        """A request on a connection to one of several numeric addresses has waited in vain; True if that one
        gets no new connections from now on.
        """
        if len(self.hosts) < 2 or host not in self.hosts:
            return False
        number = self.vain[host] = self.vain.get(host, 0) + 1
        if number != FAILURES:
            return False
        self.lame[host] = now + SIT_OUT
        log.warning(
            "%s upstream %s: its address %s %s", backend, self.upstream.url, host, _rarely("connection")
        )
        return True

    def host_answers(self, backend: str, host: str) -> None:
        """A whole answer came from this numeric address."""
        self.vain.pop(host, None)
        if self.lame.pop(host, None) is not None:
            log.warning("%s upstream %s: its address %s answers again", backend, self.upstream.url, host)

    def in_order(self, hosts: list[str], now: float) -> list[str]:
        """Those that do not answer last; but one of them first if its time has come, for one connection."""
        for host in [host for host in hosts if self.lame.get(host, NEVER) <= now]:
            self.lame[host] = now + SIT_OUT
            return [host, *(each for each in hosts if each != host)]
        return sorted(hosts, key=lambda host: host in self.lame)

    def last_heard(self) -> float:
        """When something came that showed that it goes on with its work."""
        return max(self.answered_at, self.heard_at)

    def left(self, since: float, now: float) -> int:
        """A client has left after a short wait: how many of those that did count as failures from now on.

        A single one is none, and neither are many at once, such as those of a page that was closed.
        """
        if self.last_heard() > self.run_began or now - self.run_at > addresses.FORGOTTEN:
            self.run = self.run_told = 0
        if not self.run:
            self.run_began = since
        self.run += 1
        self.run_at = now
        if self.run < FAILURES or now - self.run_began < addresses.SILENCE:
            return 0
        number = self.run - self.run_told
        self.run_told = self.run
        return number

    def given_up(self, now: float, number: int) -> None:
        """So many clients have left, in the course of a long wait in which nothing came from here."""
        if self.last_heard() > self.gave_up_at:
            self.gave_up = 0
        before = self.gave_up // FAILURES
        self.gave_up += number
        self.gave_up_at = now
        if self.gave_up // FAILURES > before:
            self._leave_out(now)

    def failed(self, now: float) -> None:
        """It could not be reached, or broke an exchange, or its answer made no sense."""
        self.failed_at = now
        self.failures += 1
        if self.failures % FAILURES == 0:
            self._leave_out(now)

    def _leave_out(self, now: float) -> None:
        self.out_until = now + SIT_OUT
        if self.whose and not self.left_out:
            self.left_out = True
            log.warning("%s upstream %s %s", self.whose, self.upstream.url, _rarely("request"))


def _cause(trouble: str) -> str:
    return trouble.partition(" (")[0]


def _rarely(what: str) -> str:
    return f"does not answer: it gets one {what} in {SIT_OUT:g} s until it does"

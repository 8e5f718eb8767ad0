"""What the control process and its workers say to each other over the channel.

JSON objects tagged by `type`, each preceded by its length (4 bytes, big endian). A worker's `Hello` also
carries its listening socket as ancillary data (SCM_RIGHTS), so that a new control process can adopt it.
"""

from __future__ import annotations

from typing import Any, get_args

import msgspec

MAX_MESSAGE = 64 * 1024 * 1024


class Message(msgspec.Struct, frozen=True, tag_field="type"):
    """Base of all messages; the tag is the class's name."""


class UnknownType(msgspec.ValidationError):
    """A message of a type that this version does not know: the other side is newer."""


# worker -> control


class Hello(Message, frozen=True, tag=True):
    """First message of every connection. `incarnation` is unique per worker process, also over restarts.

    `state` is the `server.state` whose keys the worker knows; "" before the first snapshot.
    """

    worker: int
    pid: int
    incarnation: str
    version: str
    hash: str = ""  # of the snapshot being served; "" before the first
    generation: int = 0
    state: str = ""
    takes_positions: bool = False  # one of an older version would take `Positions` for a fault, and hang up
    takes_values: bool = False  # one of an older version needs the document, which it validates itself


class Applied(Message, frozen=True, tag=True):
    """The worker now serves this snapshot."""

    hash: str
    generation: int


class Refused(Message, frozen=True, tag=True):
    """The worker could not compile or apply a snapshot and goes on with the one that it had."""

    hash: str
    generation: int
    error: str


class Requests(msgspec.Struct, frozen=True, array_like=True):
    """Finished requests with the same labels. `endpoint` is "GET /x/{y}" or "unlisted"; status 0: aborted."""

    endpoint: str
    backend: str  # legacy | async | proxy (answered here)
    reason: str
    status: int
    count: int


class Latency(msgspec.Struct, frozen=True, array_like=True):
    """Histogram over `stats.BOUNDS`: `counts` has len(BOUNDS) + 1 entries; `total` in seconds."""

    endpoint: str
    backend: str
    counts: list[int]
    total: float


class Labelled(msgspec.Struct, frozen=True, array_like=True):
    """A counter with one or two labels."""

    first: str
    second: str
    count: int


class OpenBreaker(msgspec.Struct, frozen=True, array_like=True):
    """A breaker that is not closed: of an endpoint, or of "async" as a whole."""

    name: str
    state: str  # open | ramping
    seconds: int  # until it lets more through


class AddressSeen(msgspec.Struct, frozen=True, array_like=True):
    """What one worker knows of one address of a backend. Times in seconds ago; -1: never."""

    backend: str
    url: str
    failures: int  # since the last whole answer
    healthy: bool  # as far as health checks know
    failed: float
    answered: float
    waiting: int = 0  # requests that wait long for an answer, or did until their clients left
    heard: float = -1.0  # the last whole answer, or head of an event stream
    left_out: bool = False  # of several: it gets one request now and then, until it answers
    hosts_out: list[str] = []  # numeric addresses of its name that are left out


class UnitReport(msgspec.Struct, frozen=True, array_like=True):
    """What a worker saw of the trials of one endpoint in a rollout, since `epoch` began.

    Bit maps of the units that had a trial, and of those that failed in each way; b"" for none. `legacy` and
    `async_` are requests without a sticky key: how many, and how many of each kind failed.
    """

    endpoint: str
    epoch: str
    active: bytes
    failing: bytes
    refused: bytes
    slower: bytes
    legacy: tuple[int, int, int, int]
    async_: tuple[int, int, int, int]
    version: str = ""  # of async, as its last answer says


class Stats(Message, frozen=True, tag=True):
    """Totals since the worker started, about once a second. Never differences: a lost one loses nothing.

    `partial`: of `requests` and `latencies` only those that changed since the message before; the first
    message of a connection has them all.
    """

    connections: int
    requests: list[Requests]
    latencies: list[Latency]
    proxy_errors: list[Labelled]  # source, kind
    retries: list[Labelled]  # endpoint, why
    outcome_unknown: list[Labelled]  # endpoint, ""
    dropped: list[Labelled]  # what, reason
    breakers: list[OpenBreaker]  # closed ones are absent
    keyed: list[Labelled] = []  # endpoint, what became of a request with an idempotency key
    partial: bool = False
    unlisted: list[Labelled] = []  # "GET /old/{id}", backend; bounded
    tasks: int = 0  # asyncio tasks that are not done; an idle worker has the same few for ever
    violations: list[Labelled] = []  # what, "": rules of our own that did not hold
    own: list[Requests] = []  # of `requests`, those that the proxy answered itself without asking a backend
    addresses: list[AddressSeen] = []
    full: float = -1.0  # seconds since a client last came when there was no room for another; -1: never
    units: list[UnitReport] = []  # of endpoints in a rollout; if `partial`, those that changed
    left: list[Requests] = []  # of `requests`, those whose clients left without having waited in vain
    early: list[Requests] = []  # of `requests`, those whose clients left after a wait that was short
    store: str = ""  # why keyed writes were refused of late: what the store of keys says


class Drained(Message, frozen=True, tag=True):
    """Nothing is in flight any more; the worker exits."""


# control -> worker


class Apply(Message, frozen=True, tag=True):
    """Serve this configuration: `config` is the validated document as JSON-ready values (env resolved).

    `values` are what the schema makes of it, so that the receiver needs no schema; then `config` is empty.
    `state` is the `server.state` that the instance was started with, whatever the document says by now: all
    workers of an instance know the same keys. "": the document's.
    """

    hash: str
    generation: int
    config: dict[str, Any]
    state: str = ""
    values: dict[str, Any] | None = None


def fitting(newest: Apply, *, takes_values: bool) -> Apply:
    """What a receiver gets of one that has both forms."""
    if newest.values is None:
        return newest
    if takes_values:
        return msgspec.structs.replace(newest, config={})
    return msgspec.structs.replace(newest, values=None)


class EndpointPosition(msgspec.Struct, frozen=True, array_like=True):
    """Of one endpoint with a plan: `weight` in hundredths of a percent, in place of the file's.

    `epoch` names what trials are counted under, "" for none. `slow` in seconds: longer to the head of an
    answer is too slow; None: not judged. `first` are sticky keys that are on async whatever the weight.
    """

    endpoint: str
    weight: int
    epoch: str = ""
    slow: float | None = None
    first: list[str] = []


class Positions(Message, frozen=True, tag=True):
    """Where all rollouts stand. Holds for the configuration in use and for later ones."""

    generation: int
    endpoints: list[EndpointPosition]


class Drain(Message, frozen=True, tag=True):
    """Stop accepting, finish what is in flight within `timeout` seconds, exit.

    `patient`: idle connections are not closed at once; their next answer carries `Connection: close`, so that
    no client loses a request that it was just sending.
    """

    timeout: float
    patient: bool = False


class Reopen(Message, frozen=True, tag=True):
    """Reopen the file of the access log."""


# control -> comparer


class Forget(Message, frozen=True, tag=True):
    """Keep no sample of this person, or of this path, taken up to now. `number` is of this request."""

    number: int
    principal: str
    path: str


FromWorker = Hello | Applied | Refused | Stats | Drained
FromControl = Apply | Positions | Drain | Reopen | Forget

_encoder = msgspec.json.Encoder()
_from_worker: msgspec.json.Decoder[FromWorker] = msgspec.json.Decoder(FromWorker)
_from_control: msgspec.json.Decoder[FromControl] = msgspec.json.Decoder(FromControl)


class _Tag(msgspec.Struct):
    type: str


_tag = msgspec.json.Decoder(_Tag)
_types = {each.__name__ for each in (*get_args(FromWorker), *get_args(FromControl))}


def encode(message: Message) -> bytes:
    """The message with its length prefix."""
    body = _encoder.encode(message)
    return len(body).to_bytes(4, "big") + body


def decode_from_worker(body: bytes) -> FromWorker:
    """Raises msgspec.DecodeError for anything that is not one of ours; UnknownType is one of those."""
    try:
        return _from_worker.decode(body)
    except msgspec.ValidationError:
        _check_type(body)
        raise


def decode_from_control(body: bytes) -> FromControl:
    """Raises msgspec.DecodeError for anything that is not one of ours; UnknownType is one of those."""
    try:
        return _from_control.decode(body)
    except msgspec.ValidationError:
        _check_type(body)
        raise


def _check_type(body: bytes) -> None:
    """Raises UnknownType for a message of a type that is in neither direction one of ours."""
    type = _tag.decode(body).type
    if type not in _types:
        raise UnknownType(f"the type {type[:40]!r} is not known to this version")

"""Keyed writes: what is known about a key, and what may happen to it next. Pure.

A key belongs to one backend, its *owner*, from its first use until it expires. What is known is a `Record`;
it changes only through the functions below, along TRANSITIONS:

    claimed -> sent -> completed | unknown | released        claimed -> released
    unknown -> completed | released | sent                   released -> sent | unknown

`unknown` leaves by the owner's late answer, by an operator, or by being sent again to an owner that dedupes
keys itself. `released` becomes unknown when only its owner's memory of keys made another attempt safe, and
that may have ended. A key of which nothing ever left belongs to nobody: its next try goes by weight.

The store saves `claimed` and `sent` as one step, for one durable write is enough. Times are Unix seconds by
its clock. A key expires one TTL after its last change: `expires_at - updated_at` is the TTL in every state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, Literal

from proxy.core.resilience.identity import FINGERPRINT_VERSION
from proxy.core.settings import Backend, BackendName

State = Literal["claimed", "sent", "completed", "unknown", "released"]
Note = Literal["", "too_large", "settled", "erased", "marker"]
"""Why a completed record has no answer: it was too large, an operator said that the write was done, or one
had the answer erased.

Or that it is no record of a key at all, but keeps version 0.1 off one: see `marker`.
"""

TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    "claimed": frozenset({"sent", "released"}),
    "sent": frozenset({"sent", "completed", "unknown", "released"}),  # sent -> sent: to another owner, unsent
    "unknown": frozenset({"sent", "completed", "unknown", "released"}),
    "released": frozenset({"sent", "unknown"}),
    "completed": frozenset(),
}

REMEMBERED: Final = (
    0.9  # share of the TTL, from a first use, for which an owner that dedupes surely knows a key
)
# How a backend may say that an attempt of the key still runs, or that it did not look at this one (408, 421).
IN_USE: Final = frozenset({408, 409, 421, 423, 425})


class IllegalTransition(Exception):
    """A transition that the record's state does not allow."""


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """A stored response: `head` is its status line and header lines, each with its CRLF."""

    status: int
    head: bytes
    body: bytes

    @property
    def size(self) -> int:
        """Its share of `idempotency.max_store`, in bytes."""
        return len(self.head) + len(self.body)


@dataclass(frozen=True, slots=True)
class Record:
    """What is known about one key."""

    id: str  # `identity`
    principal: str
    endpoint: str  # as in routing.yaml, for people
    key: str
    fingerprint: str
    owner: BackendName
    state: State
    incarnation: str  # of the worker that sent it last
    token: str  # of the attempt that sent it last: later changes must name it
    created_at: float
    updated_at: float
    expires_at: float
    answer: StoredAnswer | None = None
    note: Note = ""
    doubtful: bool = False  # sent again while the outcome of an earlier attempt was open
    fingerprint_version: int | None = None  # None: as version 0.1 made it
    unsent: str | None = None  # `token` itself, if nothing left before that attempt, nor by it once released
    failed: bool = False  # an attempt ended with a 5xx: only what its owner remembers makes another one safe
    size: int | None = None  # of the answer in the store, as it is counted there


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """A request that asks for a key. `backend` is where it would go if nobody owned the key yet."""

    id: str
    principal: str
    endpoint: str
    key: str
    fingerprint: str
    backend: BackendName
    incarnation: str
    token: str
    now: float  # the store replaces it with its own clock's
    ttl: float
    idempotent: frozenset[BackendName]  # backends that dedupe keys themselves
    in_flight: int = 409
    mismatch: int = 422
    records_only: bool = False  # it goes where the weight says, whatever is known
    not_after: float = math.inf  # nothing has expired by a clock that is beyond this
    former_id: str = ""  # under which version 0.1 has the key; "" if it is the same
    first_fingerprint: str = ""  # of version 1
    second_fingerprint: str = ""  # of version 2


@dataclass(frozen=True, slots=True)
class Proceed:
    """Send it, to `record.owner` and nowhere else. `existing`: an earlier claim decided, not the weight."""

    record: Record
    existing: bool


@dataclass(frozen=True, slots=True)
class Replay:
    owner: BackendName
    answer: StoredAnswer


@dataclass(frozen=True, slots=True)
class Refuse:
    """Nothing is sent. `kind` is the cause in x-proxy-error; `unknown`: the outcome is open until settled.

    `record` is what the claim becomes by it, if it changes.
    """

    owner: BackendName
    status: int
    kind: str
    detail: str
    unknown: bool = False
    record: Record | None = None


Verdict = Proceed | Replay | Refuse


# deciding


def resolve(record: Record | None, wanted: ClaimRequest) -> Verdict:
    """What happens to a request, by what is known about its key."""
    if record is None or expired(record, min(wanted.now, wanted.not_after)):
        return Proceed(send(claim(wanted)), existing=False)
    if not _is_same_request(record, wanted):
        detail = "this idempotency key was used for another request"
        return Refuse(record.owner, wanted.mismatch, "idempotency_mismatch", detail)
    if record.state in ("claimed", "sent"):
        detail = "the first request with this idempotency key is still running"
        return Refuse(record.owner, wanted.in_flight, "idempotency_in_flight", detail)
    if record.state == "completed":
        return _repeat(record)
    if (record.state == "unknown" or record.failed) and not _may_go_again(record, wanted):
        return _refuse_unknown(record, wanted)
    if wanted.records_only or never_left(record):
        return Proceed(replace(rerun(record, wanted), owner=wanted.backend), existing=False)
    return Proceed(rerun(record, wanted), existing=True)


def _refuse_unknown(record: Record, wanted: ClaimRequest) -> Refuse:
    detail = (
        "it is not known whether the first request with this idempotency key was executed; ask the operator"
    )
    lost = lose(record, wanted.now) if record.state == "released" and not wanted.records_only else None
    return Refuse(record.owner, 409, "outcome_unknown", detail, unknown=True, record=lost)


def never_left(record: Record) -> bool:
    """Not a byte of any attempt was sent. `unsent` counts only for the token that it names: version 0.1 sends
    again without touching it."""
    return record.state == "released" and record.unsent == record.token


def _is_same_request(record: Record, wanted: ClaimRequest) -> bool:
    """By the fingerprint that the record has. Those of two versions are never equal, but for 2 and 3, which
    are the same for all but forms.

    The version in the record does not decide: a worker of version 0.1 that takes over an expired row writes
    its own fingerprint, and leaves the version of the row before.
    """
    known = (wanted.fingerprint, wanted.second_fingerprint, wanted.first_fingerprint)
    return record.fingerprint in known


def _may_go_again(record: Record, wanted: ClaimRequest) -> bool:
    """An open outcome: only its owner may get it again, if that dedupes keys and still knows this one."""
    if wanted.records_only and wanted.backend != record.owner:
        return False
    remembered = wanted.now - record.created_at < REMEMBERED * wanted.ttl
    return remembered and record.owner in wanted.idempotent


def _repeat(record: Record) -> Replay | Refuse:
    if record.answer is not None:
        return Replay(record.owner, record.answer)
    if record.note == "settled":
        detail = "this was executed, as an operator has confirmed; its response is lost"
        return Refuse(record.owner, 409, "idempotency_settled", detail)
    why = "was erased" if record.note == "erased" else "was too large to be stored"
    detail = f"this was executed; its response {why}"
    return Refuse(record.owner, 409, "idempotency_response_too_large", detail)


def after_response(
    record: Record, status: int, backend: Backend
) -> Literal["store", "release", "failed", "in_use", "unknown"]:
    """What a backend's whole answer says about a write, of which `record` is known.

    A 5xx of a backend that dedupes keys itself frees the key: the next try is safe there, and may go better.
    """
    if in_use(record, status):
        return "in_use"
    if status in (401, 403) or status in backend.not_executed:
        return "release"
    if status < 500:
        return "store"
    return "failed" if backend.idempotent else "unknown"


def in_use(record: Record, status: int) -> bool:
    """Whether this refuses one attempt as an earlier one, whose outcome is open, still runs at the owner.

    That is no answer to the write. On a first attempt it is one: a business conflict.
    """
    return status in IN_USE and (record.doubtful or record.failed)


def expired(record: Record, now: float) -> bool:
    """A write in progress, or with an unknown outcome, never expires."""
    return record.state in ("completed", "released") and now >= record.expires_at


# transitions


def claim(wanted: ClaimRequest) -> Record:
    """A first use: the key belongs to `wanted.backend` from now on."""
    return Record(
        id=wanted.id,
        principal=wanted.principal,
        endpoint=wanted.endpoint,
        key=wanted.key,
        fingerprint=wanted.fingerprint,
        fingerprint_version=FINGERPRINT_VERSION,
        owner=wanted.backend,
        state="claimed",
        incarnation=wanted.incarnation,
        token=wanted.token,
        created_at=wanted.now,
        updated_at=wanted.now,
        expires_at=wanted.now + wanted.ttl,
        unsent=wanted.token,
    )


def marker(wanted: ClaimRequest) -> Record:
    """What stands under `wanted.former_id` while the key itself is under `wanted.id`.

    A worker of version 0.1 that gets the same request looks there, and takes it for a write that is still
    running: it refuses the request, and never sends it. No attempt holds it, so its token is no attempt's.
    """
    token = f"marker-{wanted.token}"
    first = wanted.first_fingerprint
    return replace(claim(wanted), id=wanted.former_id, token=token, fingerprint=first, note="marker")


def send(record: Record) -> Record:
    """The first byte may leave from now on."""
    return _to(record, "sent", record.updated_at)


def rerun(record: Record, wanted: ClaimRequest) -> Record:
    """Sent again, to the same owner: it was not executed, or the owner dedupes."""
    if record.state == "sent":
        raise IllegalTransition(f"{record.id}: is under way")
    return replace(
        _to(record, "sent", wanted.now),
        fingerprint=wanted.fingerprint,
        fingerprint_version=FINGERPRINT_VERSION,
        incarnation=wanted.incarnation,
        token=wanted.token,
        expires_at=wanted.now + wanted.ttl,
        doubtful=record.doubtful or record.state == "unknown",
        unsent=wanted.token if never_left(record) else None,
    )


def move(record: Record, owner: BackendName, now: float) -> Record:
    """To another owner, while provably nothing was sent."""
    return replace(_to(record, "sent", now), owner=owner)


def complete(record: Record, answer: StoredAnswer | None, now: float) -> Record:
    """The owner executed it; `answer` None: too large to be stored, or no room is left for it."""
    done = _to(record, "completed", now)
    note: Note = "" if answer else "too_large"
    return replace(done, answer=answer, note=note, doubtful=False, unsent=None, failed=False)


def release(record: Record, now: float, *, failed: bool = False) -> Record:
    """It was not executed; an earlier attempt that nobody knows about may have been all the same.

    `failed`: by a 5xx; another attempt is safe only as long as the owner remembers the key.
    """
    released = _to(record, "unknown" if record.doubtful else "released", now)
    return replace(released, unsent=None, failed=record.failed or failed)


def withdraw(record: Record, now: float) -> Record:
    """Provably nothing of this attempt was sent."""
    return _to(record, "unknown" if record.doubtful else "released", now)


def lose(record: Record, now: float) -> Record:
    """It is unknown whether it was executed."""
    return replace(_to(record, "unknown", now), unsent=None)


def settle(record: Record, done: bool, token: str, now: float) -> Record:
    """An operator has found out. A new token excludes late answers; the key is remembered for another TTL."""
    if record.state != "unknown":
        raise IllegalTransition(f"{record.id}: is {record.state}, and only an unknown outcome can be settled")
    settled = _to(record, "completed" if done else "released", now)
    return replace(
        settled, token=token, note="settled" if done else "", doubtful=False, unsent=None, failed=False
    )


def _to(record: Record, state: State, now: float) -> Record:
    if state not in TRANSITIONS[record.state]:
        raise IllegalTransition(f"{record.id}: {record.state} -> {state}")
    expires_at = record.expires_at + (now - record.updated_at)
    return replace(record, state=state, updated_at=now, expires_at=expires_at)

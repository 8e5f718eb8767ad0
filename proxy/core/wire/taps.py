"""What a worker tells the comparer of a sampled request, and the comparer the control process.

Taps are MessagePack arrays, each preceded by its length (4 bytes, big endian), over a unix socket in
`server.runtime_dir`. They hold credentials and are never stored.
"""

from __future__ import annotations

from typing import Final

import msgspec

from proxy.core.wire.messages import Labelled, Message

SOCKET_NAME: Final = "samples.sock"
MAX_TAP: Final = 128 * 1024  # bytes; what is larger is not compared


class Write(msgspec.Struct, frozen=True, array_like=True):
    """What a sampled write was, and what it was answered. `fields` and `location` are of the answer.

    `answer` is None if it was not kept.
    """

    location: bytes
    fields: bytes
    answer: bytes | None


class Tap(msgspec.Struct, frozen=True, array_like=True):
    """One sampled request; `backend` is the one that answered the client, with `status`.

    `host`, `fields` (raw header lines), `minor` and `target` as in RequestHead; `peer`, `trusted` as in Hop.
    `dropped`: what came to nothing since the last tap, as (endpoint, reason, number).
    """

    endpoint: str
    method: str
    target: bytes
    host: bytes
    fields: bytes
    minor: int
    peer: bytes
    trusted: bool
    backend: str
    status: int
    body: bytes
    write: Write | None
    dropped: list[tuple[str, str, int]]


class ComparerTotals(Message, frozen=True, tag="Compared"):
    """Totals since the comparer's start: endpoint, result, number."""

    results: list[Labelled]


class Forgot(Message, frozen=True, tag=True):
    """The `Forget` of this number holds from now on; so many samples that were not stored yet are gone."""

    number: int
    samples: int


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final[msgspec.msgpack.Decoder[Tap]] = msgspec.msgpack.Decoder(Tap)
_from_comparer: Final[msgspec.json.Decoder[ComparerTotals | Forgot]] = msgspec.json.Decoder(
    ComparerTotals | Forgot
)


def encode_tap(tap: Tap) -> bytes:
    """With its length before it."""
    body = _encoder.encode(tap)
    return len(body).to_bytes(4, "big") + body


def decode_tap(body: bytes) -> Tap:
    """Raises msgspec.DecodeError for anything that is not one of ours."""
    return _decoder.decode(body)


def decode_from_comparer(body: bytes) -> ComparerTotals | Forgot:
    """Raises msgspec.DecodeError for anything that is not one of ours."""
    return _from_comparer.decode(body)

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from proxy.core.wire.messages import (
    Applied,
    Apply,
    Drain,
    Drained,
    EndpointPosition,
    FromControl,
    FromWorker,
    Hello,
    Labelled,
    Latency,
    Message,
    Positions,
    Refused,
    Requests,
    Stats,
    UnitReport,
    UnknownType,
    decode_from_control,
    decode_from_worker,
    encode,
)

FROM_WORKER: list[FromWorker] = [
    Hello(1, 2, "inc", "0.1", "hash", 3),
    Applied("hash", 3),
    Refused("hash", 3, "why \u2028"),
    Stats(
        connections=1,
        requests=[Requests("GET /a", "legacy", "weight", 200, 5)],
        latencies=[Latency("GET /a", "legacy", [1, 2], 0.5)],
        proxy_errors=[Labelled("client", "x", 1)],
        retries=[],
        outcome_unknown=[],
        dropped=[],
        breakers=[],
        units=[
            UnitReport("GET /a", "1.1", bytes(range(256)), b"", b"", b"\x00", (1, 0, 0, 0), (2, 1, 0, 0), "v")
        ],
    ),
    Drained(),
]
FROM_CONTROL: list[FromControl] = [
    Apply("hash", 1, {"a": [1, "é", None]}),
    Apply("hash", 1, {}, "state", {"a": [1.0, "é", None]}),
    Drain(2.5),
    Positions(3, [EndpointPosition("GET /a", 100, "1.1", 0.25, ["ann"])]),
]


@pytest.mark.parametrize("message", FROM_WORKER, ids=lambda message: type(message).__name__)
def test_what_a_worker_says_arrives(message: FromWorker) -> None:
    data = encode(message)
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    assert decode_from_worker(data[4:]) == message


@pytest.mark.parametrize("message", FROM_CONTROL, ids=lambda message: type(message).__name__)
def test_what_the_control_process_says_arrives(message: FromControl) -> None:
    assert decode_from_control(encode(message)[4:]) == message


@pytest.mark.parametrize("message", FROM_WORKER, ids=lambda message: type(message).__name__)
def test_each_side_refuses_its_own_messages(message: Message) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_from_control(encode(message)[4:])


@pytest.mark.parametrize(
    "body", [b"", b"null", b"{}", b'{"type":"Nope"}', b'{"type":"Applied","hash":1}', b"\xff"]
)
def test_garbage_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_from_worker(body)


@pytest.mark.parametrize("decode", [decode_from_control, decode_from_worker])
def test_a_type_of_a_newer_version_is_told_from_garbage(decode: Callable[[bytes], object]) -> None:
    with pytest.raises(UnknownType, match="'Nope'"):
        decode(b'{"type":"Nope","of":1}')
    for body in (b'{"type":"Applied","hash":1}', b'{"type":"Apply","hash":1}', b'{"of":1}', b'{"type":1}'):
        with pytest.raises(msgspec.DecodeError) as refused:
            decode(body)
        assert not isinstance(refused.value, UnknownType)


def test_a_worker_of_an_older_version_does_not_say_what_it_takes() -> None:
    said = b'{"type":"Hello","worker":1,"pid":2,"incarnation":"i","version":"0"}'
    hello = decode_from_worker(said)
    assert isinstance(hello, Hello)
    assert not hello.takes_positions
    assert not hello.takes_values

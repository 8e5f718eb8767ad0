from __future__ import annotations

import msgspec
import pytest

from proxy.core.wire.messages import (
    Applied,
    Apply,
    Drain,
    Drained,
    FromControl,
    FromWorker,
    Hello,
    Labelled,
    Latency,
    Message,
    Refused,
    Requests,
    Stats,
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
    ),
    Drained(),
]
FROM_CONTROL: list[FromControl] = [Apply("hash", 1, {"a": [1, "é", None]}), Drain(2.5)]


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

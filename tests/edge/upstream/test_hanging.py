"""An async that hangs while its clients are less patient than the proxy, or in the middle of its answers."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from proxy.core.wire.messages import AddressSeen
from tests.edge.conftest import Stage
from tests.edge.exchange.test_exchange import READ, Serve, outcomes, reading_then, silent
from tests.edge.harness import WAIT, Edge, Wire, answering, eventually, ok

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
EVENTS = CHUNKED + b"Content-Type: text/event-stream\r\n\r\n"
RUN = 5  # failures in a row that open a breaker

# What a backend that hangs may have sent before.
HANGS: dict[str, bytes] = {
    "nothing": b"",
    "half a head": HEAD[:20],
    "a head": HEAD,
    "a head and a piece": HEAD + b"abc",
    "the head of chunks": CHUNKED + b"\r\n",
    "a chunk": CHUNKED + b"\r\n3\r\nabc\r\n",
    "early hints": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "that it goes on": b"HTTP/1.1 102 Processing\r\n\r\n",
    "two interim answers at once": 2 * b"HTTP/1.1 102 Processing\r\n\r\n",
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.edge.upstream.hanging.LONG", 0.05)


def site(stage: Stage, serve: Serve, endpoints: str = "GET /a: {weight: 100}", more: str = "") -> Edge:
    legacy = stage.upstream(answering(ok(b"legacy")))
    return stage.edge(
        legacy.url, stage.upstream(serve).url, endpoints=endpoints, rest="breaker: {open_for: 60s}" + more
    )


def saying(data: bytes) -> Serve:
    return reading_then(lambda wire: (data and wire.send(data), silent(wire))[1])


def hanging_while(hang: threading.Event) -> Serve:
    def serve(wire: Wire, number: int) -> None:
        wire.request()
        if hang.is_set():
            silent(wire)
        wire.send(ok(b"async"))

    return serve


def give_up(edge: Edge, path: bytes = b"/a", after: float = 0.2) -> None:
    """A read whose client leaves without an answer when that has not come for `after` seconds."""
    ended = requests(edge)
    with contextlib.closing(edge.connect()) as wire:
        wire.send(READ.replace(b"/a", path))
        end = time.monotonic() + after
        with contextlib.suppress(TimeoutError):
            while (left := end - time.monotonic()) > 0:
                wire.sock.settimeout(left)
                wire.more()
        wire.reset()
    eventually(lambda: requests(edge) > ended, "the proxy hears of it")


def requests(edge: Edge) -> int:
    return edge.call(lambda: sum(edge.services.counters.requests.values()))


def breakers(edge: Edge) -> list[str]:
    return [line.name for line in edge.stats().breakers]


def seen(edge: Edge) -> AddressSeen:
    return next(line for line in edge.stats().addresses if line.backend == "async")


@pytest.mark.parametrize("sent", HANGS.values(), ids=HANGS)
def test_reads_whose_clients_gave_up_waiting_open_the_breaker(stage: Stage, sent: bytes) -> None:
    edge = site(stage, saying(sent))
    for _ in range(RUN):
        assert breakers(edge) == []
        give_up(edge)
    assert breakers(edge) == ["async"]
    assert outcomes(edge) == {("GET /a", "async", "weight", 0): RUN}
    assert edge.ask(READ).body == b"legacy"


@pytest.mark.parametrize("sent", HANGS.values(), ids=HANGS)
def test_what_waits_or_waited_until_its_client_left_is_reported(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr("proxy.core.forwarding.addresses.SILENCE", 0.0)
    edge = site(stage, saying(sent))
    give_up(edge)
    with contextlib.closing(edge.connect()) as one:
        one.send(READ)
        eventually(lambda: seen(edge).waiting == 2, "one waits and one gave up")
        assert seen(edge).heard == -1


def test_quick_cancels_say_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.edge.upstream.hanging.LONG", 60.0)
    edge = site(stage, saying(b""))
    for _ in range(2 * RUN):
        give_up(edge)
    assert breakers(edge) == []
    assert seen(edge).waiting == 0


def test_long_polls_that_are_given_up_say_nothing_while_async_answers_others(stage: Stage) -> None:
    def serve(wire: Wire, number: int) -> None:
        with contextlib.suppress(EOFError):
            while b"/poll" not in wire.request():
                wire.send(ok(b"async"))
            silent(wire)

    edge = site(stage, serve, "GET /a: {weight: 100}\nGET /poll: {weight: 100}")
    for _ in range(2 * RUN):
        with contextlib.closing(edge.connect()) as poll:
            poll.send(READ.replace(b"/a", b"/poll"))
            eventually(lambda: edge.call(lambda: edge.services.pools["async"].connections), "it polls")
            poll.sock.settimeout(0.1)
            with contextlib.suppress(TimeoutError):
                poll.read_until(b"\0never")
            assert edge.ask(READ).body == b"async"
    assert breakers(edge) == []
    assert seen(edge).waiting == 0


def test_an_answer_forgets_those_that_gave_up_before(stage: Stage) -> None:
    hang = threading.Event()
    edge = site(stage, hanging_while(hang))
    for _ in range(2):
        hang.set()
        for _ in range(RUN - 1):
            give_up(edge)
        assert seen(edge).waiting == RUN - 1
        hang.clear()
        assert edge.ask(READ).body == b"async"
        assert seen(edge).waiting == 0
    assert breakers(edge) == []


def test_quiet_event_streams_are_no_hang(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.core.forwarding.addresses.SILENCE", 0.0)
    edge = site(stage, saying(EVENTS))
    with contextlib.closing(edge.connect()) as stream:
        stream.send(READ)
        stream.read_until(b"\r\n\r\n")
        for _ in range(2 * RUN):
            give_up(edge)
        assert breakers(edge) == []
        assert seen(edge).waiting == 0


def test_of_two_addresses_the_one_that_hangs_sits_out(stage: Stage) -> None:
    hanging, well = stage.upstream(saying(b"")), stage.upstream(answering(ok(b"well")))
    edge = stage.edge(
        stage.upstream().url, [hanging.url, well.url], endpoints="GET /a: {weight: 100, fallback: none}"
    )
    for _ in range(200):
        if len(hanging.requests) == RUN:
            break
        give_up(edge)
    assert len(hanging.requests) == RUN
    assert {edge.ask(READ).body for _ in range(20)} == {b"well"}


HINT = b"HTTP/1.1 103 Early Hints\r\n\r\n"
BEATS: dict[str, tuple[bytes, bytes]] = {  # what comes first, and then again and again
    "interim answers": (HINT, HINT),
    "a body byte by byte": (HEAD, b"x"),
    "chunks byte by byte": (CHUNKED + b"\r\n", b"1\r\nx\r\n"),
}


def beating(first: bytes, beat: bytes, path: bytes = b"/") -> Serve:
    """Never answers: to requests for `path` it sends beats, to others nothing."""

    def serve(wire: Wire, number: int) -> None:
        if path not in wire.request():
            silent(wire)
        wire.send(first)
        for _ in range(10):  # as many interim answers as there may be
            time.sleep(0.05)
            wire.send(beat)
        silent(wire)

    return serve


@pytest.mark.parametrize(("first", "beat"), BEATS.values(), ids=BEATS)
def test_beats_speak_only_for_the_exchange_that_they_belong_to(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, first: bytes, beat: bytes
) -> None:
    monkeypatch.setattr("proxy.edge.upstream.hanging.ALIVE", 0.0)
    edge = site(stage, beating(first, beat, b"/beats"), "GET /a: {weight: 100}\nGET /beats: {weight: 100}")
    with contextlib.closing(edge.connect()) as wire:
        wire.send(READ.replace(b"/a", b"/beats"))
        wire.read_until(first[-4:])
        for _ in range(RUN):
            assert breakers(edge) == []
            give_up(edge)
    assert breakers(edge) == ["async"]
    assert seen(edge).heard == -1


@pytest.mark.parametrize(("first", "beat"), BEATS.values(), ids=BEATS)
def test_requests_that_only_get_beats_for_long_are_waits_in_vain(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, first: bytes, beat: bytes
) -> None:
    monkeypatch.setattr("proxy.edge.upstream.hanging.ALIVE", 0.0)
    monkeypatch.setattr("proxy.edge.upstream.hanging.PATIENT", 0.2)
    edge = site(stage, beating(first, beat))
    for _ in range(RUN):
        assert breakers(edge) == []
        give_up(edge, after=0.5)
    assert breakers(edge) == ["async"]


@pytest.mark.parametrize(("first", "beat"), BEATS.values(), ids=BEATS)
def test_beats_make_a_wait_of_some_seconds_normal(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, first: bytes, beat: bytes
) -> None:
    monkeypatch.setattr("proxy.edge.upstream.hanging.LONG", 0.25)
    monkeypatch.setattr("proxy.edge.upstream.hanging.ALIVE", 0.0)
    edge = site(stage, beating(first, beat))
    for _ in range(RUN):
        give_up(edge, after=0.35)
    assert breakers(edge) == []


def test_a_download_that_its_client_cancels_says_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.edge.upstream.hanging.PATIENT", 0.1)
    monkeypatch.setattr("proxy.edge.upstream.hanging.LONG", 0.25)
    edge = site(stage, beating(HEAD.replace(b"100", b"1000000"), 1000 * b"x"))
    for _ in range(RUN):
        give_up(edge, after=0.35)
    assert breakers(edge) == []
    stats = edge.stats()
    assert sum(line.count for line in (*stats.left, *stats.early)) > 0


# one endpoint


def hanging_at(path: bytes) -> Serve:
    def serve(wire: Wire, number: int) -> None:
        with contextlib.suppress(EOFError):
            while path not in wire.request():
                wire.send(ok(b"async"))
            silent(wire)

    return serve


def two_endpoints(stage: Stage, breaker: str) -> Edge:
    return site(
        stage, hanging_at(b"/a"), f"GET /a: {{weight: 100, breaker: {{{breaker}}}}}\nGET /b: {{weight: 100}}"
    )


OTHER = READ.replace(b"/a", b"/b")


def test_an_endpoint_that_hangs_while_others_answer_opens_its_own_breaker(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.core.resilience.breaker.SPAN", 0.0)
    edge = two_endpoints(stage, "give_ups: 4")
    for _ in range(4):
        assert breakers(edge) == []
        give_up(edge)
        assert edge.ask(OTHER).body == b"async"
    assert breakers(edge) == ["GET /a"]
    assert edge.ask(READ).body == b"legacy"
    assert edge.ask(OTHER).body == b"async"


def test_clients_of_an_endpoint_that_leave_say_nothing_where_that_is_switched_off(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.core.resilience.breaker.SPAN", 0.0)
    edge = two_endpoints(stage, "give_ups: 0")
    for _ in range(2 * RUN):
        give_up(edge)
    assert breakers(edge) == []
    assert seen(edge).waiting == 0
    assert [(line.endpoint, line.count) for line in edge.stats().left] == [("GET /a", 2 * RUN)]


def test_clients_that_leave_soon_are_told_from_those_that_waited(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaving() -> tuple[int, int]:
        stats = edge.stats()
        return sum(line.count for line in stats.left), sum(line.count for line in stats.early)

    edge = site(stage, saying(b""))
    give_up(edge)
    assert leaving() == (0, 0)
    monkeypatch.setattr("proxy.edge.upstream.hanging.LONG", 60.0)
    monkeypatch.setattr("proxy.edge.upstream.hanging.BRIEF", 0.05)
    give_up(edge)
    assert leaving() == (0, 1)
    monkeypatch.setattr("proxy.edge.upstream.hanging.BRIEF", 60.0)
    give_up(edge)
    assert leaving() == (1, 1)
    assert outcomes(edge) == {("GET /a", "async", "weight", 0): 3}


def test_connections_that_clients_gave_up_waiting_for_open_the_breaker(stage: Stage) -> None:
    legacy = stage.upstream(answering(ok(b"legacy")))
    with deaf() as port:
        edge = stage.edge(
            legacy.url,
            f"http://127.0.0.1:{port}",
            endpoints="GET /a: {weight: 100}",
            async_backend="timeouts: {connect: 60s}",
            rest="breaker: {open_for: 60s}",
        )
        for number in range(RUN):
            assert breakers(edge) == []
            assert seen(edge).waiting == number
            give_up(edge)
        assert breakers(edge) == ["async"]
        assert edge.ask(READ).body == b"legacy"


@contextlib.contextmanager
def deaf() -> Iterator[int]:
    """The port of one that does not answer those who connect: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_an_address_that_stalls_is_told_and_is_asked_again_with_one_read_at_a_time(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("proxy.edge.upstream.address.SIT_OUT", 0.5)
    hang = threading.Event()
    hang.set()
    hanging, well = stage.upstream(hanging_while(hang)), stage.upstream(answering(ok(b"well")))
    edge = stage.edge(
        stage.upstream().url,
        [hanging.url, well.url],
        endpoints="GET /a: {weight: 100, fallback: none}\nPOST /w: {weight: 100, force: test}",
    )

    def left_out() -> list[bool]:
        return [line.left_out for line in edge.stats().addresses if line.backend == "async"]

    began = time.monotonic()
    for _ in range(300):
        if len(hanging.requests) == RUN + 2:
            break
        give_up(edge)
    assert left_out() == [True, False]
    assert time.monotonic() - began >= 2 * 0.5, "one read each time"
    hang.clear()
    eventually(lambda: edge.ask(READ).body == b"async", "it answers again")
    assert left_out() == [False, False]
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        f"async upstream {hanging.url} does not answer: it gets one request in 0.5 s until it does",
        f"async upstream {hanging.url} answers again",
    ]


# clients that are too impatient for one of them to say anything


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.edge.upstream.hanging.LONG", 60.0)
    monkeypatch.setattr("proxy.edge.upstream.hanging.BRIEF", 0.05)
    monkeypatch.setattr("proxy.core.forwarding.addresses.SILENCE", 0.0)


@pytest.mark.parametrize("sent", HANGS.values(), ids=HANGS)
def test_many_short_waits_without_anything_between_them_are_a_hang(
    stage: Stage, hurried: None, sent: bytes
) -> None:
    edge = site(stage, saying(sent))
    for _ in range(RUN):
        assert (breakers(edge), seen(edge).waiting) == ([], 0)
        give_up(edge)
    assert (breakers(edge), seen(edge).waiting) == (["async"], RUN)
    assert edge.ask(READ).body == b"legacy"


def test_short_waits_for_connections_are_a_hang_too(stage: Stage, hurried: None) -> None:
    with deaf() as port:
        edge = stage.edge(
            stage.upstream(answering(ok(b"legacy"))).url,
            f"http://127.0.0.1:{port}",
            endpoints="GET /a: {weight: 100}",
            async_backend="timeouts: {connect: 60s}",
            rest="breaker: {open_for: 60s}",
        )
        for _ in range(RUN):
            assert (breakers(edge), seen(edge).waiting) == ([], 0)
            give_up(edge)
        assert (breakers(edge), seen(edge).waiting) == (["async"], RUN)


def test_many_short_waits_say_nothing_before_the_silence_was_long(
    stage: Stage, hurried: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.core.forwarding.addresses.SILENCE", 60.0)
    edge = site(stage, saying(b""))
    for _ in range(2 * RUN):
        give_up(edge)
    monkeypatch.setattr("proxy.core.forwarding.addresses.SILENCE", 0.0)
    assert (breakers(edge), seen(edge).waiting) == ([], 0)
    give_up(edge)  # and this one brings in all that came before it
    assert (breakers(edge), seen(edge).waiting) == (["async"], 2 * RUN + 1)


def test_clients_that_leave_at_once_say_nothing_however_many(
    stage: Stage, hurried: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.edge.upstream.hanging.BRIEF", 60.0)
    edge = site(stage, saying(b""))
    for _ in range(3 * RUN):
        give_up(edge, after=0.01)
    assert (breakers(edge), seen(edge).waiting) == ([], 0)


def test_short_waits_begin_anew_after_each_answer(stage: Stage, hurried: None) -> None:
    hang = threading.Event()
    edge = site(stage, hanging_while(hang))
    for _ in range(3):
        hang.set()
        for _ in range(RUN - 1):
            give_up(edge)
        hang.clear()
        assert edge.ask(READ).body == b"async"
    assert (breakers(edge), seen(edge).waiting) == ([], 0)


def test_of_two_addresses_the_one_that_lets_the_impatient_wait_sits_out(
    stage: Stage, hurried: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = itertools.cycle([1, -1])  # in turn: five in a row at the first would speak against both
    monkeypatch.setattr("random.sample", lambda found, number: found[:: next(sides)])
    hanging, well = stage.upstream(saying(b"")), stage.upstream(answering(ok(b"well")))
    edge = stage.edge(
        stage.upstream().url, [hanging.url, well.url], endpoints="GET /a: {weight: 100, fallback: none}"
    )
    for _ in range(200):
        if len(hanging.requests) == RUN:
            break
        give_up(edge)
    assert len(hanging.requests) == RUN
    assert {edge.ask(READ).body for _ in range(20)} == {b"well"}
    assert breakers(edge) == []


# one verdict for each answer


BREAKS: dict[str, Callable[[Wire], None]] = {
    "a length": lambda wire: wire.send(HEAD + b"abc"),
    "chunks": lambda wire: wire.send(CHUNKED + b"\r\n3\r\nabc\r\n"),
    "a stall": lambda wire: (wire.send(HEAD + b"abc"), silent(wire))[1],
}


@pytest.mark.parametrize("act", BREAKS.values(), ids=BREAKS)
def test_answers_that_break_off_are_failures_in_a_row(stage: Stage, act: Callable[[Wire], None]) -> None:
    legacy, async_ = stage.upstream(answering(ok(b"legacy"))), stage.upstream(reading_then(act))
    edge = stage.edge(
        legacy.url,
        async_.url,
        endpoints="GET /a: {weight: 100}",
        async_backend="timeouts: {idle: 200ms}",
    )
    for _ in range(RUN):
        assert breakers(edge) == []
        with contextlib.closing(edge.connect()) as wire:
            wire.send(READ)
            with contextlib.suppress(OSError):
                wire.read_all()
    assert breakers(edge) == ["async", "GET /a"]
    assert edge.ask(READ).body == b"legacy"


def whole(parts: tuple[bytes, ...]) -> Serve:
    def serve(wire: Wire, number: int) -> None:
        wire.request()
        if number > 1:
            for part in parts:
                wire.send(part)

    return serve


@pytest.mark.parametrize(
    "parts",
    [(HEAD, b"a" * 50, b"b" * 50), (CHUNKED + b"\r\n3\r\nabc\r\n", b"0\r\n\r\n")],
    ids=["a length", "chunks"],
)
def test_an_answer_in_pieces_is_a_success_once_it_is_whole(stage: Stage, parts: tuple[bytes, ...]) -> None:
    edge = site(stage, whole(parts))
    assert edge.ask(READ).body == b"legacy"  # the first connection is closed without an answer
    assert edge.call(lambda: edge.services.breakers._whole._run) == 1
    assert edge.ask(READ).status == 200
    assert edge.call(lambda: edge.services.breakers._whole._run) == 0


@pytest.mark.parametrize(("head", "credited"), [(EVENTS, True), (HEAD, False)], ids=["events", "a length"])
def test_an_answer_without_an_end_is_a_success_after_it_has_flowed_for_a_while(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, head: bytes, credited: bool
) -> None:
    monkeypatch.setattr("proxy.edge.upstream.hanging.STEADY", 0.05)
    go, end = threading.Event(), threading.Event()

    def serve(wire: Wire, number: int) -> None:
        wire.request()
        if number == 1:
            return
        wire.send(head)
        go.wait(WAIT)
        wire.send(b"3\r\nabc\r\n")
        end.wait(WAIT)

    edge = site(stage, serve)
    assert edge.ask(READ).body == b"legacy"
    with contextlib.closing(edge.connect()) as wire:
        wire.send(READ)
        pool = edge.services.pools["async"]
        began = edge.call(lambda: pool.loop.time())
        eventually(lambda: edge.call(lambda: pool.loop.time() - began > 0.2), "a while has passed")
        assert edge.call(lambda: edge.services.breakers._whole._run) == 1
        go.set()
        wire.read_until(b"abc")
        assert edge.call(lambda: edge.services.breakers._whole._run) == (0 if credited else 1)
        end.set()
        with contextlib.suppress(OSError):
            wire.read_all()
    assert edge.call(lambda: edge.services.breakers._whole._run) == (0 if credited else 2)

"""A site with real processes, and the admin app over a state without any."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from starlette.testclient import TestClient

from proxy.config import Loaded
from proxy.control.admin.app import build
from proxy.control.collect import Collector
from proxy.control.hearing import Hearing
from proxy.control.pulse import Pulse
from proxy.control.reload import Change, InForce, Reloader, load
from proxy.control.restart import Restarter
from proxy.control.state import State
from proxy.control.supervisor.supervisor import supervise
from proxy.control.verdicts import Verdicts
from proxy.core.evidence.stats import BOUNDS
from proxy.core.traffic.totals import EMPTY
from proxy.core.wire.messages import Labelled, Latency, OpenBreaker, Requests
from tests.control.site import Site

CONFIG = """\
server: {{admin: "{admin}", admin_token: "{token}", admin_write: {write}, state: "sqlite:///{state}"}}
backends: {{legacy: {{url: "http://127.0.0.1:1"}}, async: {{url: "http://127.0.0.1:2"}}}}
endpoints:
  GET /a/{{id}}: {{weight: 12.5}}
  POST /b: {{weight: 0}}
"""
LOCAL = "http://127.0.0.1:9000"

MakeState = Callable[..., State]


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("s"))
    try:
        yield site
    finally:
        site.close()


@pytest.fixture
def make_state(tmp_path: Path) -> MakeState:
    def make(
        admin: str = "127.0.0.1:9000",
        token: str = "",
        write: str = "false",
        record: Callable[[Change], None] = lambda change: None,
        unlisted: Callable[[], int] = lambda: 0,
    ) -> State:
        path = tmp_path / "routing.yaml"
        path.write_text(CONFIG.format(admin=admin, token=token, write=write, state=tmp_path / "state.db"))
        collector = Collector()

        async def publish(loaded: Loaded, generation: int) -> None:
            """There are no workers."""

        content = path.read_bytes()
        in_force = InForce(load(content, str(path)))
        reloader = Reloader(path, content, in_force, publish, record=record, unlisted=unlisted)
        supervisor = supervise(("true",), "", collector, Pulse(Hearing()))
        return State(
            reloader,
            supervisor,
            collector,
            Restarter(reloader, supervisor, str(tmp_path)),
            Verdicts(reloader.started.server.state, lambda: reloader.running.snapshot),
        )

    return make


@pytest.fixture
def state(make_state: MakeState) -> State:
    return make_state()


@pytest.fixture
def client(state: State) -> TestClient:
    return TestClient(build(state), base_url=LOCAL, raise_server_exceptions=False)


def traffic(state: State) -> None:
    """One worker with some of everything."""
    counts = [0] * (len(BOUNDS) + 1)
    counts[20], counts[60], counts[-1] = 90, 9, 1
    state.collector.joined("w", fresh=True)
    state.collector.record(
        "w",
        msgspec.structs.replace(
            EMPTY,
            connections=4,
            requests=[
                Requests("GET /a/{id}", "async", "weight", 200, 98),
                Requests("GET /a/{id}", "async", "weight", 503, 1),
                Requests("GET /a/{id}", "async", "weight", 0, 1),
                Requests("unlisted", "legacy", "unlisted", 404, 3),
            ],
            latencies=[Latency("GET /a/{id}", "async", counts, 12.5)],
            proxy_errors=[Labelled("upstream", "timeout", 2)],
            retries=[Labelled("GET /a/{id}", "reset", 5)],
            outcome_unknown=[Labelled("POST /b", "", 6)],
            dropped=[Labelled("tee", 'full "queue"\n', 7)],
            breakers=[OpenBreaker("GET /a/{id}", "open", 8)],
        ),
    )


def a_minute_later(state: State) -> None:
    """The minute in which `traffic` came is over, whatever the clock says."""
    state.collector.history.add(time.monotonic() + 60, state.collector.totals())

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from datetime import datetime

import httpx2
import pytest
from starlette.testclient import TestClient

from fx_provider.__main__ import main
from fx_provider.app import PER_EURO, Behaviour, create_app


def client(**behaviour: float) -> TestClient:
    return TestClient(create_app(Behaviour(**{"latency": 0.0, **behaviour}), seed=3))


def test_rates_are_fixed_without_drift() -> None:
    answer = client().get("/rates/EUR/USD").json()
    assert datetime.fromisoformat(answer.pop("as_of")).tzinfo is not None
    assert answer == {"base": "EUR", "quote": "USD", "rate": "1.084200", "valid_for": 30.0}


def test_there_and_back_is_one() -> None:
    provider = client()
    for base in PER_EURO:
        there, back = provider.get(f"/rates/{base}/EUR").json(), provider.get(f"/rates/EUR/{base}").json()
        assert float(there["rate"]) * float(back["rate"]) == pytest.approx(1, rel=1e-3)


def test_pair_that_is_not_traded_is_not_found() -> None:
    assert client().get("/rates/EUR/XXX").status_code == 404


def test_same_seed_fails_the_same_requests() -> None:
    runs = []
    for _ in range(2):
        provider = client(failure=0.5)
        runs.append([provider.get("/rates/EUR/USD").status_code for _ in range(40)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 500}


def test_drift_stays_within_its_share() -> None:
    provider = client(drift=0.01)
    rates = {float(provider.get("/rates/EUR/USD").json()["rate"]) for _ in range(50)}
    assert len(rates) > 10
    assert all(abs(rate / 1.0842 - 1) <= 0.0101 for rate in rates)


def test_behaviour_changes_while_it_runs() -> None:
    provider = client()
    assert provider.put("/behaviour", json={"failure": 1}).json()["failure"] == 1
    assert provider.get("/rates/EUR/USD").status_code == 500


@pytest.mark.parametrize("wanted", ["x", [], {"failure": -1}, {"failure": "x"}, {"colour": 1}])
def test_wrong_behaviour_is_refused(wanted: object) -> None:
    assert client().put("/behaviour", json=wanted).status_code == 422


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--latency", "20"], "'20' is not a duration such as 20ms or 1.5s"),
        (["--failure", "2"], "'2' is not a number from 0 to 1"),
        (["--port", "x"], "argument --port: invalid int value: 'x'"),
    ],
)
def test_wrong_options_are_explained(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_stop_is_a_success() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, "-m", "fx_provider", "--port", str(port)]) as process:
        transport = httpx2.HTTPTransport(retries=8)  # each waits twice as long as the one before
        with httpx2.Client(transport=transport, trust_env=False, timeout=10) as asking:
            assert asking.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0

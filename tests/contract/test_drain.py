"""SIGTERM: what is being answered is finished, and the server exits cleanly."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.contract import servers
from tests.contract.fixtures import Ledger, client_of
from tests.contract.servers import Server


@pytest.mark.parametrize("start", [servers.legacy, servers.async_], ids=["legacy", "async"])
def test_request_in_flight_is_answered(
    ledger: Ledger, start: Callable[..., AbstractContextManager[Server]]
) -> None:
    with (
        servers.fx(latency="700ms") as provider,
        start(ledger.url, provider.url, FX_TIMEOUT="5") as server,
        client_of(server.url, ledger.api_key) as api,
        ThreadPoolExecutor(1) as pool,
    ):
        call = pool.submit(api.get, "/quotes?base=EUR&quote=USD&amount=1.00")
        deadline = time.monotonic() + 5
        while not _asked(provider) and time.monotonic() < deadline:
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        assert call.result().status_code == 200
        assert server.process.wait(20) == 0


def _asked(provider: Server) -> bool:
    """Whether somebody else has a connection to the provider."""
    port = f"{int(provider.url.rsplit(':', 1)[1]):04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[2].endswith(f":{port}") and line.split()[3] == "01" for line in lines)

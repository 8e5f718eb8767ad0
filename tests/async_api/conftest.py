from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.async_api import valkey as server
from tests.async_api.valkey import Valkey


@pytest.fixture(scope="session")
def shared_valkey() -> Iterator[Valkey]:
    with server.running() as running:
        yield running


@pytest.fixture
def valkey(shared_valkey: Valkey) -> Valkey:
    """Empty."""
    shared_valkey.client.flushall()
    return shared_valkey

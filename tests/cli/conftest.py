"""Sites that serve with `strangler serve`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.cli.real_site import RealSite, backend

MakeSite = Callable[[int, int], RealSite]


@pytest.fixture
def make_real_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeSite]:
    """Makes sites before backends on these two ports; ends what was started on them."""
    with ExitStack() as stack:

        def make(legacy: int, asynchronous: int) -> RealSite:
            site = RealSite(tmp_path_factory.mktemp("s"), legacy, asynchronous)
            stack.callback(site.close)
            return site

        yield make


@pytest.fixture
def site(make_real_site: MakeSite) -> Iterator[RealSite]:
    """Before two backends that answer with their names."""
    servers = [backend("legacy"), backend("async")]
    yield make_real_site(servers[0].server_port, servers[1].server_port)
    for server in servers:
        server.shutdown()
        server.server_close()

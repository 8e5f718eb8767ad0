"""Cases of the list that `make bench-conformance` puts to nginx and HAProxy too, where no other test does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.conformance.answers import ENDS, GOOD
from bench.conformance.case import Case
from bench.conformance.cases import CHAPTERS
from bench.conformance.connection import CONNECTIONS
from bench.conformance.observe import observe
from bench.conformance.proxies import LIMITS
from bench.conformance.upstream import Upstream
from bench.conformance.wire import take_head
from tests.edge.conftest import Stage
from tests.edge.harness import Edge

TIMEOUTS = "timeouts: {header: 200ms, body: 200ms, keep_alive: 200ms}"
CASES = {**CONNECTIONS, **GOOD, **ENDS}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture
def edge(stage: Stage, upstream: Upstream) -> Edge:
    rest = f"server: {{limits: {{{LIMITS}}}, {TIMEOUTS}}}\nretries: {{budget: 0%, min_per_second: 0}}"
    return stage.edge(f"http://127.0.0.1:{upstream.port}", rest=rest)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_client_and_upstream_see_what_the_case_says(edge: Edge, upstream: Upstream, case: Case) -> None:
    seen = observe(case, edge.port, upstream)
    assert seen.client == case.shows
    assert seen.marks == ()
    if case.line:
        (request,) = seen.requests
        head = take_head(request)
        assert head is not None
        assert (head.line, head.body(request)) == (case.line, case.body)


def test_every_case_has_a_name_of_its_own_in_its_chapter_and_reaches_what_it_says() -> None:
    for cases in CHAPTERS.values():
        for name, case in cases.items():
            assert name.strip() == name
            assert case.pieces
            assert case.shows
            assert not (case.body and not case.line)

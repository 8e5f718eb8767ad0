"""One request's spans, from the client through the proxy to the database, as a collector gets them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import httpx2
import pytest

from tests.contract import servers
from tests.contract.fixtures import Ledger
from tests.contract.servers import Server
from tests.e2e.collector import Collector, Span, collector

CLIENT_SPAN = "00f067aa0ba902b7"


class Site(NamedTuple):
    url: str
    collector: Collector
    ledger: Ledger

    def get(self, backend: str, target: str, trace: str, flags: str = "01") -> httpx2.Response:
        """From a client whose sticky key is on this backend."""
        for number in range(100):
            headers = {"authorization": f"Bearer {self.ledger.api_key}", "x-user-id": f"user-{number}"}
            answer = httpx2.get(self.url + target, headers=headers, trust_env=False)
            if answer.headers["x-served-by"] == backend:
                headers["traceparent"] = f"00-{trace}-{CLIENT_SPAN}-{flags}"
                return httpx2.get(self.url + target, headers=headers, trust_env=False)
        raise AssertionError(f"no client came to {backend}")


@pytest.fixture(scope="module")
def site(new_ledger: Callable[[], Ledger], fx_server: Server) -> Iterator[Site]:
    ledger = new_ledger()
    with collector() as found, pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        with (
            servers.legacy(ledger.url, fx_server.url) as legacy,
            servers.async_(ledger.url, fx_server.url) as async_,
            servers.proxy(legacy, async_, 50) as proxy,
        ):
            yield Site(proxy.url, found, ledger)


def the(spans: list[Span], service: str, kind: str) -> Span:
    [found] = [span for span in spans if (span.service, span.kind) == (service, kind)]
    return found


@pytest.mark.parametrize(("backend", "service"), [("async", "async_api"), ("legacy", "legacy_flask")])
def test_a_read_is_one_tree_from_the_client_to_the_database(site: Site, backend: str, service: str) -> None:
    trace = {"async": "a", "legacy": "b"}[backend] * 32
    account = site.ledger.accounts()[0]
    assert site.get(backend, f"/accounts/{account}", trace).status_code == 200
    spans = site.collector.trace(
        trace,
        lambda found: {("strangler", "server"), (service, "server"), (service, "client")} <= kinds(found),
    )
    request = the(spans, "strangler", "server")
    assert request.parent == CLIENT_SPAN
    assert request.name == "GET /accounts/{account_id}"
    assert request.attributes["strangler.backend"] == backend
    assert request.attributes["strangler.reason"] == "weight"
    assert request.attributes["http.response.status_code"] == "200"
    attempt = the(spans, "strangler", "client")
    assert attempt.parent == request.id
    served = the(spans, service, "server")
    assert served.parent == attempt.id
    statements = [span for span in spans if (span.service, span.kind) == (service, "client")]
    assert all(descends(span, served, spans) for span in statements)
    assert any(span.name.startswith("SELECT") for span in statements)


def descends(span: Span, ancestor: Span, spans: list[Span]) -> bool:
    by_id = {each.id: each for each in spans}
    while span.parent in by_id:
        span = by_id[span.parent]
        if span == ancestor:
            return True
    return False


def kinds(spans: list[Span]) -> set[tuple[str, str]]:
    return {(span.service, span.kind) for span in spans}


@pytest.mark.parametrize(("backend", "service"), [("async", "async_api"), ("legacy", "legacy_flask")])
def test_the_call_of_the_fx_provider_is_a_span(site: Site, backend: str, service: str) -> None:
    trace = {"async": "c", "legacy": "d"}[backend] * 32
    assert site.get(backend, "/quotes?base=EUR&quote=USD&amount=1.00", trace).status_code == 200
    spans = site.collector.trace(trace, lambda found: any(span.name == "GET /rates" for span in found))
    assert "GET /rates" in {span.name for span in spans if span.service == service}


@pytest.mark.parametrize("backend", ["async", "legacy"])
def test_a_problem_names_its_trace(site: Site, backend: str) -> None:
    trace = "e" * 32
    problem = site.get(backend, "/accounts/nobody", trace)
    assert problem.status_code == 404
    assert problem.json()["trace_id"] == trace


def test_a_client_that_does_not_sample_is_obeyed_by_all(site: Site) -> None:
    account = site.ledger.accounts()[0]
    quiet, loud = "f" * 31 + "0", "f" * 31 + "1"
    site.get("async", f"/accounts/{account}", quiet, flags="00")
    site.get("async", f"/accounts/{account}", loud)
    site.collector.trace(loud, lambda found: ("async_api", "client") in kinds(found))
    assert not [span for span in site.collector.spans if span.trace == quiet]

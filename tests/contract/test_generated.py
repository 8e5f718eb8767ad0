"""Requests generated from the contract, right and wrong ones: answers must be what the contract says."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.contract.fixtures import Ledger
from tests.contract.servers import Server

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    ignored_auth,
    unsupported_method,
]
QUERY = {"account_id", "amount", "base", "cursor", "limit", "month", "quote", "status"}
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

schema = schemathesis.openapi.from_path(str(Path(__file__).with_name("openapi.yaml")))


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """Connections that are kept; making one for each of thousands of requests costs more than asking."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


@schema.parametrize()
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_answers_are_as_the_contract_says(
    case: Case[Any],
    session: requests.Session,
    legacy_server: Server,
    async_server: Server,
    proxy_at_50_server: Server,
    ledger: Ledger,
) -> None:
    """Each case goes to all, as generating it costs more than asking; to the proxy where both take part."""
    _make_real(case.path_parameters, {"account_id": ledger.accounts()[0]})
    _make_real(case.path_parameters, {"payment_id": ledger.merchants[0]["payments"][0]})
    first, second = ledger.accounts()[:2]
    _make_real(case.body, {"source_account_id": first, "destination_account_id": second})
    if case.headers and "Idempotency-Key" in case.headers:  # a used or wrong key is another test's business
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
    # Unknown query parameters are ignored, so a request that is wrong in nothing else is accepted.
    ignored = set(case.query or {}) - QUERY
    checks = [check for check in CHECKS if not (ignored and check is negative_data_rejection)]
    headers = {"Authorization": f"Bearer {ledger.api_key}"}
    for server in (legacy_server, async_server, proxy_at_50_server):
        case.call_and_validate(
            base_url=server.url, session=session, headers=headers, checks=checks, timeout=30
        )


def _make_real(values: Any, ids: dict[str, str]) -> None:
    """Put ids that exist in the place of generated ones that are well-formed; leave wrong ones wrong."""
    if not isinstance(values, dict):
        return
    for name, real in ids.items():
        if isinstance(values.get(name), str) and UUID.fullmatch(values[name]):
            values[name] = real

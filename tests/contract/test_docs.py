"""docs/payments-api.md: its curl commands work, all endpoints are among them, no problem type is missing."""

from __future__ import annotations

import re
import shlex
from typing import Any

import httpx2

from async_api.errors import KINDS
from tests.contract.fixtures import NO_TLS, Ledger
from tests.contract.servers import ROOT

TEXT = (ROOT / "docs" / "payments-api.md").read_text()
COMMANDS = [line for line in TEXT.splitlines() if line.startswith("curl ")]


def call(command: str, variables: dict[str, str]) -> httpx2.Response:
    """Do what curl would do with the options that the page uses."""
    for name, value in variables.items():
        command = re.sub(rf"'?\${name}\b'?", value, command)
    words = shlex.split(command)[1:]
    options: dict[str, list[str]] = {"-H": [], "-X": [], "-d": []}
    urls = []
    while words:
        word = words.pop(0)
        if word in options:
            options[word].append(words.pop(0))
        else:
            urls.append(word)
    [url] = urls
    body = "".join(options["-d"])
    method = "".join(options["-X"]) or ("POST" if body else "GET")
    headers = dict(header.split(": ", 1) for header in options["-H"])
    return httpx2.request(method, url, headers=headers, content=body, trust_env=False, verify=NO_TLS)


def test_commands_work_and_name_every_endpoint(target: str, ledger: Ledger, contract: dict[str, Any]) -> None:
    first, second = ledger.accounts()[:2]
    [(payment,)] = ledger.execute(
        "SELECT id FROM payments WHERE merchant_id = %s AND currency = 'EUR'"
        " AND amount - refunded > 100 ORDER BY seq DESC LIMIT 1",
        ledger.merchants[0]["id"],
    )
    variables = {"API": target, "KEY": ledger.api_key, "A": first, "B": second, "P": str(payment)}
    called = set()
    for command in COMMANDS:
        response = call(command, variables)
        assert response.status_code in (200, 201), (command, response.text)
        path = response.request.url.path.replace(first, "{account_id}").replace(str(payment), "{payment_id}")
        called.add((response.request.method, path))
    assert called == {
        (method.upper(), path)
        for path, item in contract["paths"].items()
        for method in item
        if method in ("get", "put", "post")
    }


def test_every_problem_type_is_explained() -> None:
    for kind in KINDS:
        assert f"`{kind}`" in TEXT

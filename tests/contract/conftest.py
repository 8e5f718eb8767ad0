from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.fixtures import (
    api,
    async_,
    async_server,
    fx_server,
    ledger,
    legacy,
    legacy_server,
    new_ledger,
    postgres,
    proxy_at_0_server,
    proxy_at_50_server,
    proxy_at_100_server,
    target,
    template,
)

__all__ = [
    "api",
    "async_",
    "async_server",
    "fx_server",
    "ledger",
    "legacy",
    "legacy_server",
    "new_ledger",
    "postgres",
    "proxy_at_0_server",
    "proxy_at_50_server",
    "proxy_at_100_server",
    "target",
    "template",
]


@pytest.fixture(scope="session")
def contract() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("openapi.yaml").read_text())
    return document

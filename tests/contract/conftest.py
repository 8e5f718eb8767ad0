from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.fixtures import api, async_, legacy, target

__all__ = ["api", "async_", "legacy", "target"]


@pytest.fixture(scope="session")
def contract() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("openapi.yaml").read_text())
    return document

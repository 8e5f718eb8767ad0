"""docs/security.md: each bound names a test that exists, and settings that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text()
TABLE = PAGE.partition("## What a request can cost")[2].partition("## ")[0]
ROWS = [line for line in TABLE.splitlines() if line.startswith("| ")][1:]


def test_each_place_has_a_bound_and_a_test_that_exists() -> None:
    assert len(ROWS) > 30
    for row in ROWS:
        place, who, bound, test = (cell.strip() for cell in row.strip("| ").split(" | "))
        assert place, row
        assert who, row
        assert bound, row
        name = re.fullmatch(r"`(tests/[a-z0-9_/]+\.py)::(test_\w+)`", test)
        assert name is not None, row
        functions = {
            node.name
            for node in ast.walk(ast.parse((ROOT / name[1]).read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert name[2] in functions, row


def test_its_settings_are_documented() -> None:
    documented = (ROOT / "docs" / "configuration.md").read_text()
    names = re.findall(r"`((?:limits|timeouts|buffers|idempotency|compare|retries)\.[a-z_]+)`", PAGE)
    assert len(set(names)) > 10
    for name in names:
        assert name in documented, name

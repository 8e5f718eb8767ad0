"""One name, one meaning: the name of a class says which one is meant, whatever module it comes from."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

PROXY = Path(__file__).parent.parent / "proxy"


def classes(path: Path) -> list[str]:
    """Public ones at the top of a module."""
    tree = ast.parse(path.read_text(), str(path))
    return [each.name for each in tree.body if isinstance(each, ast.ClassDef) and each.name[0] != "_"]


def test_no_two_classes_have_one_name() -> None:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(PROXY.rglob("*.py")):
        for name in classes(path):
            places[name].append(str(path.relative_to(PROXY)))
    assert len(places) > 300
    assert {name: found for name, found in places.items() if len(found) > 1} == {}

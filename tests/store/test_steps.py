from __future__ import annotations

from hashlib import sha256

import pytest

from proxy.store import steps

DIGESTS: dict[str, dict[str, list[str]]] = {
    "sqlite": {
        "versions": ["c9f12cd33ad49f5f"],
        "claims": ["8c8d018f10cb6ae1", "ce065ad058a3817a", "6e237d9a32623823"],
        "audit": ["0e84eefb793e95a3"],
        "configs": ["3dde3e0598cd658a"],
        "ledger": ["7e51fc033c4214d5", "63b411ec067a1659"],
        "comparisons": ["5dc54980cd2dbf9f", "07550a645c7d8b9e"],
        "rollouts": ["95e7748681cb279a"],
    },
    "postgresql": {
        "versions": ["c9f12cd33ad49f5f"],
        "claims": ["31e0fac4f05492ed", "ce065ad058a3817a", "6e237d9a32623823"],
        "audit": ["d2036940d5e80cec"],
        "configs": ["8358756d6345d367"],
        "ledger": ["88a49850ae238595", "63def93ffcac154f"],
        "comparisons": ["50ce58ef6f87bdc6", "2fcf97a88469809a"],
        "rollouts": ["cbdbb66bc73bbb38"],
    },
}


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_no_step_was_changed(dialect: str) -> None:
    """Databases have taken them. Add a step in place of changing one, and its digest here."""
    assert digests(dialect) == DIGESTS[dialect]


def digests(dialect: str) -> dict[str, list[str]]:
    parts = {"versions": [steps.VERSIONS], **steps.PARTS}
    return {part: [_digest(step, dialect) for step in parts[part]] for part in parts}


def _digest(step: steps.Step, dialect: str) -> str:
    return sha256(repr((step.statements(dialect), step.compatible)).encode()).hexdigest()[:16]

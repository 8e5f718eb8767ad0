from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from proxy.config import files, set_weight
from proxy.control.edits import Edit, change, propose
from proxy.control.errors import Refusal
from proxy.control.state import State
from proxy.core.traffic.authors import NOBODY, Author


def weigh(endpoint: str, weight: float) -> Edit:
    return lambda text, source: set_weight(text, endpoint, weight, source=source)


def test_a_proposal_changes_nothing(state: State) -> None:
    before = state.reloader.path.read_text()
    proposal = propose(state.reloader, weigh("GET /a/{id}", 50))
    assert proposal.verdict.changes == ("GET /a/{id}: weight 12.5 -> 50",)
    assert proposal.after.decode() == before.replace("12.5", "50")
    assert state.reloader.path.read_text() == before


def test_a_change_edits_the_file_and_is_served(state: State) -> None:
    verdict = asyncio.run(change(state.reloader, weigh("GET /a/{id}", 50), "test", Author("ada")))
    assert verdict.loaded is state.reloader.running
    assert "weight: 50" in state.reloader.path.read_text()


@pytest.mark.parametrize(
    ("endpoint", "weight", "message"),
    [
        ("GET /a/{id}", 101, "is not between 0 and 100"),
        ("GET /nothing", 1, "is not listed"),
        ("POST /b", 1, "before phase reads is at 100"),
    ],
)
def test_a_refused_change_leaves_the_file_alone(
    state: State, endpoint: str, weight: float, message: str
) -> None:
    before = state.reloader.path.read_text()
    with pytest.raises(Refusal) as caught:
        asyncio.run(change(state.reloader, weigh(endpoint, weight), "test", NOBODY))
    assert caught.value.status == 422
    assert message in caught.value.errors[0].message
    assert state.reloader.path.read_text() == before


def test_an_edit_by_somebody_else_in_between_is_not_overwritten(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interfere(path: Path, old: bytes, new: bytes) -> None:
        path.write_bytes(old + b"# theirs\n")
        files.replace(path, old, new)

    monkeypatch.setattr("proxy.control.edits.replace", interfere)
    with pytest.raises(Refusal, match="changed by somebody else"):
        asyncio.run(change(state.reloader, weigh("GET /a/{id}", 50), "test", NOBODY))
    assert state.reloader.path.read_text().endswith("# theirs\n")


def test_a_file_that_cannot_be_read_is_said(state: State) -> None:
    state.reloader.path.unlink()
    with pytest.raises(Refusal, match="cannot be read") as caught:
        propose(state.reloader, weigh("GET /a/{id}", 50))
    assert caught.value.status == 409

from __future__ import annotations

import msgspec
import pytest

from proxy.config import load_text
from proxy.control.claimed import Claimed
from proxy.core.routing.snapshot import Snapshot
from proxy.core.traffic.totals import EMPTY
from proxy.core.wire.messages import Labelled, Stats
from proxy.store.ledger import KeysRow

TTL = 24 * 3600.0


def snapshot(mode: str = "optional", name: str = "POST /x") -> Snapshot:
    text = f"""
backends: {{legacy: {{url: "http://127.0.0.1:1"}}, async: {{url: "http://127.0.0.1:2"}}}}
endpoints: {{{name}: {{weight: 0, idempotency: {mode}}}, GET /x: {{weight: 0}}}}
"""
    return load_text(text, source="x", environ={}).snapshot


def unavailable(count: int) -> Stats:
    return msgspec.structs.replace(EMPTY, keyed=[Labelled("POST /x", "unavailable", count)])


def known_at(claimed: Claimed, mode: str = "optional") -> float:
    return claimed.keys(snapshot(mode))["POST /x"].known_at


@pytest.fixture
def claimed() -> Claimed:
    claimed = Claimed()
    claimed.look(snapshot(), EMPTY, 1000.0)
    return claimed


def test_every_key_is_known_one_ttl_after_claiming_began_whatever_the_mode(claimed: Claimed) -> None:
    claimed.look(snapshot("record"), EMPTY, 2000.0)
    claimed.look(snapshot("required"), EMPTY, 3000.0)
    assert claimed.keys(snapshot()).keys() == {"POST /x"}  # the read claims nothing
    assert known_at(claimed) == 1000.0 + TTL


@pytest.mark.parametrize("without", [snapshot("off"), snapshot(name="POST /y")], ids=["off", "unlisted"])
def test_it_begins_anew_once_keys_were_not_claimed(claimed: Claimed, without: Snapshot) -> None:
    claimed.look(without, EMPTY, 2000.0)
    assert "POST /x" not in claimed.keys(without)
    assert claimed.gone == {"POST /x"}
    claimed.look(snapshot(), EMPTY, 3000.0)
    assert known_at(claimed) == 3000.0 + TTL


def test_it_begins_anew_when_a_write_was_recorded_without_the_store(claimed: Claimed) -> None:
    claimed.look(snapshot("record"), unavailable(1), 2000.0)
    claimed.look(snapshot("record"), unavailable(1), 3000.0)
    assert known_at(claimed, "record") == 2000.0 + TTL


def test_it_begins_anew_when_the_claims_do(claimed: Claimed) -> None:
    """What an earlier process knew is forgotten, also of endpoints that do not claim at the moment."""
    claimed.begin_anew()
    claimed.take_over([KeysRow("POST /x", 500.0), KeysRow("POST /later", 500.0)])
    claimed.look(snapshot(), EMPTY, 2000.0)
    assert known_at(claimed) == 1000.0 + TTL
    assert claimed.rows() == [KeysRow("POST /x", 1000.0)]
    assert claimed.gone == {"POST /x", "POST /later"}


def test_a_write_that_was_refused_for_want_of_the_store_breaks_nothing(claimed: Claimed) -> None:
    claimed.look(snapshot(), unavailable(1), 2000.0)
    assert known_at(claimed) == 1000.0 + TTL


def test_what_an_earlier_process_began_goes_on_unless_it_was_broken_since(claimed: Claimed) -> None:
    claimed.take_over([KeysRow("POST /x", 500.0)])
    assert known_at(claimed) == 500.0 + TTL
    claimed.look(snapshot("record"), unavailable(1), 2000.0)
    claimed.take_over([KeysRow("POST /x", 500.0)])
    assert known_at(claimed) == 2000.0 + TTL
    assert claimed.rows() == [KeysRow("POST /x", 2000.0)]

from __future__ import annotations

from proxy.core.routing.unlisted import OTHER, PLACES, Unlisted


def scan(unlisted: Unlisted, number: int, begin: int = 0) -> None:
    for each in range(begin, begin + number):
        unlisted.count(f"GET /scan/{each:x}", "legacy")


def test_the_list_has_an_end() -> None:
    unlisted = Unlisted()
    scan(unlisted, 10 * PLACES)
    scan(unlisted, 10 * PLACES)
    for _ in range(2):
        for each in range(3 * PLACES):
            unlisted.count(f"GET /{each}", "legacy")
            unlisted.count(f"GET /{each}", "legacy")
    assert len(unlisted.counts()) == 2 * PLACES


def test_a_new_path_gets_a_place_although_a_scanner_filled_the_list() -> None:
    unlisted = Unlisted()
    scan(unlisted, 10 * PLACES)
    unlisted.count("GET /new", "legacy")
    assert unlisted.counts()["GET /new", "legacy"] == 1


def test_a_scanner_does_not_displace_what_has_clients() -> None:
    unlisted = Unlisted()
    unlisted.count("GET /orders", "legacy")
    unlisted.count("GET /orders", "legacy")
    scan(unlisted, 10 * PLACES)
    unlisted.count("GET /orders", "legacy")
    assert unlisted.counts()["GET /orders", "legacy"] == 3


def test_what_nobody_asks_for_any_more_makes_room_for_what_has_clients_now() -> None:
    unlisted = Unlisted()
    for each in range(2 * PLACES):
        for _ in range(5):
            unlisted.count(f"GET /old/{each:x}", "legacy")
    for each in range(2 * PLACES):
        for _ in range(2):
            unlisted.count(f"GET /new/{each:x}", "legacy")
    assert {path.split("/")[1] for path, _ in unlisted.counts()} == {"new"}


def test_what_could_not_be_listed_is_counted_together() -> None:
    unlisted = Unlisted()
    for _ in range(3):
        unlisted.count(None, "legacy")
    scan(unlisted, 10 * PLACES)
    assert unlisted.counts()[OTHER, "legacy"] == 3

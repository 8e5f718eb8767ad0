from __future__ import annotations

import pytest

from proxy.control.security import (
    ADDRESSES,
    FAILURES,
    PERIOD,
    Failures,
    bearer_token,
    host_allowed,
    host_of,
    is_loopback,
    same_origin,
    user_with,
    users_of,
)
from proxy.core.settings import AdminUser, Server


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "LOCALHOST"])
def test_loopback_hosts(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "localhost.evil.example", "evil.example", ""])
def test_other_hosts_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("address", "host"),
    [("127.0.0.1:9", "127.0.0.1"), ("[::1]:9", "::1"), ("A.example", "a.example"), ("[bad", ""), ("", "")],
)
def test_host_of_an_address(address: str, host: str) -> None:
    assert host_of(address) == host


@pytest.mark.parametrize(
    ("host", "bound", "allowed"),
    [
        ("127.0.0.1:9000", "127.0.0.1:9000", True),
        ("localhost:9000", "127.0.0.1:9000", True),
        ("[::1]:9000", "127.0.0.1:9000", True),
        ("rebound.evil.example:9000", "127.0.0.1:9000", False),
        ("", "127.0.0.1:9000", False),
        ("proxy.internal:9000", "0.0.0.0:9000", True),
    ],
)
def test_a_loopback_port_answers_only_to_loopback_names(host: str, bound: str, allowed: bool) -> None:
    assert host_allowed(host, bound) == allowed


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({"host": "localhost:9000"}, True),
        ({"host": "localhost:9000", "origin": "http://localhost:9000"}, True),
        ({"host": "localhost:9000", "origin": "http://LOCALHOST:9000"}, True),
        ({"host": "localhost:9000", "origin": "http://localhost:8000"}, False),
        ({"host": "localhost:9000", "origin": "http://evil.example"}, False),
        ({"host": "localhost:9000", "origin": "null"}, False),
        ({"host": "localhost:9000", "origin": "http://["}, False),
        ({"host": "localhost:9000", "sec-fetch-site": "cross-site"}, False),
        ({"host": "localhost:9000", "sec-fetch-site": "same-site"}, False),
        ({"host": "localhost:9000", "sec-fetch-site": "same-origin"}, True),
        ({"origin": ""}, False),
    ],
)
def test_only_our_own_page_and_command_lines_may_change_something(
    headers: dict[str, str], same: bool
) -> None:
    assert same_origin(headers) == same


@pytest.mark.parametrize(
    ("authorization", "valid"),
    [
        ("Bearer s3cret", True),
        ("bearer s3cret", True),
        ("Bearer s3cre", False),
        ("Bearer", False),
        ("Basic s3cret", False),
        ("", False),
        ("Bearer s3cret\u00e9", False),
    ],
)
def test_bearer_token(authorization: str, valid: bool) -> None:
    users = users_of(Server(admin_token="s3cret"))
    assert user_with(bearer_token(authorization), users) == (users[0] if valid else None)


def test_a_token_is_that_of_one_user() -> None:
    ada, bob = AdminUser("ada", "viewer", "a"), AdminUser("bob", "operator", "b")
    users = users_of(Server(admin_token="x", admin_users=(ada, bob)))
    assert [str(user) for user in users] == ["admin (operator)", "ada (viewer)", "bob (operator)"]
    assert [user_with(given, users) for given in ("a", "b", "x", "", "ab")] == [
        ada,
        bob,
        users[0],
        None,
        None,
    ]
    assert users_of(Server()) == ()
    assert "token" not in repr(ada)


@pytest.mark.parametrize("given", ["first", "last", "none"])
def test_all_tokens_are_compared_whoever_has_the_one_that_is_given(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    compared: list[tuple[int, int]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return one == other

    monkeypatch.setattr("hmac.compare_digest", compare)
    user_with(given, [AdminUser(each, "viewer", each) for each in ("first", "second, longer", "last")])
    assert compared == [(32, 32)] * 3


def test_an_address_that_guesses_tokens_waits_and_others_do_not() -> None:
    failures = Failures()
    for second in range(FAILURES):
        assert failures.wait("a", float(second)) == 0
        failures.failed("a", float(second))
    assert failures.wait("a", 10.0) == 50
    assert failures.wait("b", 10.0) == 0
    assert failures.wait("a", PERIOD) == 0


def test_remembered_addresses_are_bounded() -> None:
    failures = Failures()
    for number in range(ADDRESSES + 10):
        failures.failed(str(number), 0.0)
    assert len(failures._failed) == ADDRESSES

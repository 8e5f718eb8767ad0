from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.forwarding.forwarded import (
    MAX_HOPS,
    canonical,
    client_address,
    forwarded_for,
    is_trusted,
    network,
)

NETWORKS = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::/32"))


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.1.2.3", True),
        ("11.1.2.3", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("::ffff:10.1.2.3", True),
        ("::ffff:11.1.2.3", False),
        ("", False),
        ("unix", False),
        ("10.1.2.3:80", False),
    ],
)
def test_which_addresses_are_trusted(address: str, trusted: bool) -> None:
    assert is_trusted(address, NETWORKS) == trusted


def test_without_networks_nobody_is_trusted() -> None:
    assert not is_trusted("127.0.0.1", ())


@pytest.mark.parametrize(
    ("peer", "fields", "client"),
    [
        pytest.param("192.0.2.1", [b"1.1.1.1"], "192.0.2.1", id="a stranger's claims count for nothing"),
        pytest.param("10.0.0.1", [], "10.0.0.1", id="no claims"),
        pytest.param("10.0.0.1", [b"1.1.1.1"], "1.1.1.1", id="one hop"),
        pytest.param("10.0.0.1", [b"6.6.6.6, 1.1.1.1, 10.0.0.2"], "1.1.1.1", id="right-most stranger"),
        pytest.param("10.0.0.1", [b"6.6.6.6", b"1.1.1.1 ,\t10.0.0.2"], "1.1.1.1", id="several fields"),
        pytest.param("10.0.0.1", [b"10.0.0.3, 10.0.0.2"], "10.0.0.3", id="all trusted"),
        pytest.param("10.0.0.1", [b"1.1.1.1, garbage, 10.0.0.2"], "10.0.0.2", id="garbage ends the search"),
        pytest.param("10.0.0.1", [b"1.1.1.1, ", b"", b" ,, 10.0.0.2,"], "1.1.1.1", id="empty members"),
        pytest.param("10.0.0.1", [b"1.1.1.1:4000, 10.0.0.2:5"], "1.1.1.1", id="with ports"),
        pytest.param("10.0.0.1", [b'"[2001:DB9:0::1]:4000"'], "2001:db9::1", id="quoted, in brackets"),
        pytest.param("10.0.0.1", [b"::ffff:1.1.1.1"], "1.1.1.1", id="IPv4 in IPv6"),
        pytest.param("10.0.0.1", [b"1.1.1.1" + b", 10.0.0.2" * 100], "10.0.0.2", id="more than anybody has"),
        pytest.param("10.0.0.1", [b"[2001:db9::1], 2001:db8::2"], "2001:db9::1", id="IPv6"),
        pytest.param("10.0.0.1", [b"\xff"], "10.0.0.1", id="not ASCII"),
    ],
)
def test_who_the_client_is(peer: str, fields: list[bytes], client: str) -> None:
    assert client_address(peer, fields, NETWORKS) == client


def test_of_many_proxies_some_are_looked_at() -> None:
    ours = [b"10.0.1.%d" % number for number in range(MAX_HOPS)]
    assert client_address("10.0.0.1", [b",".join([b"1.1.1.1", *ours[1:]])], NETWORKS) == "1.1.1.1"
    assert client_address("10.0.0.1", [b",".join([b"1.1.1.1", *ours])], NETWORKS) == "10.0.1.0"
    assert client_address("10.0.0.1", [b",".join([b"1.1.1.1", b"10.0.2.1", *ours])], NETWORKS) == "10.0.1.0"


ONE = [
    (
        "203.0.113.7",
        ["203.0.113.7:40007", "::ffff:203.0.113.7", "::FFFF:cb00:7107", "[::ffff:203.0.113.7]:1"],
    ),
    (
        "2001:db8::7",
        [
            *(
                "2001:DB8::7",
                "2001:0db8:0000:0000:0000:0000:0000:0007",
                "[2001:db8::7]",
                "[2001:db8::7]:50007",
            ),
            *("[2001:db8::7]:50007", '"[2001:db8::7]:50007"', "2001:db8:0::0:7", " 2001:db8::7\t"),
        ],
    ),
    ("fe80::1", ["fe80::1%eth0", "[fe80::1%25eth0]:80"]),
    ("::1", ["0:0:0:0:0:0:0:1"]),
]


@pytest.mark.parametrize(("address", "spellings"), ONE)
def test_an_address_has_one_spelling(address: str, spellings: list[str]) -> None:
    assert {canonical(each) for each in [address, *spellings]} == {address}


@pytest.mark.parametrize(
    "text",
    [
        *("", "unknown", "_hidden", "203.0.113.7:x", "203.0.113.7:123456", "203.0.113", "203.0.113.07"),
        *("[203.0.113.7", "2001:db8::7]:80", "[2001:db8::7]80", "1" * 1000, "[" * 30, "\xb2.1.1.1"),
    ],
)
def test_what_is_no_address_has_none(text: str) -> None:
    assert canonical(text) is None


@given(st.ip_addresses())
def test_a_canonical_address_stays_as_it_is(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    text = canonical(str(address))
    assert text is not None
    assert canonical(text) == text
    again = f"[{address.exploded.upper()}]:80" if address.version == 6 else f"{address}:80"
    assert canonical(again) == text


@given(st.text(max_size=70))
def test_any_text_is_an_address_or_not(text: str) -> None:
    found = canonical(text)
    assert found is None or canonical(found) == found


def test_a_network_of_ipv4_addresses_in_ipv6_is_that_of_the_ipv4_addresses() -> None:
    assert network("::ffff:10.0.0.0/104") == ipaddress.ip_network("10.0.0.0/8")
    assert is_trusted("10.1.2.3", (network("::ffff:10.0.0.0/104"),))
    assert network("10.0.0.0/8") == ipaddress.ip_network("10.0.0.0/8")
    assert network("::/0") == ipaddress.ip_network("::/0")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], b"192.0.2.1"),
        ([b""], b"192.0.2.1"),
        ([b"1.1.1.1:4000,", b"[2001:DB8::7]:1"], b"1.1.1.1, 2001:db8::7, 192.0.2.1"),
        ([b"unknown,  ::ffff:1.1.1.1 "], b"unknown, 1.1.1.1, 192.0.2.1"),
    ],
)
def test_what_backends_are_told_is_spelt_the_same_way(values: list[bytes], expected: bytes) -> None:
    assert forwarded_for(values, b"192.0.2.1") == expected


def test_only_so_many_members_are_looked_at() -> None:
    """Strangers choose how many there are."""
    told = forwarded_for([b",".join([b"1.1.1.1:1"] * (MAX_HOPS + 3))], b"192.0.2.1")
    assert told.count(b"1.1.1.1:1") == 3
    assert told.count(b"1.1.1.1") == MAX_HOPS + 3

from __future__ import annotations

import ipaddress

import pytest

from proxy.core.forwarded import MAX_HOPS, client_address, is_trusted

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
        pytest.param("10.0.0.1", [b"1.1.1.1, "], "10.0.0.1", id="an empty member ends it too"),
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

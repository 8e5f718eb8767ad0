"""What became of a request, as those see it who watch."""

from __future__ import annotations

import pytest

from proxy.core.forwarding.hop_by_hop import Hop
from proxy.core.http1.request import parse_request
from proxy.core.http1.response import parse_response
from proxy.core.settings import Limits
from proxy.edge.outcome import Outcome

HEAD = parse_request(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n", Limits(), None)
ANSWER = parse_response(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "GET")


def outcome(status: int, asked: bool, answered: bool) -> Outcome:
    answer = ANSWER if answered else None
    hop = Hop(b"192.0.2.1", False)
    return Outcome(
        HEAD, hop, None, "legacy", "unlisted", status, 0.1, asked, answer, [], None, False, None, False
    )


@pytest.mark.parametrize(
    ("status", "asked", "answered", "own"),
    [
        (200, True, True, False),  # relayed
        (502, True, False, False),  # a backend's failure
        (0, True, False, False),  # the client left while a backend was asked
        (200, True, False, True),  # a replay after a failed attempt
        (400, False, False, True),  # a key that cannot be read
        (0, False, False, True),
    ],
)
def test_an_answer_is_our_own_if_no_backend_had_a_part_in_it(
    status: int, asked: bool, answered: bool, own: bool
) -> None:
    assert outcome(status, asked, answered).is_own is own


def test_it_names_the_client_and_what_became_of_the_request() -> None:
    assert outcome(200, True, True).peer == "192.0.2.1"
    assert repr(outcome(200, True, True)) == "<Outcome of unlisted by legacy: 200>"

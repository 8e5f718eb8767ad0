from __future__ import annotations

import pytest

from proxy.core.wire.messages import Labelled, encode
from proxy.core.wire.taps import ComparerTotals, Forgot, decode_from_comparer


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (
            ComparerTotals([Labelled("GET /a", "equal", 3)]),
            b'{"type":"Compared","results":[["GET /a","equal",3]]}',
        ),
        (Forgot(7, 2), b'{"type":"Forgot","number":7,"samples":2}'),
    ],
)
def test_the_comparer_speaks_as_earlier_releases_did(message: ComparerTotals | Forgot, text: bytes) -> None:
    """A control process may be restarted beside a comparer that is of another release."""
    assert encode(message)[4:] == text
    assert decode_from_comparer(text) == message

"""Page cursors: opaque to clients, and the same bytes in every implementation of the API.

Layout, base64url without padding: version (1 byte), sequence number of the last item (8 bytes, big endian),
4 bytes of BLAKE2b over the scope, so that a cursor of one listing is refused by another.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

VERSION = b"\x01"
LAST = 2**63 - 1  # PostgreSQL's bigint


def encode(sequence: int, scope: str) -> str:
    return base64.urlsafe_b64encode(VERSION + sequence.to_bytes(8, "big") + _tag(scope)).rstrip(b"=").decode()


def decode(cursor: str, scope: str) -> int:
    """The sequence number, or ValueError for anything that `encode` did not make for this scope."""
    if len(cursor) != 18 or not cursor.isascii():
        raise ValueError("is not a cursor")
    try:
        raw = base64.b64decode(cursor + "==", altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("is not a cursor") from error
    sequence = int.from_bytes(raw[1:9], "big")
    if sequence > LAST or encode(sequence, scope) != cursor:
        raise ValueError("is not a cursor of this listing")
    return sequence


def _tag(scope: str) -> bytes:
    return hashlib.blake2b(scope.encode(), digest_size=4).digest()

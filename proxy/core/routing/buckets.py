"""A sticky key's fixed position on the scale of weights.

The same key gets the same bucket on every worker and replica and after every restart, so a key that was
moved to async stays there while the weight rises.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

BUCKETS: Final = 10_000
UNITS: Final = 80_000  # each bucket has eight; unit `u` is of bucket `u % BUCKETS`
MAX_SALT: Final = blake2b.MAX_KEY_SIZE  # bytes


def bucket(salt: bytes, group: str, key: bytes) -> int:
    """0-9999. A request goes to async if this is below the weight in hundredths of a percent.

    Raises ValueError for a salt of more than MAX_SALT bytes.
    """
    return Buckets(salt, group).of(key)


class Buckets:
    """`bucket` with salt and group hashed ahead, for the data path."""

    __slots__ = ("_start",)

    def __init__(self, salt: bytes, group: str) -> None:
        self._start = blake2b(group.encode() + b"\0", key=salt, digest_size=8).copy

    def of(self, key: bytes) -> int:
        return self.unit(key) % BUCKETS

    def unit(self, key: bytes) -> int:
        """0-79999. Finer than a bucket, so that fewer users share one where users are counted."""
        state = self._start()
        state.update(key)
        return int.from_bytes(state.digest(), "big") % UNITS

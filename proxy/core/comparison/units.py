"""Whose requests were compared, and which: distinct users, ids in paths, and shapes of parameters.

A bound over requests would let one busy user certify an endpoint. So users are counted, as bits of a map that
several replicas and runs combine by OR. A map identifies no user: it holds only numbers below 80,000.
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote_plus

UNITS: Final = 80_000  # of a user: bucket x 8, so that each belongs to one side of a weight
PER_BUCKET: Final = 8
BUCKETS: Final = UNITS // PER_BUCKET
MAX_PARAMETERS: Final = 20  # named in one shape
MAX_NAME: Final = 40  # characters of one

UnitKind = Literal["users", "users differing", "ids"]
"""users differing: those with any difference that counts."""


class UnitMap(NamedTuple):
    """A set of units: how many, and which (a bit for each, little endian; empty where only the number is
    read)."""

    what: UnitKind
    number: int
    map: bytes = b""


class Asker(NamedTuple):
    """Of one request: the unit of its user, None if it has no sticky key; that of its ids, None if its path
    has none; the shape of its parameters."""

    user: int | None = None
    ids: int | None = None
    shape: str = ""


NOBODY: Final = Asker()


def unit_of(salt: bytes, group: str, key: bytes) -> int:
    """0 to UNITS - 1. Units of one bucket (`proxy.core.routing.buckets`) are next to each other."""
    digest = hashlib.blake2b(group.encode() + b"\0" + key, key=salt, digest_size=8).digest()
    number = int.from_bytes(digest, "big")
    return number % BUCKETS * PER_BUCKET + number // BUCKETS % PER_BUCKET


def unit_of_ids(values: dict[str, str]) -> int | None:
    """Of the parameters of a path."""
    if not values:
        return None
    text = "\0".join(f"{name}\0{value}" for name, value in sorted(values.items()))
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % UNITS


def shape_of_parameters(target: bytes) -> str:
    """The names of a query's parameters, such as `?limit&page`; `no parameters` if it has none."""
    query = target.partition(b"?")[2].decode("latin-1")
    names = {unquote_plus(pair.partition("=")[0])[:MAX_NAME] for pair in query.split("&") if pair}
    return "?" + "&".join(sorted(names)[:MAX_PARAMETERS]) if names else "no parameters"


def as_map(what: UnitKind, bits: int) -> UnitMap:
    return UnitMap(what, bits.bit_count(), bits.to_bytes(UNITS // 8, "little"))


def merged(known: bytes, new: bytes) -> bytes:
    """Two maps of the same size, or none at all yet."""
    both = int.from_bytes(known, "little") | int.from_bytes(new, "little")
    return both.to_bytes(UNITS // 8, "little")


def number_in(map: bytes) -> int:
    return int.from_bytes(map, "little").bit_count()

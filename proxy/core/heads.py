"""Request and response heads as they came off the wire."""

from __future__ import annotations

from collections.abc import Mapping


class RequestHead:
    """One parsed request head (RFC 9112 section 3). Never changed after parsing.

    `target` is the raw request target; `fields` are (name as sent, value without surrounding blanks) in
    order, duplicates kept; `first` maps a lower-case name to its first value.
    """

    __slots__ = ("fields", "first", "method", "minor", "target")

    def __init__(
        self,
        method: str,
        target: bytes,
        minor: int,
        fields: list[tuple[bytes, bytes]],
        first: Mapping[bytes, bytes],
    ) -> None:
        self.method = method
        self.target = target
        self.minor = minor  # HTTP/1.<minor>: 0 or 1
        self.fields = fields
        self.first = first

    @classmethod
    def of(cls, method: str, target: str, fields: Mapping[str, str] | None = None) -> RequestHead:
        """From plain strings, for `explain` and tests."""
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (fields or {}).items()]
        first = {name.lower(): value for name, value in reversed(pairs)}
        return cls(method, target.encode("latin-1"), 1, pairs, first)

    def get(self, name: bytes) -> bytes | None:
        """The first value of the field with this lower-case name, or None."""
        return self.first.get(name)

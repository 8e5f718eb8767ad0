"""Header blocks for backends, cached per client connection.

Most clients repeat the same header block in every request of a connection, so the block that is built from
it is the same, too.
"""

from __future__ import annotations

from proxy.core.forwarding.hop_by_hop import Hop, request_block
from proxy.core.forwarding.protected import ALWAYS
from proxy.core.http1.request import RequestFields, RequestHead


class Outbound:
    """Builds header blocks and remembers the last one."""

    __slots__ = ("_block", "_fields", "_host", "_protected", "_target_host", "hop")

    def __init__(self, hop: Hop) -> None:
        self.hop = hop
        self._fields: RequestFields | None = None
        self._target_host = b""
        self._host: str | None = None
        self._protected = ALWAYS
        self._block = b""

    def block(self, head: RequestHead, host: str | None, protected: frozenset[bytes]) -> bytes:
        """As `request_block`; `host` is the backend's fixed Host, or None."""
        if (
            head.fields is not self._fields
            or head.host != self._target_host
            or host != self._host
            or protected is not self._protected
        ):
            fixed = None if host is None else host.encode("latin-1")
            self._block = request_block(head, self.hop, fixed, protected)
            self._fields, self._target_host, self._host = head.fields, head.host, host
            self._protected = protected
        return self._block

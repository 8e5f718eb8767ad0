"""Header blocks for backends, remembered per client connection.

Most clients repeat the same header block on every request of a connection; what is built from it is the
same too.
"""

from __future__ import annotations

from proxy.core.headers import Hop, request_block
from proxy.core.http1.request import RequestFields, RequestHead
from proxy.core.snapshot import BackendName


class Outbound:
    """Builds and remembers the last block for each backend."""

    __slots__ = ("_blocks", "_fields", "hop")

    def __init__(self, hop: Hop) -> None:
        self.hop = hop
        self._fields: RequestFields | None = None
        self._blocks: dict[tuple[BackendName, str | None, bytes], bytes] = {}

    def block(self, head: RequestHead, backend: BackendName, host: str | None) -> bytes:
        """As `request_block`; `host` is the backend's fixed Host, or None."""
        key = (backend, host, head.host)
        if head.fields is not self._fields:
            self._fields = head.fields
            self._blocks.clear()
        block = self._blocks.get(key)
        if block is None:
            block = request_block(head, self.hop, None if host is None else host.encode("latin-1"))
            self._blocks[key] = block
        return block

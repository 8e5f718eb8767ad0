"""The methods that an endpoint may have."""

from __future__ import annotations

from typing import Final

COMMON_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
METHODS: Final = (
    *COMMON_METHODS,
    *("QUERY", "SEARCH", "REPORT", "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK"),
)

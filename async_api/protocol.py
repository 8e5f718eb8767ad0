"""uvicorn's protocol, with trailers told from headers."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Protocol(HttpToolsProtocol):
    """uvicorn adds a chunked body's trailers to the headers: a later `X-Dry-Run` would make a dry run."""

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.headers = []  # what comes now; the application has the other list

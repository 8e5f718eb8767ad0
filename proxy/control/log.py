"""The control process's logger; `proxy.logs` defines where its lines go."""

from __future__ import annotations

import logging

log = logging.getLogger("strangler")

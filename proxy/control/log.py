"""The control process's logger; where its lines go is said in `proxy.logs`."""

from __future__ import annotations

import logging

log = logging.getLogger("strangler")

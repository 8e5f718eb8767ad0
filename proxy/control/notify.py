"""Tells systemd when the proxy is ready and when it stops: sd_notify(3), for units with Type=notify."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final

from proxy.control.log import log

VARIABLE: Final = "NOTIFY_SOCKET"
READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"


def notify(message: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a service manager was notified. Never waits, and never raises."""
    address = environ.get(VARIABLE, "")
    if not address.startswith(("/", "@")):
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
            sock.sendto(message.encode(), "\0" + address[1:] if address[0] == "@" else address)
    except OSError as error:
        log.warning("cannot notify the service manager of %s: %s", message, error.strerror)
        return False
    return True

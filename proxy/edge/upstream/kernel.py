"""What the kernel knows about a connection and the event loop does not report. Used only when a connection
has failed."""

from __future__ import annotations

import asyncio
import fcntl
import termios


def is_read(transport: asyncio.Transport) -> bool:
    """Whether the peer, which has closed in good order, had read all that was sent to it.

    Its kernel resets a connection that is closed with something unread in it, and acknowledges nothing that
    comes after the close. So an orderly end with nothing outstanding is that of a peer that knew the request.
    """
    try:
        left = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return False
    return left == bytes(4)

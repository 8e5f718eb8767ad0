"""The data port's socket at the start: a new one, or that of workers that kept serving."""

from __future__ import annotations

import asyncio
import socket
from typing import Final, NamedTuple

from proxy.control.handover import handed_socket
from proxy.control.listener import AddressTaken, listen, resolve
from proxy.control.supervisor.roll import Restart
from proxy.control.supervisor.unclaimed import Unclaimed

ORPHAN_TIMEOUT: Final = 2.0  # seconds in which an orphan may offer the socket of a taken address
ORPHAN_GRACE: Final = 0.5  # seconds in which the other orphans follow the first


class DataPort(NamedTuple):
    """`previous` is the socket of the workers that a rolling restart replaces, if it differs."""

    current: socket.socket
    previous: socket.socket | None = None


async def data_port(address: str, restart: Restart | None, unclaimed: Unclaimed) -> DataPort:
    """Raises StartupError."""
    if restart is None:
        return DataPort(await _opened(address, unclaimed))
    held = handed_socket(restart)
    await unclaimed.arrived(restart.workers, ORPHAN_TIMEOUT)
    if address == restart.listen and held is not None:
        return DataPort(held)
    return DataPort(await _opened(address, unclaimed), held)


async def _opened(address: str, unclaimed: Unclaimed) -> socket.socket:
    """A new socket, or that of workers that outlived their control process."""
    try:
        return listen("server.listen", address)
    except AddressTaken:
        _, name = resolve("server.listen", address)
        adopted = await unclaimed.socket_on(name, ORPHAN_TIMEOUT)
        if adopted is None:
            raise
        await asyncio.sleep(ORPHAN_GRACE)
        return adopted

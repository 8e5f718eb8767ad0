"""Writes in a store, as a proxy leaves them."""

from __future__ import annotations

import asyncio
import time

from proxy.core.resilience import idempotency as idem
from tests.store.test_claims import opened, proceed, wanted


def lose_a_write(url: str) -> None:
    """Leaves a write in this store, `lost`, whose outcome is unknown."""

    async def lose() -> None:
        async with opened(url) as claims:
            await claims.change(idem.lose(await proceed(claims, wanted("lost")), time.time()))

    asyncio.run(lose())

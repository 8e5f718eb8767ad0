"""Opens a part of the state database for a while: its file is there, and its tables are up to date."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from proxy.store.engines import async_engine
from proxy.store.migrations import migrate
from proxy.store.places import is_sqlite, private_file, private_folder, state_file


@asynccontextmanager
async def opened_with(url: str, *parts: str, file: Path | None = None) -> AsyncIterator[AsyncEngine]:
    """`parts` are those of `migrate`; `file` in place of the state's own, with SQLite.

    Raises TooNew, and what SQLAlchemy and the driver raise.
    """
    if is_sqlite(url):
        file = file or state_file(url)
        private_folder(file.parent)
        os.close(private_file(file))
    engine = async_engine(url, file)
    try:
        async with engine.begin() as connection:
            for part in parts:
                await connection.run_sync(migrate, part)
        yield engine
    finally:
        await engine.dispose()

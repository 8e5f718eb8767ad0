"""Brings the database's schema to the newest revision."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import text

from legacy_flask.config import Config
from legacy_flask.db import make_engine

LOCK = 7_164_000_001  # any number: two migrations at once wait for each other


def upgrade(config: Config, revision: str = "head") -> None:
    """Raises sqlalchemy.exc.SQLAlchemyError if the database cannot be reached or a step fails."""
    engine = make_engine(config)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK})
        connection.commit()
        alembic = AlembicConfig()
        alembic.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        alembic.attributes["connection"] = connection
        command.upgrade(alembic, revision)
        connection.commit()
    engine.dispose()

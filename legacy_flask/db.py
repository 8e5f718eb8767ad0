"""The engine, and one ORM session per request."""

from __future__ import annotations

from flask import Flask, current_app, g
from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.orm import Session

from legacy_flask.config import Config


def make_engine(config: Config) -> Engine:
    url = make_url(config.database_url.replace("postgres://", "postgresql://", 1))
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=config.pool_size,
        max_overflow=config.pool_overflow,
        pool_timeout=config.pool_timeout,
        pool_pre_ping=True,  # a restarted database must not cost one error per pooled connection
        connect_args={
            "connect_timeout": config.connect_timeout,
            "options": f"-c statement_timeout={config.statement_timeout} -c timezone=UTC",
        },
    )


def init_app(app: Flask, config: Config) -> None:
    app.extensions["engine"] = make_engine(config)
    app.teardown_appcontext(_close_session)


def session() -> Session:
    """The request's session, opened at first use; rolled back and closed with the request."""
    if "session" not in g:
        g.session = Session(current_app.extensions["engine"], expire_on_commit=False)
    opened: Session = g.session
    return opened


def _close_session(_error: BaseException | None) -> None:
    opened: Session | None = g.pop("session", None)
    if opened is not None:
        opened.close()

"""Alembic's entry point: runs inside the connection that `legacy_flask.migrate` hands over."""

from alembic import context

from legacy_flask.models import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()

"""Which rows changed, for the new service's cache: triggers write to an outbox while somebody reads it.

Whoever wants to hear of changes extends the lease in `cache_readers`. Without one, a write costs a look at
that row and nothing is kept, so that the outbox cannot grow unread.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

FUNCTION = """
CREATE FUNCTION cache_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM cache_readers WHERE until > now()) THEN
        IF TG_TABLE_NAME = 'accounts' THEN
            INSERT INTO cache_outbox (tag) VALUES ('account:' || NEW.id);
        ELSE
            INSERT INTO cache_outbox (tag)
            VALUES ('payment:' || NEW.id), ('merchant:' || NEW.merchant_id),
                   ('account:' || NEW.source_account_id), ('account:' || NEW.destination_account_id);
        END IF;
    END IF;
    RETURN NULL;
END $$"""

TRIGGER = """
CREATE TRIGGER cache_changed AFTER INSERT OR UPDATE ON {table}
FOR EACH ROW EXECUTE FUNCTION cache_changed()"""


def upgrade() -> None:
    op.create_table(
        "cache_readers",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("id = 1", name="cache_readers_one"),
    )
    op.create_table(
        "cache_outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("clock_timestamp()"),
        ),
    )
    op.execute("INSERT INTO cache_readers (id, until) VALUES (1, '-infinity')")
    op.execute(FUNCTION)
    for table in ("accounts", "payments"):
        op.execute(TRIGGER.format(table=table))


def downgrade() -> None:
    for table in ("accounts", "payments"):
        op.execute(f"DROP TRIGGER cache_changed ON {table}")
    op.execute("DROP FUNCTION cache_changed()")
    op.drop_table("cache_outbox")
    op.drop_table("cache_readers")

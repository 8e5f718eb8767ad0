"""The tables as this program sees them, for its statements. `steps` makes them. Times are Unix seconds."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

versions = sa.Table(
    "strangler_versions",
    metadata,
    sa.Column("part", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
)

claims = sa.Table(
    "claims",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("principal", sa.Text, nullable=False),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("incarnation", sa.Text, nullable=False),
    sa.Column("token", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("updated_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
    sa.Column("status", sa.Integer),  # status, head and body: the stored answer, all or none
    sa.Column("head", sa.LargeBinary),
    sa.Column("body", sa.LargeBinary),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("doubtful", sa.Boolean, nullable=False),
    # What follows is NULL in rows of programs that do not know it.
    sa.Column("fingerprint_version", sa.Integer),
    sa.Column("unsent", sa.Text),
    sa.Column("failed", sa.Boolean),
    sa.Column("size", sa.Integer),  # bytes of the answer, where they are in `claims_stored`
    # Only open states are looked for: the index holds few rows, and a completed write costs little. `where`
    # is not an argument of each dialect: that would import both, a tenth of a control process's start.
    sa.Index("claims_open", "state", "updated_at", info={"where": "state IN ('sent', 'unknown')"}),
    sa.Index("claims_expiry", "expires_at"),
)

# How many bytes of answers there are: the sum of all rows. A worker adds to one row, so that not all wait for
# each other; what is pruned is taken off the first, which may so be below zero.
claims_stored = sa.Table(
    "claims_stored",
    metadata,
    sa.Column("shard", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
)

incarnations = sa.Table(
    "incarnations",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("expires_at", sa.Double, nullable=False),  # by the database's clock; unused with SQLite
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("time", sa.Double, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("details", sa.JSON, nullable=False),
    sa.Index("audit_time", "time"),
)

configs = sa.Table(
    "configs",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("time", sa.Double, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("trigger", sa.Text, nullable=False),
    sa.Column("difference", sa.JSON, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)

ledger_hits = sa.Table(
    "ledger_hits",
    metadata,
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("backend", sa.Text, primary_key=True),
    sa.Column("reason", sa.Text, primary_key=True),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("last", sa.Double, nullable=False),
)

ledger_weights = sa.Table(
    "ledger_weights",
    metadata,
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("weight", sa.Integer, nullable=False),
    sa.Column("since", sa.Double, nullable=False),
)

ledger_keys = sa.Table(
    "ledger_keys",
    metadata,
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("since", sa.Double, nullable=False),
)

comparison_scopes = sa.Table(
    "comparison_scopes",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("legacy", sa.Text, nullable=False),
    sa.Column("async_", sa.Text, nullable=False),
    sa.Column("rules", sa.Text, nullable=False),
    sa.Column("n", sa.BigInteger, nullable=False),
    sa.Column("m", sa.BigInteger, nullable=False),
    sa.Column("first", sa.Double, nullable=False),
    sa.Column("last", sa.Double, nullable=False),
)

comparison_paths = sa.Table(
    "comparison_paths",
    metadata,
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("shape", sa.Boolean, primary_key=True),
    sa.Column("differed", sa.BigInteger, nullable=False),
    sa.Column("b", sa.BigInteger, nullable=False),
    sa.Column("c", sa.BigInteger, nullable=False),
    sa.Column("both", sa.BigInteger, nullable=False),
    sa.Column("gone", sa.BigInteger, nullable=False),
    sa.Column("first", sa.Double, nullable=False),
    sa.Column("last", sa.Double, nullable=False),
)

comparison_marks = sa.Table(
    "comparison_marks",
    metadata,
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("differed", sa.BigInteger, nullable=False),
    sa.Column("b", sa.BigInteger, nullable=False),
    sa.Column("c", sa.BigInteger, nullable=False),
    sa.Column("both", sa.BigInteger, nullable=False),
    sa.Column("lasting", sa.BigInteger, nullable=False),
    sa.Column("paired", sa.BigInteger, nullable=False),
    sa.Column("legacy", sa.BigInteger, nullable=False),
    sa.Column("once", sa.BigInteger, nullable=False),
    sa.Column("undecided", sa.BigInteger, nullable=False),
    sa.Column("moved", sa.BigInteger, nullable=False),
    sa.Column("proven", sa.BigInteger, nullable=False),
    sa.Column("first", sa.Double, nullable=False),
    sa.Column("last", sa.Double, nullable=False),
)

comparison_units = sa.Table(
    "comparison_units",
    metadata,
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("what", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("map", sa.LargeBinary, nullable=False),
)

comparison_counts = sa.Table(
    "comparison_counts",
    metadata,
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("what", sa.Text, primary_key=True),
    sa.Column("label", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
)

comparison_traffic = sa.Table(
    "comparison_traffic",
    metadata,
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("what", sa.Text, primary_key=True),
    sa.Column("label", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("last", sa.Double, nullable=False),
)

comparison_samples = sa.Table(
    "comparison_samples",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("time", sa.Double, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("document", sa.LargeBinary, nullable=False),
    sa.Index("comparison_samples_endpoint", "endpoint", "time"),
)

comparison_sample_paths = sa.Table(
    "comparison_sample_paths",
    metadata,
    sa.Column("sample", sa.Text, primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("time", sa.Double, nullable=False),
    sa.Index("comparison_sample_paths_place", "scope", "path", "time"),
)

rollouts = sa.Table(
    "rollouts",
    metadata,
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("position", sa.Text, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("about", sa.Text, nullable=False),
)

rollout_units = sa.Table(
    "rollout_units",
    metadata,
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("epoch", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("map", sa.LargeBinary, nullable=False),
)

rollout_history = sa.Table(
    "rollout_history",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("time", sa.Double, nullable=False),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("details", sa.Text, nullable=False),
    sa.Index("rollout_history_endpoint", "endpoint", "id"),
)

rollout_lease = sa.Table(
    "rollout_lease",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("beat", sa.BigInteger, nullable=False),  # grows with each renewal
    sa.Column("expires_at", sa.Double, nullable=False),  # by the database's clock
)

rollout_freeze = sa.Table(
    "rollout_freeze",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("frozen", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("since", sa.Double, nullable=False),
)

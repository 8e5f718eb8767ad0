"""How each part of a database gets from one version to the next: the statements of each step, as text.

A step never changes once it is released, because there are databases that have taken it; `schema` has the
current tables. tests/store/test_steps.py holds a digest of every step.

A `compatible` step only adds something that older programs need not know, such as a column that may be
NULL: they keep working beside this one, and after a rollback. Any other step excludes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

_TYPES: Final[Mapping[str, Mapping[str, str]]] = {
    "sqlite": {"serial": "INTEGER", "double": "DOUBLE", "bytes": "BLOB"},
    "postgresql": {"serial": "SERIAL", "double": "DOUBLE PRECISION", "bytes": "BYTEA"},
}


class Step(NamedTuple):
    """`text` holds statements that end with a semicolon, and names in braces for types that differ."""

    text: str
    compatible: bool = False

    def statements(self, dialect: str) -> list[str]:
        """As the database of this name takes them."""
        text = self.text.format_map(_TYPES[dialect])
        return [statement for each in text.split(";") if (statement := each.strip())]


VERSIONS: Final = Step("""
CREATE TABLE strangler_versions (
    part TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (part)
);
""")

_CLAIMS: Final = """
CREATE TABLE claims (
    id TEXT NOT NULL,
    principal TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    "key" TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    owner TEXT NOT NULL,
    state TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    token TEXT NOT NULL,
    created_at {double} NOT NULL,
    updated_at {double} NOT NULL,
    expires_at {double} NOT NULL,
    status INTEGER,
    head {bytes},
    body {bytes},
    note TEXT NOT NULL,
    doubtful BOOLEAN NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX claims_expiry ON claims (expires_at);
CREATE INDEX claims_open ON claims (state, updated_at) WHERE state IN ('sent', 'unknown');
CREATE TABLE incarnations (
    id TEXT NOT NULL,
    expires_at {double} NOT NULL,
    PRIMARY KEY (id)
);
"""

_CLAIMS_KNOW_MORE: Final = """
ALTER TABLE claims ADD COLUMN fingerprint_version INTEGER;
ALTER TABLE claims ADD COLUMN unsent TEXT;
ALTER TABLE claims ADD COLUMN failed BOOLEAN;
"""

_CLAIMS_ARE_COUNTED: Final = """
ALTER TABLE claims ADD COLUMN size INTEGER;
CREATE TABLE claims_stored (
    shard INTEGER NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (shard)
);
INSERT INTO claims_stored (shard, bytes) VALUES
    (0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0),
    (8, 0), (9, 0), (10, 0), (11, 0), (12, 0), (13, 0), (14, 0), (15, 0);
"""

_AUDIT: Final = """
CREATE TABLE audit (
    id {serial} NOT NULL,
    time {double} NOT NULL,
    author TEXT NOT NULL,
    action TEXT NOT NULL,
    details JSON NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX audit_time ON audit (time);
"""

_CONFIGS: Final = """
CREATE TABLE configs (
    id {serial} NOT NULL,
    time {double} NOT NULL,
    hash TEXT NOT NULL,
    author TEXT NOT NULL,
    "trigger" TEXT NOT NULL,
    difference JSON NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (id)
);
"""

_LEDGER: Final = """
CREATE TABLE ledger_hits (
    endpoint TEXT NOT NULL,
    backend TEXT NOT NULL,
    reason TEXT NOT NULL,
    requests BIGINT NOT NULL,
    last {double} NOT NULL,
    PRIMARY KEY (endpoint, backend, reason)
);
CREATE TABLE ledger_weights (
    endpoint TEXT NOT NULL,
    weight INTEGER NOT NULL,
    since {double} NOT NULL,
    PRIMARY KEY (endpoint)
);
"""

_LEDGER_KEYS: Final = """
CREATE TABLE ledger_keys (
    endpoint TEXT NOT NULL,
    since {double} NOT NULL,
    PRIMARY KEY (endpoint)
);
"""

_COMPARISONS: Final = """
CREATE TABLE comparison_scopes (
    id TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    legacy TEXT NOT NULL,
    async_ TEXT NOT NULL,
    rules TEXT NOT NULL,
    n BIGINT NOT NULL,
    m BIGINT NOT NULL,
    first {double} NOT NULL,
    last {double} NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE comparison_paths (
    scope TEXT NOT NULL,
    path TEXT NOT NULL,
    shape BOOLEAN NOT NULL,
    differed BIGINT NOT NULL,
    b BIGINT NOT NULL,
    c BIGINT NOT NULL,
    "both" BIGINT NOT NULL,
    gone BIGINT NOT NULL,
    first {double} NOT NULL,
    last {double} NOT NULL,
    PRIMARY KEY (scope, path, shape)
);
CREATE TABLE comparison_counts (
    scope TEXT NOT NULL,
    what TEXT NOT NULL,
    label TEXT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (scope, what, label)
);
CREATE TABLE comparison_traffic (
    endpoint TEXT NOT NULL,
    what TEXT NOT NULL,
    label TEXT NOT NULL,
    number BIGINT NOT NULL,
    last {double} NOT NULL,
    PRIMARY KEY (endpoint, what, label)
);
CREATE TABLE comparison_samples (
    id TEXT NOT NULL,
    scope TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    time {double} NOT NULL,
    size INTEGER NOT NULL,
    document {bytes} NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX comparison_samples_endpoint ON comparison_samples (endpoint, time);
CREATE TABLE comparison_sample_paths (
    sample TEXT NOT NULL,
    path TEXT NOT NULL,
    scope TEXT NOT NULL,
    time {double} NOT NULL,
    PRIMARY KEY (sample, path)
);
CREATE INDEX comparison_sample_paths_place ON comparison_sample_paths (scope, path, time);
"""

_COMPARISON_MARKS: Final = """
CREATE TABLE comparison_marks (
    scope TEXT NOT NULL,
    path TEXT NOT NULL,
    kind TEXT NOT NULL,
    differed BIGINT NOT NULL,
    b BIGINT NOT NULL,
    c BIGINT NOT NULL,
    "both" BIGINT NOT NULL,
    lasting BIGINT NOT NULL,
    paired BIGINT NOT NULL,
    legacy BIGINT NOT NULL,
    once BIGINT NOT NULL,
    undecided BIGINT NOT NULL,
    moved BIGINT NOT NULL,
    proven BIGINT NOT NULL,
    first {double} NOT NULL,
    last {double} NOT NULL,
    PRIMARY KEY (scope, path, kind)
);
CREATE TABLE comparison_units (
    scope TEXT NOT NULL,
    what TEXT NOT NULL,
    number INTEGER NOT NULL,
    map {bytes} NOT NULL,
    PRIMARY KEY (scope, what)
);
"""

_ROLLOUTS: Final = """
CREATE TABLE rollouts (
    endpoint TEXT NOT NULL,
    generation BIGINT NOT NULL,
    position TEXT NOT NULL,
    evidence TEXT NOT NULL,
    about TEXT NOT NULL,
    PRIMARY KEY (endpoint)
);
CREATE TABLE rollout_units (
    endpoint TEXT NOT NULL,
    epoch TEXT NOT NULL,
    kind TEXT NOT NULL,
    map {bytes} NOT NULL,
    PRIMARY KEY (endpoint, epoch, kind)
);
CREATE TABLE rollout_history (
    id {serial} NOT NULL,
    time {double} NOT NULL,
    endpoint TEXT NOT NULL,
    details TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX rollout_history_endpoint ON rollout_history (endpoint, id);
CREATE TABLE rollout_lease (
    name TEXT NOT NULL,
    holder TEXT NOT NULL,
    beat BIGINT NOT NULL,
    expires_at {double} NOT NULL,
    PRIMARY KEY (name)
);
CREATE TABLE rollout_freeze (
    name TEXT NOT NULL,
    generation BIGINT NOT NULL,
    frozen BOOLEAN NOT NULL,
    reason TEXT NOT NULL,
    author TEXT NOT NULL,
    since {double} NOT NULL,
    PRIMARY KEY (name)
);
"""

PARTS: Final[dict[str, Sequence[Step]]] = {
    "claims": [
        Step(_CLAIMS),
        Step(_CLAIMS_KNOW_MORE, compatible=True),
        Step(_CLAIMS_ARE_COUNTED, compatible=True),
    ],
    "audit": [Step(_AUDIT)],
    "configs": [Step(_CONFIGS)],
    "ledger": [Step(_LEDGER), Step(_LEDGER_KEYS)],
    "comparisons": [Step(_COMPARISONS), Step(_COMPARISON_MARKS, compatible=True)],
    "rollouts": [Step(_ROLLOUTS)],
}
"""The steps of each part, in order. Steps are only ever added, at the end."""

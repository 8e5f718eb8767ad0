-- What version 0.1 made, with a write in each state. Never to be changed.
CREATE TABLE audit (
    id INTEGER NOT NULL,
    time DOUBLE NOT NULL,
    author TEXT NOT NULL,
    action TEXT NOT NULL,
    details JSON NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX audit_time ON audit (time);
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
    created_at DOUBLE NOT NULL,
    updated_at DOUBLE NOT NULL,
    expires_at DOUBLE NOT NULL,
    status INTEGER,
    head BLOB,
    body BLOB,
    note TEXT NOT NULL,
    doubtful BOOLEAN NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX claims_expiry ON claims (expires_at);
CREATE INDEX claims_open ON claims (state, updated_at) WHERE state IN ('sent', 'unknown');
CREATE TABLE comparison_counts (
    scope TEXT NOT NULL,
    what TEXT NOT NULL,
    label TEXT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (scope, what, label)
);
CREATE TABLE comparison_paths (
    scope TEXT NOT NULL,
    path TEXT NOT NULL,
    shape BOOLEAN NOT NULL,
    differed BIGINT NOT NULL,
    b BIGINT NOT NULL,
    c BIGINT NOT NULL,
    both BIGINT NOT NULL,
    gone BIGINT NOT NULL,
    first DOUBLE NOT NULL,
    last DOUBLE NOT NULL,
    PRIMARY KEY (scope, path, shape)
);
CREATE TABLE comparison_sample_paths (
    sample TEXT NOT NULL,
    path TEXT NOT NULL,
    scope TEXT NOT NULL,
    time DOUBLE NOT NULL,
    PRIMARY KEY (sample, path)
);
CREATE INDEX comparison_sample_paths_place ON comparison_sample_paths (scope, path, time);
CREATE TABLE comparison_samples (
    id TEXT NOT NULL,
    scope TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    time DOUBLE NOT NULL,
    size INTEGER NOT NULL,
    document BLOB NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX comparison_samples_endpoint ON comparison_samples (endpoint, time);
CREATE TABLE comparison_scopes (
    id TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    legacy TEXT NOT NULL,
    async_ TEXT NOT NULL,
    rules TEXT NOT NULL,
    n BIGINT NOT NULL,
    m BIGINT NOT NULL,
    first DOUBLE NOT NULL,
    last DOUBLE NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE comparison_traffic (
    endpoint TEXT NOT NULL,
    what TEXT NOT NULL,
    label TEXT NOT NULL,
    number BIGINT NOT NULL,
    last DOUBLE NOT NULL,
    PRIMARY KEY (endpoint, what, label)
);
CREATE TABLE configs (
    id INTEGER NOT NULL,
    time DOUBLE NOT NULL,
    hash TEXT NOT NULL,
    author TEXT NOT NULL,
    "trigger" TEXT NOT NULL,
    difference JSON NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE incarnations (
    id TEXT NOT NULL,
    expires_at DOUBLE NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE ledger_hits (
    endpoint TEXT NOT NULL,
    backend TEXT NOT NULL,
    reason TEXT NOT NULL,
    requests BIGINT NOT NULL,
    last DOUBLE NOT NULL,
    PRIMARY KEY (endpoint, backend, reason)
);
CREATE TABLE ledger_keys (
    endpoint TEXT NOT NULL,
    since DOUBLE NOT NULL,
    PRIMARY KEY (endpoint)
);
CREATE TABLE ledger_weights (
    endpoint TEXT NOT NULL,
    weight INTEGER NOT NULL,
    since DOUBLE NOT NULL,
    PRIMARY KEY (endpoint)
);
CREATE TABLE strangler_versions (
    part TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (part)
);
INSERT INTO strangler_versions (part, version) VALUES ('claims', 1);
INSERT INTO strangler_versions (part, version) VALUES ('audit', 1);
INSERT INTO strangler_versions (part, version) VALUES ('configs', 1);
INSERT INTO strangler_versions (part, version) VALUES ('ledger', 2);
INSERT INTO strangler_versions (part, version) VALUES ('comparisons', 1);
INSERT INTO claims (id, principal, endpoint, "key", fingerprint, owner, state, incarnation, token, created_at, updated_at, expires_at, status, head, body, note, doubtful)
VALUES ('done', 'anonymous', 'POST /payments', 'done', 'f0', 'legacy', 'completed', 'gone', 't1', 1790000000.0, 1790000001.0, 1790086401.0, 201, X'485454502f312e312032303120437265617465640d0a', X'70616964', '', 0);
INSERT INTO claims (id, principal, endpoint, "key", fingerprint, owner, state, incarnation, token, created_at, updated_at, expires_at, status, head, body, note, doubtful)
VALUES ('free', 'anonymous', 'POST /payments', 'free', 'f0', 'async', 'released', 'gone', 't2', 1790000000.0, 1790000001.0, 1790086401.0, NULL, NULL, NULL, '', 0);
INSERT INTO claims (id, principal, endpoint, "key", fingerprint, owner, state, incarnation, token, created_at, updated_at, expires_at, status, head, body, note, doubtful)
VALUES ('lost', 'anonymous', 'POST /payments', 'lost', 'f0', 'legacy', 'unknown', 'gone', 't3', 1790000000.0, 1790000001.0, 1790086401.0, NULL, NULL, NULL, '', 0);
INSERT INTO claims (id, principal, endpoint, "key", fingerprint, owner, state, incarnation, token, created_at, updated_at, expires_at, status, head, body, note, doubtful)
VALUES ('open', 'anonymous', 'POST /payments', 'open', 'f0', 'legacy', 'sent', 'gone', 't4', 1790000000.0, 1790000000.0, 1790086400.0, NULL, NULL, NULL, '', 0);

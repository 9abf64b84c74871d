-- Every table is append-only: a change is a new row, and views show the newest.
-- No keys, foreign keys or indexes: DuckDB's have bugs; the queries check, under the one write lock.

-- Constitutions: each save is a row. `version` is the hash of the content, so it may come back.
CREATE SEQUENCE constitution_versions_seq;
CREATE TABLE constitution_versions (
    seq BIGINT NOT NULL DEFAULT nextval('constitution_versions_seq'),
    version VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    body VARCHAR NOT NULL,      -- JSON of records.Constitution
    note VARCHAR NOT NULL,
    parent VARCHAR,             -- the version of this name that was newest before
    author VARCHAR NOT NULL,
    saved TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- What is being edited. A NULL body: nothing is, the saved version stands.
CREATE SEQUENCE drafts_seq;
CREATE TABLE drafts (
    seq BIGINT NOT NULL DEFAULT nextval('drafts_seq'),
    name VARCHAR NOT NULL,
    action VARCHAR NOT NULL,    -- what was done, in words
    body VARCHAR,               -- JSON in the shape of records.Constitution, perhaps not valid yet
    undo_to BIGINT,             -- undo and redo: the seq whose state this is again; 0 is the saved version
    author VARCHAR NOT NULL,
    saved TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE SEQUENCE chains_seq;
CREATE TABLE chains (
    seq BIGINT NOT NULL DEFAULT nextval('chains_seq'),
    id VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    messages VARCHAR NOT NULL,  -- JSON: list of role and content
    prompt_text VARCHAR NOT NULL,  -- the contents alone, which is what search reads
    constitution VARCHAR NOT NULL,
    constitution_name VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    critic VARCHAR NOT NULL,
    seed BIGINT NOT NULL,
    revisions INTEGER NOT NULL,
    temperature DOUBLE NOT NULL,
    top_p DOUBLE NOT NULL,
    max_tokens INTEGER NOT NULL,
    form VARCHAR NOT NULL,
    author VARCHAR NOT NULL,
    parent VARCHAR,
    branch_step INTEGER,
    created TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE SEQUENCE steps_seq;
CREATE TABLE steps (
    seq BIGINT NOT NULL DEFAULT nextval('steps_seq'),
    chain VARCHAR NOT NULL,
    position INTEGER NOT NULL CHECK (position >= 0),
    kind VARCHAR NOT NULL CHECK (kind IN ('response', 'critique', 'revision')),
    principle VARCHAR,
    text VARCHAR NOT NULL,
    author VARCHAR NOT NULL CHECK (author IN ('model', 'person')),
    model VARCHAR,
    seed BIGINT,
    finish VARCHAR NOT NULL CHECK (finish IN ('stop', 'length', 'cancelled', 'empty')),
    tokens BIGINT NOT NULL,
    seconds DOUBLE NOT NULL,
    written TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE VIEW current_steps AS
SELECT * FROM steps
QUALIFY row_number() OVER (PARTITION BY chain, position ORDER BY seq DESC) = 1;

CREATE SEQUENCE chain_events_seq;
CREATE TABLE chain_events (
    seq BIGINT NOT NULL DEFAULT nextval('chain_events_seq'),
    chain VARCHAR NOT NULL,
    status VARCHAR NOT NULL CHECK (status IN ('running', 'finished', 'stopped', 'failed', 'interrupted')),
    detail VARCHAR NOT NULL,
    time TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE VIEW chain_status AS
SELECT * FROM chain_events
QUALIFY row_number() OVER (PARTITION BY chain ORDER BY seq DESC) = 1;

CREATE SEQUENCE settings_seq;
CREATE TABLE settings (
    seq BIGINT NOT NULL DEFAULT nextval('settings_seq'),
    key VARCHAR NOT NULL,
    value VARCHAR NOT NULL,
    time TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE VIEW current_settings AS
SELECT * FROM settings
QUALIFY row_number() OVER (PARTITION BY key ORDER BY seq DESC) = 1;

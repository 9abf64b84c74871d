-- Runs: one stage executed once, in its own process and folder. Append-only, as everything.

CREATE SEQUENCE runs_seq;
CREATE TABLE runs (
    seq BIGINT NOT NULL DEFAULT nextval('runs_seq'),
    id VARCHAR NOT NULL,        -- also its folder's name, below runs/
    stage VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    config VARCHAR NOT NULL,    -- JSON of the stage's config
    constitution VARCHAR,       -- content hash
    constitution_name VARCHAR,
    total BIGINT NOT NULL,      -- how many it is to make
    origin VARCHAR NOT NULL CHECK (origin IN ('studio', 'imported')),
    content VARCHAR,            -- imported: the hash of what was imported
    author VARCHAR NOT NULL,
    created TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE SEQUENCE run_states_seq;
CREATE TABLE run_states (
    seq BIGINT NOT NULL DEFAULT nextval('run_states_seq'),
    run VARCHAR NOT NULL,
    state VARCHAR NOT NULL CHECK (state IN (
        'waiting', 'starting', 'running', 'stopping',
        'done', 'stopped', 'failed', 'lost', 'cancelled', 'deleted')),
    detail VARCHAR NOT NULL,
    time TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE VIEW run_status AS
SELECT * FROM run_states
QUALIFY row_number() OVER (PARTITION BY run ORDER BY seq DESC) = 1;

-- Each process that worked on a run. A pid alone may be another's by now: its start tells them apart.
CREATE SEQUENCE run_processes_seq;
CREATE TABLE run_processes (
    seq BIGINT NOT NULL DEFAULT nextval('run_processes_seq'),
    run VARCHAR NOT NULL,
    pid BIGINT NOT NULL,
    started DOUBLE NOT NULL,    -- seconds since 1970, as the system says it
    device VARCHAR NOT NULL,    -- what CUDA_VISIBLE_DEVICES was set to
    after BIGINT NOT NULL,      -- the newest event before it: its own come later
    time TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE VIEW current_processes AS
SELECT * FROM run_processes
QUALIFY row_number() OVER (PARTITION BY run ORDER BY seq DESC) = 1;

CREATE TABLE run_events (
    run VARCHAR NOT NULL,
    seq BIGINT NOT NULL,        -- the run's own numbers, from 1
    attempt BIGINT NOT NULL,
    kind VARCHAR NOT NULL,
    time VARCHAR NOT NULL,      -- ISO 8601, by the worker's clock
    data VARCHAR NOT NULL       -- JSON of the rest
);

-- How far each file of a run has been read, in bytes: written together with what was read.
CREATE SEQUENCE run_offsets_seq;
CREATE TABLE run_offsets (
    seq BIGINT NOT NULL DEFAULT nextval('run_offsets_seq'),
    run VARCHAR NOT NULL,
    file VARCHAR NOT NULL,
    bytes BIGINT NOT NULL
);

CREATE VIEW current_offsets AS
SELECT * FROM run_offsets
QUALIFY row_number() OVER (PARTITION BY run, file ORDER BY seq DESC) = 1;

-- Where a waiting run stands: lower goes first.
CREATE SEQUENCE run_places_seq;
CREATE TABLE run_places (
    seq BIGINT NOT NULL DEFAULT nextval('run_places_seq'),
    run VARCHAR NOT NULL,
    place BIGINT NOT NULL
);

CREATE VIEW current_places AS
SELECT * FROM run_places
QUALIFY row_number() OVER (PARTITION BY run ORDER BY seq DESC) = 1;

-- The run that wrote a chain; NULL: written live.
ALTER TABLE chains ADD COLUMN run VARCHAR;

-- Matchups: two models' answers to one prompt, and which was held better; by a run of `cai evaluate`, or by a
-- vote in the arena. Append-only, as everything.

-- Who competes: a model as one run, or the arena (run NULL), knows it. Matchups name them by number, which a
-- million rows are read by in no time.
CREATE SEQUENCE competitors_seq;
CREATE TABLE competitors (
    code BIGINT NOT NULL DEFAULT nextval('competitors_seq'),
    run VARCHAR,
    name VARCHAR NOT NULL,
    revision VARCHAR            -- of the weights that answered
);

CREATE SEQUENCE matchup_prompts_seq;
CREATE TABLE matchup_prompts (
    seq BIGINT NOT NULL DEFAULT nextval('matchup_prompts_seq'),
    run VARCHAR,
    prompt_id VARCHAR NOT NULL,
    messages VARCHAR NOT NULL   -- JSON: list of role and content
);

CREATE SEQUENCE matchups_seq;
CREATE TABLE matchups (
    seq BIGINT NOT NULL DEFAULT nextval('matchups_seq'),
    id VARCHAR NOT NULL,
    run VARCHAR,                -- NULL: a vote in the arena
    prompt_id VARCHAR NOT NULL,
    cluster BIGINT NOT NULL,    -- a hash of the prompt's id, or of the row's where it has none: for intervals
    kind VARCHAR NOT NULL CHECK (kind IN ('red_team', 'helpful')),
    axis VARCHAR NOT NULL CHECK (axis IN ('harmless', 'helpful', 'overall')),
    side_a BIGINT NOT NULL,     -- competitors.code
    side_b BIGINT NOT NULL,
    response_a VARCHAR NOT NULL,
    response_b VARCHAR NOT NULL,
    refuses_a BOOLEAN NOT NULL, -- whether a refusal word is in it, by pipeline/refusals.py
    refuses_b BOOLEAN NOT NULL,
    judge VARCHAR NOT NULL,
    annotator VARCHAR NOT NULL,
    annotator_kind VARCHAR NOT NULL CHECK (annotator_kind IN ('person', 'imported', 'model')),
    constitution VARCHAR,
    p_ab DOUBLE NOT NULL,
    p_ba DOUBLE NOT NULL,
    p_a DOUBLE NOT NULL,
    void VARCHAR,               -- why it does not count: it was taken back, or an answer revealed its model
    time TIMESTAMPTZ NOT NULL
);

-- Those that count. A run's have each id once; of the arena's the newest row of an id holds.
CREATE VIEW current_matchups AS
SELECT * FROM matchups
WHERE void IS NULL AND (
    run IS NOT NULL AND run NOT IN (SELECT run FROM run_states WHERE state = 'deleted')
    OR run IS NULL AND seq IN (SELECT max(seq) FROM matchups WHERE run IS NULL GROUP BY id));

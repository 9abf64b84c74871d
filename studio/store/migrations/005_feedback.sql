-- AI feedback and its audit (paper section 4): pairs, the feedback model's labels, and what people judge.

CREATE SEQUENCE pairs_seq;
CREATE TABLE pairs (
    seq BIGINT NOT NULL DEFAULT nextval('pairs_seq'),
    id VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL CHECK (kind IN ('red_team', 'helpful')),
    messages VARCHAR NOT NULL,      -- JSON: list of role and content
    prompt_text VARCHAR NOT NULL,   -- the contents alone, which is what search reads
    response_a VARCHAR NOT NULL,
    response_b VARCHAR NOT NULL,
    source_a VARCHAR NOT NULL,      -- JSON of records.Source
    source_b VARCHAR NOT NULL,
    length_a BIGINT NOT NULL,       -- characters; these and the refusals are what trivial rules go by
    length_b BIGINT NOT NULL,
    refuses_a BOOLEAN NOT NULL,     -- whether a refusal word is in it, by pipeline/refusals.py
    refuses_b BOOLEAN NOT NULL,
    grouping VARCHAR,               -- the set of three or more responses that this pair is of
    run VARCHAR,                    -- the run that brought it first
    created TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE SEQUENCE labels_seq;
CREATE TABLE labels (
    seq BIGINT NOT NULL DEFAULT nextval('labels_seq'),
    pair VARCHAR NOT NULL,
    principle VARCHAR NOT NULL,
    method VARCHAR NOT NULL CHECK (method IN ('choice', 'cot', 'contrast')),
    model VARCHAR NOT NULL,
    revision VARCHAR,
    form VARCHAR,
    constitution VARCHAR NOT NULL,
    seed BIGINT NOT NULL,
    logit_ab DOUBLE NOT NULL,
    logit_ba DOUBLE NOT NULL,
    p_ab DOUBLE NOT NULL,
    p_ba DOUBLE NOT NULL,
    p_a DOUBLE NOT NULL,
    rationale_ab VARCHAR,
    rationale_ba VARCHAR,
    run VARCHAR NOT NULL,
    time TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- The newest label of a pair by the same labeller under the same principle and constitution counts, but
-- not those of a run that was deleted.
CREATE VIEW current_labels AS
SELECT * FROM labels WHERE run NOT IN (SELECT run FROM run_states WHERE state = 'deleted')
QUALIFY row_number() OVER (
    PARTITION BY pair, principle, method, model, constitution ORDER BY seq DESC) = 1;

-- Undo appends the state before again, with `undoes` the seq of the row that it takes back.
CREATE SEQUENCE judgments_seq;
CREATE TABLE judgments (
    seq BIGINT NOT NULL DEFAULT nextval('judgments_seq'),
    pair VARCHAR NOT NULL,
    axis VARCHAR NOT NULL CHECK (axis IN ('harmless', 'helpful')),
    annotator VARCHAR NOT NULL,
    annotator_kind VARCHAR NOT NULL CHECK (annotator_kind IN ('person', 'imported', 'model')),
    choice VARCHAR NOT NULL CHECK (choice IN ('a', 'b', 'tie', 'skip', 'none')),  -- none: taken back
    shown_first VARCHAR CHECK (shown_first IN ('a', 'b')),
    picked_by VARCHAR NOT NULL CHECK (
        picked_by IN ('random', 'uncertain', 'disagreement', 'order', 'chosen', 'imported')),
    ranking VARCHAR,
    blind BOOLEAN NOT NULL,
    seconds DOUBLE,
    note VARCHAR NOT NULL,
    brought BOOLEAN NOT NULL,       -- it came along with a run or a file; not judged here
    run VARCHAR,                    -- the run that brought it along
    undoes BIGINT,
    time TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- A row stands unless it is an undo or was undone.
CREATE VIEW standing_judgments AS
SELECT * FROM judgments
WHERE undoes IS NULL AND seq NOT IN (SELECT undoes FROM judgments WHERE undoes IS NOT NULL);

-- What each annotator holds of a pair. Of the same name, what was judged here goes before what came along:
-- it may be another person's.
CREATE VIEW current_judgments AS
SELECT * FROM standing_judgments
QUALIFY row_number() OVER (PARTITION BY pair, axis, annotator, annotator_kind ORDER BY brought, seq DESC) = 1;

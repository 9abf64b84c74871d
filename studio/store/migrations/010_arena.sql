-- Arena: two models answer the same prompt, blind and shuffled, and a person votes.
-- The answers are turns, as in the chat (008), whose "conversation" is the battle: it is no conversation, so
-- that no list and no link shows it.

CREATE SEQUENCE battles_seq;
CREATE TABLE battles (
    seq BIGINT NOT NULL DEFAULT nextval('battles_seq'),
    id VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL CHECK (kind IN ('red_team', 'helpful')),
    messages VARCHAR NOT NULL,  -- JSON
    axis VARCHAR NOT NULL CHECK (axis IN ('harmless', 'helpful')),
    seed BIGINT NOT NULL,       -- of who competes, on which side; and of both answers
    left_turn VARCHAR NOT NULL,
    right_turn VARCHAR NOT NULL,
    annotator VARCHAR NOT NULL,
    created TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- The newest row of a battle holds. 'none': taken back. `both_bad` is a tie to a rating.
CREATE SEQUENCE battle_votes_seq;
CREATE TABLE battle_votes (
    seq BIGINT NOT NULL DEFAULT nextval('battle_votes_seq'),
    battle VARCHAR NOT NULL,
    vote VARCHAR NOT NULL CHECK (vote IN ('left', 'right', 'tie', 'both_bad', 'none')),
    void VARCHAR,               -- the words by which an answer revealed its model; NULL: the vote counts
    annotator VARCHAR NOT NULL,
    time TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE VIEW current_battle_votes AS
SELECT * FROM battle_votes
QUALIFY row_number() OVER (PARTITION BY battle ORDER BY seq DESC) = 1;

-- Pairs of a tournament (`cai evaluate --judge people`) that wait for people, as the run wrote them.
CREATE SEQUENCE waiting_seq;
CREATE TABLE waiting (
    seq BIGINT NOT NULL DEFAULT nextval('waiting_seq'),
    run VARCHAR NOT NULL,
    id VARCHAR NOT NULL,        -- of the match: two runs of the same models and prompts may have the same
    prompt_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL CHECK (kind IN ('red_team', 'helpful')),
    axis VARCHAR NOT NULL CHECK (axis IN ('harmless', 'helpful')),
    messages VARCHAR NOT NULL,  -- JSON
    model_a VARCHAR NOT NULL,
    model_b VARCHAR NOT NULL,
    response_a VARCHAR NOT NULL,
    response_b VARCHAR NOT NULL,
    revision_a VARCHAR,
    revision_b VARCHAR
);

-- What a person says of such a pair, in the pair's own sides; the newest row holds. 'none': taken back.
CREATE SEQUENCE waiting_votes_seq;
CREATE TABLE waiting_votes (
    seq BIGINT NOT NULL DEFAULT nextval('waiting_votes_seq'),
    run VARCHAR NOT NULL,
    id VARCHAR NOT NULL,
    annotator VARCHAR NOT NULL,
    vote VARCHAR NOT NULL CHECK (vote IN ('a', 'b', 'tie', 'both_bad', 'none')),
    shown_first VARCHAR NOT NULL CHECK (shown_first IN ('a', 'b')),
    void VARCHAR,
    seconds DOUBLE,
    time TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE VIEW current_waiting_votes AS
SELECT * FROM waiting_votes
QUALIFY row_number() OVER (PARTITION BY run, id, annotator ORDER BY seq DESC) = 1;

-- Of what people say, in the arena or of a tournament's pairs, the newest row of an id holds.
CREATE OR REPLACE VIEW current_matchups AS
SELECT * FROM matchups
WHERE void IS NULL
    AND (run IS NULL OR run NOT IN (SELECT run FROM run_states WHERE state = 'deleted'))
    AND (run IS NOT NULL AND annotator_kind <> 'person'
        OR seq IN (SELECT max(seq) FROM matchups WHERE run IS NULL OR annotator_kind = 'person' GROUP BY run, id));

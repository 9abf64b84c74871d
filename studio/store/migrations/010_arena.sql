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

-- Chat: conversations as trees of turns. A retry or an edit is a new turn beside the old one, under the same
-- parent, so nothing that was said is lost.

CREATE SEQUENCE conversations_seq;
CREATE TABLE conversations (
    seq BIGINT NOT NULL DEFAULT nextval('conversations_seq'),
    id VARCHAR NOT NULL,
    author VARCHAR NOT NULL,
    created TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- What a conversation is called: NULL, by its first words. A deleted one is neither listed nor opened.
CREATE SEQUENCE conversation_states_seq;
CREATE TABLE conversation_states (
    seq BIGINT NOT NULL DEFAULT nextval('conversation_states_seq'),
    conversation VARCHAR NOT NULL,
    name VARCHAR,
    deleted BOOLEAN NOT NULL,
    author VARCHAR NOT NULL,
    time TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE VIEW conversation_status AS
SELECT * FROM conversation_states
QUALIFY row_number() OVER (PARTITION BY conversation ORDER BY seq DESC) = 1;

-- The turn that a conversation is shown up to; NULL: its beginning, where all was undone. The newest holds;
-- those before say where each branch was left.
CREATE SEQUENCE conversation_places_seq;
CREATE TABLE conversation_places (
    seq BIGINT NOT NULL DEFAULT nextval('conversation_places_seq'),
    conversation VARCHAR NOT NULL,
    turn VARCHAR
);

CREATE SEQUENCE turns_seq;
CREATE TABLE turns (
    seq BIGINT NOT NULL DEFAULT nextval('turns_seq'),
    id VARCHAR NOT NULL,
    conversation VARCHAR NOT NULL,
    parent VARCHAR,             -- NULL: the first words of a conversation
    role VARCHAR NOT NULL CHECK (role IN ('user', 'assistant')),
    author VARCHAR NOT NULL,    -- who typed it, or asked for the reply
    chatting VARCHAR,           -- a reply: JSON of how it was asked for
    created TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- A turn's text is its pieces in order: a reply is kept as it grows, and the pieces once.
CREATE SEQUENCE turn_pieces_seq;
CREATE TABLE turn_pieces (
    seq BIGINT NOT NULL DEFAULT nextval('turn_pieces_seq'),
    turn VARCHAR NOT NULL,
    text VARCHAR NOT NULL
);

CREATE VIEW turn_texts AS
SELECT turn, string_agg(text, '' ORDER BY seq) AS text FROM turn_pieces GROUP BY turn;

CREATE SEQUENCE turn_events_seq;
CREATE TABLE turn_events (
    seq BIGINT NOT NULL DEFAULT nextval('turn_events_seq'),
    turn VARCHAR NOT NULL,
    status VARCHAR NOT NULL CHECK (status IN ('writing', 'finished', 'stopped', 'failed', 'interrupted')),
    detail VARCHAR NOT NULL,
    revision VARCHAR,           -- the weights that wrote it, and how they were asked
    form VARCHAR,
    finish VARCHAR CHECK (finish IN ('stop', 'length', 'cancelled', 'empty')),
    tokens BIGINT NOT NULL,
    seconds DOUBLE NOT NULL,
    time TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE VIEW turn_status AS
SELECT * FROM turn_events
QUALIFY row_number() OVER (PARTITION BY turn ORDER BY seq DESC) = 1;

-- What a preference model says of a reply after what came before it: only differences mean something.
CREATE SEQUENCE turn_scores_seq;
CREATE TABLE turn_scores (
    seq BIGINT NOT NULL DEFAULT nextval('turn_scores_seq'),
    turn VARCHAR NOT NULL,
    pm VARCHAR NOT NULL,        -- its run
    revision VARCHAR NOT NULL,
    score DOUBLE NOT NULL,
    time TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE VIEW current_turn_scores AS
SELECT * FROM turn_scores
QUALIFY row_number() OVER (PARTITION BY turn, pm ORDER BY seq DESC) = 1;

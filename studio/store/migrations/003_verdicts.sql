-- Whether a chain is fit to train on, as a person judged it. Undo appends the state before again.
CREATE SEQUENCE verdicts_seq;
CREATE TABLE verdicts (
    seq BIGINT NOT NULL DEFAULT nextval('verdicts_seq'),
    chain VARCHAR NOT NULL,
    verdict VARCHAR NOT NULL CHECK (verdict IN ('accepted', 'rejected', 'none')),
    note VARCHAR NOT NULL,
    author VARCHAR NOT NULL,    -- whose judgement this is; an undo is by the author of the row it undoes
    undoes BIGINT,              -- an undo: the seq of the row that it takes back
    time TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE VIEW current_verdicts AS
SELECT * FROM verdicts
QUALIFY row_number() OVER (PARTITION BY chain ORDER BY seq DESC) = 1;

-- Answers to multiple-choice questions (figure 4), as runs of `cai evals` bring them.
CREATE SEQUENCE eval_answers_seq;
CREATE TABLE eval_answers (
    seq BIGINT NOT NULL DEFAULT nextval('eval_answers_seq'),
    run VARCHAR NOT NULL,
    id VARCHAR NOT NULL,         -- the question's place in its file
    kind VARCHAR NOT NULL CHECK (kind IN ('letters', 'responses')),
    prompt_id VARCHAR NOT NULL,
    "right" DOUBLE NOT NULL,     -- 1, 0, or 0.5 for an exact tie
    "first" DOUBLE NOT NULL,
    p DOUBLE NOT NULL,           -- the probability of what is right
    model VARCHAR NOT NULL,
    revision VARCHAR NOT NULL,
    form VARCHAR NOT NULL
);

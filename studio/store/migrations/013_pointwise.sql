-- Labels may also be `pointwise`. DuckDB can't change a CHECK: the table is made anew, in its order.
DROP VIEW current_labels;
CREATE TABLE new_labels (
    seq BIGINT NOT NULL DEFAULT nextval('labels_seq'),
    pair VARCHAR NOT NULL,
    principle VARCHAR NOT NULL,
    method VARCHAR NOT NULL CHECK (method IN ('choice', 'cot', 'contrast', 'pointwise')),
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
INSERT INTO new_labels SELECT * FROM labels ORDER BY seq;
DROP TABLE labels;
ALTER TABLE new_labels RENAME TO labels;

CREATE VIEW current_labels AS
SELECT * FROM labels WHERE run NOT IN (SELECT run FROM run_states WHERE state = 'deleted')
QUALIFY row_number() OVER (
    PARTITION BY pair, principle, method, model, constitution ORDER BY seq DESC) = 1;

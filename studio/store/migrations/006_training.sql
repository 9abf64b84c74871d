-- What training runs measure, a row for each figure of each step.

CREATE TABLE metrics (
    run VARCHAR NOT NULL,
    attempt BIGINT NOT NULL,    -- of the run, from 1: each start and each resume is one
    seq BIGINT NOT NULL,        -- the event's, in the run's own numbers
    step BIGINT NOT NULL,       -- the trainer's
    name VARCHAR NOT NULL,
    value DOUBLE                -- NULL: no number, as where the loss became NaN
);

-- The step that an attempt went on from.
CREATE TABLE run_attempts (
    run VARCHAR NOT NULL,
    attempt BIGINT NOT NULL,
    step BIGINT NOT NULL
);

-- One value a step. What an earlier attempt measured past the step that a later one went on from was of
-- weights that are gone.
CREATE VIEW current_metrics AS
SELECT * FROM metrics m
WHERE NOT EXISTS (
    SELECT 1 FROM run_attempts later
    WHERE later.run = m.run AND later.attempt > m.attempt AND later.step < m.step)
QUALIFY row_number() OVER (PARTITION BY run, name, step ORDER BY attempt DESC, seq DESC) = 1;

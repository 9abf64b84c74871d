-- Chains without critiques (figure 7): each revision is asked for at once.
ALTER TABLE chains ADD COLUMN critiques BOOLEAN DEFAULT true;

-- What a preference model holds of chains' answers, by number of revisions (figures 5 and 7); by `cai score`.
CREATE SEQUENCE revision_scores_seq;
CREATE TABLE revision_scores (
    seq BIGINT NOT NULL DEFAULT nextval('revision_scores_seq'),
    run VARCHAR NOT NULL,
    id VARCHAR NOT NULL,
    chains VARCHAR NOT NULL,    -- the run that the chain is of: its id here, or the name of a folder elsewhere
    chain VARCHAR NOT NULL,
    prompt_id VARCHAR NOT NULL,
    revision INTEGER NOT NULL CHECK (revision >= 0),  -- how many there were; 0 is the first response
    score DOUBLE NOT NULL,
    pm VARCHAR NOT NULL,
    pm_revision VARCHAR NOT NULL,
    constitution VARCHAR NOT NULL,  -- from here on, the chain's own
    model VARCHAR NOT NULL,
    critic VARCHAR NOT NULL,
    critiques BOOLEAN NOT NULL
);

-- Each answer once for each preference model, however often it was scored.
CREATE VIEW current_revision_scores AS
SELECT * FROM revision_scores
WHERE run NOT IN (SELECT run FROM run_states WHERE state = 'deleted')
QUALIFY row_number() OVER (PARTITION BY pm_revision, id ORDER BY seq DESC) = 1;

-- A run counts as deleted by its newest state alone: one that was deleted may be imported again.
CREATE VIEW deleted_runs AS
SELECT run FROM run_states GROUP BY run HAVING arg_max(state, seq) = 'deleted';

CREATE OR REPLACE VIEW current_labels AS
SELECT * FROM labels WHERE run NOT IN (SELECT run FROM deleted_runs)
QUALIFY row_number() OVER (
    PARTITION BY pair, principle, method, model, constitution ORDER BY seq DESC) = 1;

CREATE OR REPLACE VIEW current_revision_scores AS
SELECT * FROM revision_scores
WHERE run NOT IN (SELECT run FROM deleted_runs)
QUALIFY row_number() OVER (PARTITION BY pm_revision, id ORDER BY seq DESC) = 1;

CREATE OR REPLACE VIEW current_matchups AS
SELECT * FROM matchups
WHERE void IS NULL
    AND (run IS NULL OR run NOT IN (SELECT run FROM deleted_runs))
    AND (run IS NOT NULL AND annotator_kind <> 'person'
        OR seq IN (SELECT max(seq) FROM matchups WHERE run IS NULL OR annotator_kind = 'person' GROUP BY run, id));

-- Whom the AI's label of a pair was shown to outside the audit page: their later judgment is not blind.

CREATE TABLE seen_labels (
    pair VARCHAR NOT NULL,
    annotator VARCHAR NOT NULL,
    time TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- Tables whose saved offsets were moved past changes that were not applied. Their targets are right
-- again when a copy that was asked for behind these offsets is applied whole, and rows that are gone
-- are removed; then the mark is taken away. Each move makes a mark of its own.
CREATE TABLE cdcd.left_out (
    pipeline text        NOT NULL,
    topic    text        NOT NULL,
    mark     uuid        NOT NULL,
    reason   text        NOT NULL,
    since    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pipeline, topic)
);

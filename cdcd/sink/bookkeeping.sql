-- What cdcd keeps in the target database. Run once, in one transaction, by the first worker that
-- finds no schema `cdcd`; `cdcd.sink.state` knows the versions.

CREATE TABLE cdcd.meta (
    state_version integer NOT NULL
);

-- The next offset to apply, written in the transaction that applies everything below it. These
-- rows are the truth; the offsets that Kafka keeps only follow them.
CREATE TABLE cdcd.offsets (
    pipeline    text        NOT NULL,
    topic       text        NOT NULL,
    partition   integer     NOT NULL,
    next_offset bigint      NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pipeline, topic, partition)
)
-- Rows change with every batch: room in the page lets the update stay off the index.
WITH (fillfactor = 50);

-- Which topic the offsets are of: another one of the same name has other records below them.
CREATE TABLE cdcd.topics (
    pipeline   text    NOT NULL,
    topic      text    NOT NULL,
    topic_id   text    NOT NULL,
    partitions integer NOT NULL,
    PRIMARY KEY (pipeline, topic)
);

-- Which source table's rows a target holds. One target has one writer. Columns are the source's:
-- those that it had at last, and those that it has lost, which stay in the target.
CREATE TABLE cdcd.targets (
    target_schema   text        NOT NULL,
    target_table    text        NOT NULL,
    pipeline        text        NOT NULL,
    source_table    text        NOT NULL,
    source_columns  text[]      NOT NULL DEFAULT '{}',
    dropped_columns text[]      NOT NULL DEFAULT '{}',
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (target_schema, target_table)
);

-- Comparisons of source and target; `validation_summary` shows the latest finished one of a table.
CREATE TABLE cdcd.reconcile_runs (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id        uuid        NOT NULL,
    mode          text        NOT NULL DEFAULT 'full' CHECK (mode IN ('full', 'incremental')),
    pipeline      text        NOT NULL,
    source_table  text        NOT NULL,
    target_schema text        NOT NULL,
    target_table  text        NOT NULL,
    state         text        NOT NULL CHECK (state IN ('running', 'finished', 'failed')),
    rows_source   bigint      NOT NULL DEFAULT 0,
    rows_target   bigint      NOT NULL DEFAULT 0,
    missing       bigint      NOT NULL DEFAULT 0,
    extra         bigint      NOT NULL DEFAULT 0,
    different     bigint      NOT NULL DEFAULT 0,
    repaired      bigint      NOT NULL DEFAULT 0,
    started_at    timestamptz NOT NULL DEFAULT now(),
    checked_at    timestamptz
);

CREATE INDEX ON cdcd.reconcile_runs (target_schema, target_table, checked_at DESC);

-- Each target with its latest finished comparison of all rows, or nulls. What a later comparison of
-- some rows found wrong is wrong too.
CREATE VIEW cdcd.latest_runs AS
SELECT t.target_schema, t.source_table, r.checked_at, r.rows_source, r.rows_target,
       r.missing + r.extra + r.different + coalesce(i.wrong, 0) AS wrong,
       r.rows_source - r.missing - r.different - coalesce(i.wrong, 0) AS rows_equal,
       r.rows_source + r.extra AS rows_either
FROM cdcd.targets t
LEFT JOIN LATERAL (
    SELECT *
    FROM cdcd.reconcile_runs r
    WHERE r.target_schema = t.target_schema AND r.target_table = t.target_table
      AND r.pipeline = t.pipeline AND r.source_table = t.source_table AND r.state = 'finished'
      AND r.mode = 'full'
    ORDER BY r.checked_at DESC, r.id DESC
    LIMIT 1
) r ON true
LEFT JOIN LATERAL (
    SELECT i.missing + i.extra + i.different AS wrong
    FROM cdcd.reconcile_runs i
    WHERE i.target_schema = t.target_schema AND i.target_table = t.target_table
      AND i.pipeline = t.pipeline AND i.source_table = t.source_table AND i.state = 'finished'
      AND i.mode = 'incremental' AND i.checked_at > r.checked_at
    ORDER BY i.checked_at DESC, i.id DESC
    LIMIT 1
) i ON true;

INSERT INTO cdcd.meta (state_version) VALUES (1);

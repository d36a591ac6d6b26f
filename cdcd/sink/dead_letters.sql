-- The records that the target refused. These rows are the truth: each is written in the transaction
-- that moves the offset past its record. The pipeline's dead-letter topic is made from them.
CREATE TABLE IF NOT EXISTS cdcd.dead_letters (
    id              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline        text        NOT NULL,
    source_table    text        NOT NULL,
    topic           text        NOT NULL,
    partition       integer     NOT NULL,
    record_offset   bigint      NOT NULL,
    -- The request that has the row, or what else the change touched, read again.
    scope           bytea       NOT NULL,
    reason          text        NOT NULL,
    condition       text        NOT NULL,
    sqlstate        text,
    constraint_name text,
    column_name     text,
    -- The record as it is in Kafka, for as long as the dead letter waits or is to be carried.
    record_key      bytea,
    record_value    bytea,
    state           text        NOT NULL DEFAULT 'open'
        CHECK (state IN ('open', 'requested', 'replayed', 'superseded', 'dropped')),
    rejected_at     timestamptz NOT NULL,
    changed_at      timestamptz NOT NULL DEFAULT now(),
    -- When it was written to the dead-letter topic.
    carried_at      timestamptz,
    UNIQUE (pipeline, topic, partition, record_offset)
);

CREATE INDEX IF NOT EXISTS dead_letters_waiting
    ON cdcd.dead_letters (pipeline, topic) WHERE state IN ('open', 'requested');
-- A key may be longer than a B-tree takes.
CREATE INDEX IF NOT EXISTS dead_letters_scope
    ON cdcd.dead_letters USING hash (scope) WHERE state IN ('open', 'requested');
CREATE INDEX IF NOT EXISTS dead_letters_to_carry
    ON cdcd.dead_letters (pipeline, topic, partition, record_offset)
    WHERE carried_at IS NULL;

-- Comparisons that found more than one run may follow, and rows that changed too fast to be judged.
-- Where all of a cut run's rows were repaired, nobody knows whether the target is equal.
ALTER TABLE cdcd.reconcile_runs
    ADD COLUMN IF NOT EXISTS unjudged bigint  NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS is_cut   boolean NOT NULL DEFAULT false;

CREATE OR REPLACE VIEW cdcd.latest_runs AS
SELECT t.target_schema, t.source_table, r.checked_at, r.rows_source, r.rows_target,
       CASE WHEN NOT r.is_cut OR r.missing + r.extra + r.different + coalesce(i.wrong, 0) > 0
            THEN r.missing + r.extra + r.different + coalesce(i.wrong, 0) END AS wrong,
       r.rows_source - r.missing - r.different - coalesce(i.wrong, 0) AS rows_equal,
       r.rows_source + r.extra AS rows_either,
       t.pipeline
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

-- Made in each target schema, whose quoted name is `{schema}` and, as a literal, `{literal}`.
-- A table without a finished comparison is `unknown`, and then so is the whole.

CREATE VIEW {schema}.validation_summary AS
SELECT source_table AS category,
       CASE WHEN wrong IS NULL THEN 'unknown' WHEN wrong = 0 THEN 'equal' ELSE 'different' END
           AS status,
       rows_source AS expected, rows_target AS actual, checked_at
FROM cdcd.latest_runs
WHERE target_schema = {literal}
UNION ALL
SELECT 'total',
       CASE WHEN count(*) = 0 OR count(wrong) < count(*) THEN 'unknown'
            WHEN sum(wrong) = 0 THEN 'equal' ELSE 'different' END,
       sum(rows_source)::bigint, sum(rows_target)::bigint, min(checked_at)
FROM cdcd.latest_runs
WHERE target_schema = {literal};

-- Per cent of the rows on either side that are on both and equal; cut, so that 100 means all.
CREATE FUNCTION {schema}.get_replication_completeness() RETURNS numeric
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $body$
    SELECT CASE WHEN count(*) = 0 OR count(wrong) < count(*) THEN NULL
                WHEN sum(rows_either) = 0 THEN 100
                ELSE trunc(100.0 * sum(rows_equal) / sum(rows_either), 4) END
    FROM cdcd.latest_runs
    WHERE target_schema = {literal}
$body$;

CREATE FUNCTION {schema}.is_replication_complete() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $body$
    SELECT status = 'equal' FROM {schema}.validation_summary WHERE category = 'total'
$body$;

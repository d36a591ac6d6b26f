-- create
CREATE TABLE "S"""."t"".x" ("""" integer, "a'b" integer, "{}" integer, "c d" double precision, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea, PRIMARY KEY ("""", "a'b"));

-- create the expiry's index
CREATE INDEX ON "S"""."t"".x" ("cdc_expires_at") WHERE "cdc_expires_at" IS NOT NULL;

-- add columns
ALTER TABLE "S"""."t"".x" ADD COLUMN "cdc_expires_last" timestamptz, ADD COLUMN "cdc_expires_key" bytea;

-- widen columns
ALTER TABLE "S"""."t"".x" ALTER COLUMN "{}" TYPE numeric, ALTER COLUMN "c d" TYPE numeric, ALTER COLUMN "{}" DROP NOT NULL, ALTER COLUMN "c d" DROP NOT NULL;

-- staging
CREATE TEMPORARY TABLE "cdc_x" ("cdc_shape" smallint, """" integer, "a'b" integer, "{}" integer, "c d" double precision, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea) ON COMMIT DELETE ROWS;

-- staging for one batch
CREATE TEMPORARY TABLE "cdc_x" ("cdc_shape" smallint, """" integer, "a'b" integer, "{}" integer, "c d" double precision, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea) ON COMMIT DROP;

-- upsert of all
INSERT INTO "S"""."t"".x" AS t ("""", "a'b", "{}", "c d", "cdc_timestamp") SELECT """", "a'b", "{}", "c d", "cdc_timestamp" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY """", "a'b" ON CONFLICT ("""", "a'b") DO UPDATE SET "{}" = EXCLUDED."{}", "c d" = EXCLUDED."c d", "cdc_timestamp" = EXCLUDED."cdc_timestamp";

-- upsert of all: arrays
(SELECT * FROM unnest($1::integer[], $2::integer[], $3::integer[], $4::double precision[], $5::timestamptz[]) AS a ("""", "a'b", "{}", "c d", "cdc_timestamp"));

-- upsert of one that expires
INSERT INTO "S"""."t"".x" AS t ("""", "a'b", "{}", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key") SELECT """", "a'b", "{}", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY """", "a'b" ON CONFLICT ("""", "a'b") DO UPDATE SET "{}" = EXCLUDED."{}", "cdc_timestamp" = EXCLUDED."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", EXCLUDED."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", EXCLUDED."cdc_expires_last"), "cdc_expires_key" = EXCLUDED."cdc_expires_key";

-- upsert of one that expires: arrays
(SELECT * FROM unnest($1::integer[], $2::integer[], $3::integer[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[], $7::bytea[]) AS a ("""", "a'b", "{}", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- update of one
UPDATE "S"""."t"".x" AS t SET "{}" = s."{}", "cdc_timestamp" = s."cdc_timestamp" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."""" = s."""" AND t."a'b" = s."a'b";

-- update of one: arrays
(SELECT * FROM unnest($1::integer[], $2::integer[], $3::integer[], $4::timestamptz[]) AS a ("""", "a'b", "{}", "cdc_timestamp"));

-- update of one that expires
UPDATE "S"""."t"".x" AS t SET "{}" = s."{}", "cdc_timestamp" = s."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", s."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", s."cdc_expires_last"), "cdc_expires_key" = s."cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."""" = s."""" AND t."a'b" = s."a'b";

-- update of one that expires: arrays
(SELECT * FROM unnest($1::integer[], $2::integer[], $3::integer[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[], $7::bytea[]) AS a ("""", "a'b", "{}", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- replace
INSERT INTO "S"""."t"".x" AS t ("""", "a'b", "{}", "c d", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key") SELECT """", "a'b", "{}", "c d", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY """", "a'b" ON CONFLICT ("""", "a'b") DO UPDATE SET "{}" = EXCLUDED."{}", "c d" = EXCLUDED."c d", "cdc_timestamp" = EXCLUDED."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", EXCLUDED."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", EXCLUDED."cdc_expires_last"), "cdc_expires_key" = EXCLUDED."cdc_expires_key";

-- replace: arrays
(SELECT * FROM unnest($1::integer[], $2::integer[], $3::integer[], $4::double precision[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[], $8::bytea[]) AS a ("""", "a'b", "{}", "c d", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- delete
DELETE FROM "S"""."t"".x" AS t USING (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."""" = s."""" AND t."a'b" = s."a'b";

-- delete: arrays
(SELECT * FROM unnest($1::integer[], $2::integer[]) AS a ("""", "a'b"));

-- delete of a partition
DELETE FROM "S"""."t"".x" AS t USING (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."""" = s."""";

-- delete of a partition: arrays
(SELECT * FROM unnest($1::integer[]) AS a (""""));

-- range: equal 0, start 0 inclusive, end 0 inclusive
DELETE FROM "S"""."t"".x" AS t USING (SELECT * FROM unnest($1::integer[]) AS a ("""")) AS s WHERE t."""" = s."""" AND (true) AND (true);

-- range: equal 0, start 1 inclusive, end 0 inclusive
DELETE FROM "S"""."t"".x" AS t USING (SELECT * FROM unnest($1::integer[], $2::integer[]) AS a ("""", "cdc_start_0")) AS s WHERE t."""" = s."""" AND (t."a'b" > s."cdc_start_0" OR t."a'b" = s."cdc_start_0") AND (true);

-- range: equal 0, start 0 inclusive, end 1 exclusive
DELETE FROM "S"""."t"".x" AS t USING (SELECT * FROM unnest($1::integer[], $2::integer[]) AS a ("""", "cdc_end_0")) AS s WHERE t."""" = s."""" AND (true) AND (t."a'b" < s."cdc_end_0");

-- range: equal 0, start 1 inclusive, end 1 exclusive
DELETE FROM "S"""."t"".x" AS t USING (SELECT * FROM unnest($1::integer[], $2::integer[], $3::integer[]) AS a ("""", "cdc_start_0", "cdc_end_0")) AS s WHERE t."""" = s."""" AND (t."a'b" > s."cdc_start_0" OR t."a'b" = s."cdc_start_0") AND (t."a'b" < s."cdc_end_0");

-- range: equal 1, start 0 inclusive, end 0 inclusive
DELETE FROM "S"""."t"".x" AS t USING (SELECT * FROM unnest($1::integer[], $2::integer[]) AS a ("""", "a'b")) AS s WHERE t."""" = s."""" AND t."a'b" = s."a'b" AND (true) AND (true);

-- read columns
SELECT s."cdc_at", t."{}", t."c d" FROM "S"""."t"".x" AS t JOIN (SELECT * FROM unnest($1::integer[], $2::integer[], $3::integer[]) AS a ("""", "a'b", "cdc_at")) AS s ON t."""" = s."""" AND t."a'b" = s."a'b";

-- find rows of nulls
SELECT s."cdc_at" FROM "S"""."t"".x" AS t JOIN (SELECT * FROM unnest($1::integer[], $2::integer[], $3::integer[]) AS a ("""", "a'b", "cdc_at")) AS s ON t."""" = s."""" AND t."a'b" = s."a'b" WHERE t."{}" IS NULL AND t."c d" IS NULL;

-- delete rows of nulls
DELETE FROM "S"""."t"".x" AS t USING (SELECT * FROM unnest($1::integer[], $2::integer[]) AS a ("""", "a'b")) AS s WHERE t."""" = s."""" AND t."a'b" = s."a'b" AND t."{}" IS NULL AND t."c d" IS NULL;

-- digest
substr(sha256(record_send(ROW(t.0, t.1, CASE WHEN t.2 = 'NaN'::float8 THEN 'NaN'::float8 ELSE t.2 END, t.3))), 1, 8);

-- bytes
int4send(t.0),
int4send(t.1),
float8send(CASE WHEN t.2 = 'NaN'::float8 THEN 'NaN'::float8 ELSE t.2 END),
int4send(t.3);


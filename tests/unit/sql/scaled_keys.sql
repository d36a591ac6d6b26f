-- create
CREATE TABLE "s"."t" ("p" numeric, "q" integer, "c" numeric, "a" text, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea, PRIMARY KEY ("p", "q", "c"));

-- create the expiry's index
CREATE INDEX ON "s"."t" ("cdc_expires_at") WHERE "cdc_expires_at" IS NOT NULL;

-- add columns
ALTER TABLE "s"."t" ADD COLUMN "cdc_expires_last" timestamptz, ADD COLUMN "cdc_expires_key" bytea;

-- widen columns
ALTER TABLE "s"."t" ALTER COLUMN "a" TYPE numeric, ALTER COLUMN "a" DROP NOT NULL;

-- staging
CREATE TEMPORARY TABLE "cdc_x" ("cdc_shape" smallint, "p" numeric, "q" integer, "c" numeric, "a" text, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea) ON COMMIT DELETE ROWS;

-- staging for one batch
CREATE TEMPORARY TABLE "cdc_x" ("cdc_shape" smallint, "p" numeric, "q" integer, "c" numeric, "a" text, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea) ON COMMIT DROP;

-- upsert of all
INSERT INTO "s"."t" AS t ("p", "q", "c", "a", "cdc_timestamp") SELECT "p", "q", "c", "a", "cdc_timestamp" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p", "q", "c" ON CONFLICT ("p", "q", "c") DO UPDATE SET "a" = EXCLUDED."a", "cdc_timestamp" = EXCLUDED."cdc_timestamp" WHERE t."p" = EXCLUDED."p" AND scale(t."p") = scale(EXCLUDED."p");

-- upsert of all: arrays
(SELECT * FROM unnest($1::numeric[], $2::integer[], $3::numeric[], $4::text[], $5::timestamptz[]) AS a ("p", "q", "c", "a", "cdc_timestamp"));

-- upsert of one that expires
INSERT INTO "s"."t" AS t ("p", "q", "c", "a", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key") SELECT "p", "q", "c", "a", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p", "q", "c" ON CONFLICT ("p", "q", "c") DO UPDATE SET "a" = EXCLUDED."a", "cdc_timestamp" = EXCLUDED."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", EXCLUDED."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", EXCLUDED."cdc_expires_last"), "cdc_expires_key" = EXCLUDED."cdc_expires_key" WHERE t."p" = EXCLUDED."p" AND scale(t."p") = scale(EXCLUDED."p");

-- upsert of one that expires: arrays
(SELECT * FROM unnest($1::numeric[], $2::integer[], $3::numeric[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[], $8::bytea[]) AS a ("p", "q", "c", "a", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- update of one
UPDATE "s"."t" AS t SET "a" = s."a", "cdc_timestamp" = s."cdc_timestamp" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p" AND scale(t."p") = scale(s."p") AND t."q" = s."q" AND t."c" = s."c";

-- update of one: arrays
(SELECT * FROM unnest($1::numeric[], $2::integer[], $3::numeric[], $4::text[], $5::timestamptz[]) AS a ("p", "q", "c", "a", "cdc_timestamp"));

-- update of one that expires
UPDATE "s"."t" AS t SET "a" = s."a", "cdc_timestamp" = s."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", s."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", s."cdc_expires_last"), "cdc_expires_key" = s."cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p" AND scale(t."p") = scale(s."p") AND t."q" = s."q" AND t."c" = s."c";

-- update of one that expires: arrays
(SELECT * FROM unnest($1::numeric[], $2::integer[], $3::numeric[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[], $8::bytea[]) AS a ("p", "q", "c", "a", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- replace
INSERT INTO "s"."t" AS t ("p", "q", "c", "a", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key") SELECT "p", "q", "c", "a", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p", "q", "c" ON CONFLICT ("p", "q", "c") DO UPDATE SET "a" = EXCLUDED."a", "cdc_timestamp" = EXCLUDED."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", EXCLUDED."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", EXCLUDED."cdc_expires_last"), "cdc_expires_key" = EXCLUDED."cdc_expires_key" WHERE t."p" = EXCLUDED."p" AND scale(t."p") = scale(EXCLUDED."p");

-- replace: arrays
(SELECT * FROM unnest($1::numeric[], $2::integer[], $3::numeric[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[], $8::bytea[]) AS a ("p", "q", "c", "a", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- delete
DELETE FROM "s"."t" AS t USING (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p" AND scale(t."p") = scale(s."p") AND t."q" = s."q" AND t."c" = s."c";

-- delete: arrays
(SELECT * FROM unnest($1::numeric[], $2::integer[], $3::numeric[]) AS a ("p", "q", "c"));

-- delete of a partition
DELETE FROM "s"."t" AS t USING (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p" AND scale(t."p") = scale(s."p");

-- delete of a partition: arrays
(SELECT * FROM unnest($1::numeric[]) AS a ("p"));

-- range: equal 0, start 0 inclusive, end 0 inclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::numeric[], $2::integer[]) AS a ("p", "q")) AS s WHERE t."p" = s."p" AND scale(t."p") = scale(s."p") AND t."q" = s."q" AND (true) AND (true);

-- range: equal 0, start 1 inclusive, end 0 inclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::numeric[], $2::integer[], $3::numeric[]) AS a ("p", "q", "cdc_start_0")) AS s WHERE t."p" = s."p" AND scale(t."p") = scale(s."p") AND t."q" = s."q" AND (t."c" > s."cdc_start_0" OR t."c" = s."cdc_start_0") AND (true);

-- range: equal 0, start 0 inclusive, end 1 exclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::numeric[], $2::integer[], $3::numeric[]) AS a ("p", "q", "cdc_end_0")) AS s WHERE t."p" = s."p" AND scale(t."p") = scale(s."p") AND t."q" = s."q" AND (true) AND (t."c" < s."cdc_end_0");

-- range: equal 0, start 1 inclusive, end 1 exclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::numeric[], $2::integer[], $3::numeric[], $4::numeric[]) AS a ("p", "q", "cdc_start_0", "cdc_end_0")) AS s WHERE t."p" = s."p" AND scale(t."p") = scale(s."p") AND t."q" = s."q" AND (t."c" > s."cdc_start_0" OR t."c" = s."cdc_start_0") AND (t."c" < s."cdc_end_0");

-- range: equal 1, start 0 inclusive, end 0 inclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::numeric[], $2::integer[], $3::numeric[]) AS a ("p", "q", "c")) AS s WHERE t."p" = s."p" AND scale(t."p") = scale(s."p") AND t."q" = s."q" AND t."c" = s."c" AND (true) AND (true);

-- read columns
SELECT s."cdc_at", t."a" FROM "s"."t" AS t JOIN (SELECT * FROM unnest($1::numeric[], $2::integer[], $3::numeric[], $4::integer[]) AS a ("p", "q", "c", "cdc_at")) AS s ON t."p" = s."p" AND scale(t."p") = scale(s."p") AND t."q" = s."q" AND t."c" = s."c";

-- find rows of nulls
SELECT s."cdc_at" FROM "s"."t" AS t JOIN (SELECT * FROM unnest($1::numeric[], $2::integer[], $3::numeric[], $4::integer[]) AS a ("p", "q", "c", "cdc_at")) AS s ON t."p" = s."p" AND scale(t."p") = scale(s."p") AND t."q" = s."q" AND t."c" = s."c" WHERE t."a" IS NULL;

-- delete rows of nulls
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::numeric[], $2::integer[], $3::numeric[]) AS a ("p", "q", "c")) AS s WHERE t."p" = s."p" AND scale(t."p") = scale(s."p") AND t."q" = s."q" AND t."c" = s."c" AND t."a" IS NULL;

-- digest
substr(sha256(record_send(ROW(t.0::text, t.1, trim_scale(t.2)::text, t.3))), 1, 8);

-- bytes
textsend(t.0::text),
int4send(t.1),
textsend(trim_scale(t.2)::text),
textsend(t.3);

-- create
CREATE TABLE "s"."t__static" ("p" numeric, "q" integer, "b" text, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea, PRIMARY KEY ("p", "q"));

-- create the expiry's index
CREATE INDEX ON "s"."t__static" ("cdc_expires_at") WHERE "cdc_expires_at" IS NOT NULL;

-- add columns
ALTER TABLE "s"."t__static" ADD COLUMN "cdc_expires_last" timestamptz, ADD COLUMN "cdc_expires_key" bytea;

-- widen columns
ALTER TABLE "s"."t__static" ALTER COLUMN "b" TYPE numeric, ALTER COLUMN "b" DROP NOT NULL;

-- staging
CREATE TEMPORARY TABLE "cdc_x" ("cdc_shape" smallint, "p" numeric, "q" integer, "b" text, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea) ON COMMIT DELETE ROWS;

-- staging for one batch
CREATE TEMPORARY TABLE "cdc_x" ("cdc_shape" smallint, "p" numeric, "q" integer, "b" text, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea) ON COMMIT DROP;

-- upsert of all
INSERT INTO "s"."t__static" AS t ("p", "q", "b", "cdc_timestamp") SELECT "p", "q", "b", "cdc_timestamp" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p", "q" ON CONFLICT ("p", "q") DO UPDATE SET "b" = EXCLUDED."b", "cdc_timestamp" = EXCLUDED."cdc_timestamp" WHERE t."p" = EXCLUDED."p" AND scale(t."p") = scale(EXCLUDED."p");

-- upsert of all: arrays
(SELECT * FROM unnest($1::numeric[], $2::integer[], $3::text[], $4::timestamptz[]) AS a ("p", "q", "b", "cdc_timestamp"));

-- upsert of one that expires
INSERT INTO "s"."t__static" AS t ("p", "q", "b", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key") SELECT "p", "q", "b", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p", "q" ON CONFLICT ("p", "q") DO UPDATE SET "b" = EXCLUDED."b", "cdc_timestamp" = EXCLUDED."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", EXCLUDED."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", EXCLUDED."cdc_expires_last"), "cdc_expires_key" = EXCLUDED."cdc_expires_key" WHERE t."p" = EXCLUDED."p" AND scale(t."p") = scale(EXCLUDED."p");

-- upsert of one that expires: arrays
(SELECT * FROM unnest($1::numeric[], $2::integer[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[], $7::bytea[]) AS a ("p", "q", "b", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- update of one
UPDATE "s"."t__static" AS t SET "b" = s."b", "cdc_timestamp" = s."cdc_timestamp" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p" AND scale(t."p") = scale(s."p") AND t."q" = s."q";

-- update of one: arrays
(SELECT * FROM unnest($1::numeric[], $2::integer[], $3::text[], $4::timestamptz[]) AS a ("p", "q", "b", "cdc_timestamp"));

-- update of one that expires
UPDATE "s"."t__static" AS t SET "b" = s."b", "cdc_timestamp" = s."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", s."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", s."cdc_expires_last"), "cdc_expires_key" = s."cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p" AND scale(t."p") = scale(s."p") AND t."q" = s."q";

-- update of one that expires: arrays
(SELECT * FROM unnest($1::numeric[], $2::integer[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[], $7::bytea[]) AS a ("p", "q", "b", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- replace
INSERT INTO "s"."t__static" AS t ("p", "q", "b", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key") SELECT "p", "q", "b", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p", "q" ON CONFLICT ("p", "q") DO UPDATE SET "b" = EXCLUDED."b", "cdc_timestamp" = EXCLUDED."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", EXCLUDED."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", EXCLUDED."cdc_expires_last"), "cdc_expires_key" = EXCLUDED."cdc_expires_key" WHERE t."p" = EXCLUDED."p" AND scale(t."p") = scale(EXCLUDED."p");

-- replace: arrays
(SELECT * FROM unnest($1::numeric[], $2::integer[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[], $7::bytea[]) AS a ("p", "q", "b", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- delete
DELETE FROM "s"."t__static" AS t USING (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p" AND scale(t."p") = scale(s."p") AND t."q" = s."q";

-- delete: arrays
(SELECT * FROM unnest($1::numeric[], $2::integer[]) AS a ("p", "q"));

-- delete of a partition
DELETE FROM "s"."t__static" AS t USING (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p" AND scale(t."p") = scale(s."p");

-- delete of a partition: arrays
(SELECT * FROM unnest($1::numeric[]) AS a ("p"));

-- range: equal 0, start 0 inclusive, end 0 inclusive
DELETE FROM "s"."t__static" AS t USING (SELECT * FROM unnest($1::numeric[], $2::integer[]) AS a ("p", "q")) AS s WHERE t."p" = s."p" AND scale(t."p") = scale(s."p") AND t."q" = s."q" AND (true) AND (true);

-- read columns
SELECT s."cdc_at", t."b" FROM "s"."t__static" AS t JOIN (SELECT * FROM unnest($1::numeric[], $2::integer[], $3::integer[]) AS a ("p", "q", "cdc_at")) AS s ON t."p" = s."p" AND scale(t."p") = scale(s."p") AND t."q" = s."q";

-- find rows of nulls
SELECT s."cdc_at" FROM "s"."t__static" AS t JOIN (SELECT * FROM unnest($1::numeric[], $2::integer[], $3::integer[]) AS a ("p", "q", "cdc_at")) AS s ON t."p" = s."p" AND scale(t."p") = scale(s."p") AND t."q" = s."q" WHERE t."b" IS NULL;

-- delete rows of nulls
DELETE FROM "s"."t__static" AS t USING (SELECT * FROM unnest($1::numeric[], $2::integer[]) AS a ("p", "q")) AS s WHERE t."p" = s."p" AND scale(t."p") = scale(s."p") AND t."q" = s."q" AND t."b" IS NULL;

-- digest
substr(sha256(record_send(ROW(t.0::text, t.1, t.2))), 1, 8);

-- bytes
textsend(t.0::text),
int4send(t.1),
textsend(t.2);


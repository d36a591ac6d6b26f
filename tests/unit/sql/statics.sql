-- create
CREATE TABLE "s"."t" ("p" integer, "c" integer, "a" integer, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea, PRIMARY KEY ("p", "c"));

-- create the expiry's index
CREATE INDEX ON "s"."t" ("cdc_expires_at") WHERE "cdc_expires_at" IS NOT NULL;

-- add columns
ALTER TABLE "s"."t" ADD COLUMN "cdc_expires_last" timestamptz, ADD COLUMN "cdc_expires_key" bytea;

-- widen columns
ALTER TABLE "s"."t" ALTER COLUMN "a" TYPE numeric, ALTER COLUMN "a" DROP NOT NULL;

-- staging
CREATE TEMPORARY TABLE "cdc_x" ("cdc_shape" smallint, "p" integer, "c" integer, "a" integer, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea) ON COMMIT DELETE ROWS;

-- staging for one batch
CREATE TEMPORARY TABLE "cdc_x" ("cdc_shape" smallint, "p" integer, "c" integer, "a" integer, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea) ON COMMIT DROP;

-- upsert of all
INSERT INTO "s"."t" AS t ("p", "c", "a", "cdc_timestamp") SELECT "p", "c", "a", "cdc_timestamp" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p", "c" ON CONFLICT ("p", "c") DO UPDATE SET "a" = EXCLUDED."a", "cdc_timestamp" = EXCLUDED."cdc_timestamp";

-- upsert of all: arrays
(SELECT * FROM unnest($1::integer[], $2::integer[], $3::integer[], $4::timestamptz[]) AS a ("p", "c", "a", "cdc_timestamp"));

-- upsert of one that expires
INSERT INTO "s"."t" AS t ("p", "c", "a", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key") SELECT "p", "c", "a", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p", "c" ON CONFLICT ("p", "c") DO UPDATE SET "a" = EXCLUDED."a", "cdc_timestamp" = EXCLUDED."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", EXCLUDED."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", EXCLUDED."cdc_expires_last"), "cdc_expires_key" = EXCLUDED."cdc_expires_key";

-- upsert of one that expires: arrays
(SELECT * FROM unnest($1::integer[], $2::integer[], $3::integer[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[], $7::bytea[]) AS a ("p", "c", "a", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- update of one
UPDATE "s"."t" AS t SET "a" = s."a", "cdc_timestamp" = s."cdc_timestamp" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p" AND t."c" = s."c";

-- update of one: arrays
(SELECT * FROM unnest($1::integer[], $2::integer[], $3::integer[], $4::timestamptz[]) AS a ("p", "c", "a", "cdc_timestamp"));

-- update of one that expires
UPDATE "s"."t" AS t SET "a" = s."a", "cdc_timestamp" = s."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", s."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", s."cdc_expires_last"), "cdc_expires_key" = s."cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p" AND t."c" = s."c";

-- update of one that expires: arrays
(SELECT * FROM unnest($1::integer[], $2::integer[], $3::integer[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[], $7::bytea[]) AS a ("p", "c", "a", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- replace
INSERT INTO "s"."t" AS t ("p", "c", "a", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key") SELECT "p", "c", "a", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p", "c" ON CONFLICT ("p", "c") DO UPDATE SET "a" = EXCLUDED."a", "cdc_timestamp" = EXCLUDED."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", EXCLUDED."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", EXCLUDED."cdc_expires_last"), "cdc_expires_key" = EXCLUDED."cdc_expires_key";

-- replace: arrays
(SELECT * FROM unnest($1::integer[], $2::integer[], $3::integer[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[], $7::bytea[]) AS a ("p", "c", "a", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- delete
DELETE FROM "s"."t" AS t USING (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p" AND t."c" = s."c";

-- delete: arrays
(SELECT * FROM unnest($1::integer[], $2::integer[]) AS a ("p", "c"));

-- delete of a partition
DELETE FROM "s"."t" AS t USING (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p";

-- delete of a partition: arrays
(SELECT * FROM unnest($1::integer[]) AS a ("p"));

-- range: equal 0, start 0 inclusive, end 0 inclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[]) AS a ("p")) AS s WHERE t."p" = s."p" AND (true) AND (true);

-- range: equal 0, start 1 inclusive, end 0 inclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[], $2::integer[]) AS a ("p", "cdc_start_0")) AS s WHERE t."p" = s."p" AND (t."c" > s."cdc_start_0" OR t."c" = s."cdc_start_0") AND (true);

-- range: equal 0, start 0 inclusive, end 1 exclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[], $2::integer[]) AS a ("p", "cdc_end_0")) AS s WHERE t."p" = s."p" AND (true) AND (t."c" < s."cdc_end_0");

-- range: equal 0, start 1 inclusive, end 1 exclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[], $2::integer[], $3::integer[]) AS a ("p", "cdc_start_0", "cdc_end_0")) AS s WHERE t."p" = s."p" AND (t."c" > s."cdc_start_0" OR t."c" = s."cdc_start_0") AND (t."c" < s."cdc_end_0");

-- range: equal 1, start 0 inclusive, end 0 inclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[], $2::integer[]) AS a ("p", "c")) AS s WHERE t."p" = s."p" AND t."c" = s."c" AND (true) AND (true);

-- read columns
SELECT s."cdc_at", t."a" FROM "s"."t" AS t JOIN (SELECT * FROM unnest($1::integer[], $2::integer[], $3::integer[]) AS a ("p", "c", "cdc_at")) AS s ON t."p" = s."p" AND t."c" = s."c";

-- find rows of nulls
SELECT s."cdc_at" FROM "s"."t" AS t JOIN (SELECT * FROM unnest($1::integer[], $2::integer[], $3::integer[]) AS a ("p", "c", "cdc_at")) AS s ON t."p" = s."p" AND t."c" = s."c" WHERE t."a" IS NULL;

-- delete rows of nulls
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[], $2::integer[]) AS a ("p", "c")) AS s WHERE t."p" = s."p" AND t."c" = s."c" AND t."a" IS NULL;

-- digest
substr(sha256(record_send(ROW(t.0, t.1, t.2))), 1, 8);

-- bytes
int4send(t.0),
int4send(t.1),
int4send(t.2);

-- create
CREATE TABLE "s"."t__static" ("p" integer, "b" text, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea, PRIMARY KEY ("p"));

-- create the expiry's index
CREATE INDEX ON "s"."t__static" ("cdc_expires_at") WHERE "cdc_expires_at" IS NOT NULL;

-- add columns
ALTER TABLE "s"."t__static" ADD COLUMN "cdc_expires_last" timestamptz, ADD COLUMN "cdc_expires_key" bytea;

-- widen columns
ALTER TABLE "s"."t__static" ALTER COLUMN "b" TYPE numeric, ALTER COLUMN "b" DROP NOT NULL;

-- staging
CREATE TEMPORARY TABLE "cdc_x" ("cdc_shape" smallint, "p" integer, "b" text, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea) ON COMMIT DELETE ROWS;

-- staging for one batch
CREATE TEMPORARY TABLE "cdc_x" ("cdc_shape" smallint, "p" integer, "b" text, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea) ON COMMIT DROP;

-- upsert of all
INSERT INTO "s"."t__static" AS t ("p", "b", "cdc_timestamp") SELECT "p", "b", "cdc_timestamp" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p" ON CONFLICT ("p") DO UPDATE SET "b" = EXCLUDED."b", "cdc_timestamp" = EXCLUDED."cdc_timestamp";

-- upsert of all: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::timestamptz[]) AS a ("p", "b", "cdc_timestamp"));

-- upsert of one that expires
INSERT INTO "s"."t__static" AS t ("p", "b", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key") SELECT "p", "b", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p" ON CONFLICT ("p") DO UPDATE SET "b" = EXCLUDED."b", "cdc_timestamp" = EXCLUDED."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", EXCLUDED."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", EXCLUDED."cdc_expires_last"), "cdc_expires_key" = EXCLUDED."cdc_expires_key";

-- upsert of one that expires: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::bytea[]) AS a ("p", "b", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- update of one
UPDATE "s"."t__static" AS t SET "b" = s."b", "cdc_timestamp" = s."cdc_timestamp" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p";

-- update of one: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::timestamptz[]) AS a ("p", "b", "cdc_timestamp"));

-- update of one that expires
UPDATE "s"."t__static" AS t SET "b" = s."b", "cdc_timestamp" = s."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", s."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", s."cdc_expires_last"), "cdc_expires_key" = s."cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p";

-- update of one that expires: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::bytea[]) AS a ("p", "b", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- replace
INSERT INTO "s"."t__static" AS t ("p", "b", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key") SELECT "p", "b", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p" ON CONFLICT ("p") DO UPDATE SET "b" = EXCLUDED."b", "cdc_timestamp" = EXCLUDED."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", EXCLUDED."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", EXCLUDED."cdc_expires_last"), "cdc_expires_key" = EXCLUDED."cdc_expires_key";

-- replace: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::bytea[]) AS a ("p", "b", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- delete
DELETE FROM "s"."t__static" AS t USING (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p";

-- delete: arrays
(SELECT * FROM unnest($1::integer[]) AS a ("p"));

-- delete of a partition
DELETE FROM "s"."t__static" AS t USING (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p";

-- delete of a partition: arrays
(SELECT * FROM unnest($1::integer[]) AS a ("p"));

-- range: equal 0, start 0 inclusive, end 0 inclusive
DELETE FROM "s"."t__static" AS t USING (SELECT * FROM unnest($1::integer[]) AS a ("p")) AS s WHERE t."p" = s."p" AND (true) AND (true);

-- read columns
SELECT s."cdc_at", t."b" FROM "s"."t__static" AS t JOIN (SELECT * FROM unnest($1::integer[], $2::integer[]) AS a ("p", "cdc_at")) AS s ON t."p" = s."p";

-- find rows of nulls
SELECT s."cdc_at" FROM "s"."t__static" AS t JOIN (SELECT * FROM unnest($1::integer[], $2::integer[]) AS a ("p", "cdc_at")) AS s ON t."p" = s."p" WHERE t."b" IS NULL;

-- delete rows of nulls
DELETE FROM "s"."t__static" AS t USING (SELECT * FROM unnest($1::integer[]) AS a ("p")) AS s WHERE t."p" = s."p" AND t."b" IS NULL;

-- digest
substr(sha256(record_send(ROW(t.0, t.1))), 1, 8);

-- bytes
int4send(t.0),
textsend(t.1);


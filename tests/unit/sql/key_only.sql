-- create
CREATE TABLE "s"."t" ("p" integer, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea, PRIMARY KEY ("p"));

-- create the expiry's index
CREATE INDEX ON "s"."t" ("cdc_expires_at") WHERE "cdc_expires_at" IS NOT NULL;

-- add columns
ALTER TABLE "s"."t" ADD COLUMN "cdc_expires_last" timestamptz, ADD COLUMN "cdc_expires_key" bytea;

-- widen columns
ALTER TABLE "s"."t" ;

-- staging
CREATE TEMPORARY TABLE "cdc_x" ("cdc_shape" smallint, "p" integer, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea) ON COMMIT DELETE ROWS;

-- staging for one batch
CREATE TEMPORARY TABLE "cdc_x" ("cdc_shape" smallint, "p" integer, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea) ON COMMIT DROP;

-- upsert of all
INSERT INTO "s"."t" AS t ("p", "cdc_timestamp") SELECT "p", "cdc_timestamp" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p" ON CONFLICT ("p") DO UPDATE SET "cdc_timestamp" = EXCLUDED."cdc_timestamp";

-- upsert of all: arrays
(SELECT * FROM unnest($1::integer[], $2::timestamptz[]) AS a ("p", "cdc_timestamp"));

-- upsert of one that expires
INSERT INTO "s"."t" AS t ("p", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key") SELECT "p", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p" ON CONFLICT ("p") DO UPDATE SET "cdc_timestamp" = EXCLUDED."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", EXCLUDED."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", EXCLUDED."cdc_expires_last"), "cdc_expires_key" = EXCLUDED."cdc_expires_key";

-- upsert of one that expires: arrays
(SELECT * FROM unnest($1::integer[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[], $5::bytea[]) AS a ("p", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- update of one
UPDATE "s"."t" AS t SET "cdc_timestamp" = s."cdc_timestamp" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p";

-- update of one: arrays
(SELECT * FROM unnest($1::integer[], $2::timestamptz[]) AS a ("p", "cdc_timestamp"));

-- update of one that expires
UPDATE "s"."t" AS t SET "cdc_timestamp" = s."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", s."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", s."cdc_expires_last"), "cdc_expires_key" = s."cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p";

-- update of one that expires: arrays
(SELECT * FROM unnest($1::integer[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[], $5::bytea[]) AS a ("p", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- replace
INSERT INTO "s"."t" AS t ("p", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key") SELECT "p", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p" ON CONFLICT ("p") DO UPDATE SET "cdc_timestamp" = EXCLUDED."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", EXCLUDED."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", EXCLUDED."cdc_expires_last"), "cdc_expires_key" = EXCLUDED."cdc_expires_key";

-- replace: arrays
(SELECT * FROM unnest($1::integer[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[], $5::bytea[]) AS a ("p", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- delete
DELETE FROM "s"."t" AS t USING (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p";

-- delete: arrays
(SELECT * FROM unnest($1::integer[]) AS a ("p"));

-- delete of a partition
DELETE FROM "s"."t" AS t USING (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p";

-- delete of a partition: arrays
(SELECT * FROM unnest($1::integer[]) AS a ("p"));

-- range: equal 0, start 0 inclusive, end 0 inclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[]) AS a ("p")) AS s WHERE t."p" = s."p" AND (true) AND (true);

-- read columns
SELECT s."cdc_at",  FROM "s"."t" AS t JOIN (SELECT * FROM unnest($1::integer[], $2::integer[]) AS a ("p", "cdc_at")) AS s ON t."p" = s."p";

-- find rows of nulls
SELECT s."cdc_at" FROM "s"."t" AS t JOIN (SELECT * FROM unnest($1::integer[], $2::integer[]) AS a ("p", "cdc_at")) AS s ON t."p" = s."p" WHERE true;

-- delete rows of nulls
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[]) AS a ("p")) AS s WHERE t."p" = s."p" AND true;

-- digest
substr(sha256(record_send(ROW(t.0))), 1, 8);

-- bytes
int4send(t.0);


-- create
CREATE TABLE "s"."t" ("p" integer, "q" text, "c" text, "d" integer, "a" text, "b" integer, "e" bytea, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea, PRIMARY KEY ("p", "q", "c", "d"));

-- create the expiry's index
CREATE INDEX ON "s"."t" ("cdc_expires_at") WHERE "cdc_expires_at" IS NOT NULL;

-- add columns
ALTER TABLE "s"."t" ADD COLUMN "cdc_expires_last" timestamptz, ADD COLUMN "cdc_expires_key" bytea;

-- widen columns
ALTER TABLE "s"."t" ALTER COLUMN "a" TYPE numeric, ALTER COLUMN "b" TYPE numeric, ALTER COLUMN "a" DROP NOT NULL, ALTER COLUMN "b" DROP NOT NULL;

-- staging
CREATE TEMPORARY TABLE "cdc_x" ("cdc_shape" smallint, "p" integer, "q" text, "c" text, "d" integer, "a" text, "b" integer, "e" bytea, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea) ON COMMIT DELETE ROWS;

-- staging for one batch
CREATE TEMPORARY TABLE "cdc_x" ("cdc_shape" smallint, "p" integer, "q" text, "c" text, "d" integer, "a" text, "b" integer, "e" bytea, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea) ON COMMIT DROP;

-- upsert of all
INSERT INTO "s"."t" AS t ("p", "q", "c", "d", "a", "b", "e", "cdc_timestamp") SELECT "p", "q", "c", "d", "a", "b", "e", "cdc_timestamp" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p", "q", "c", "d" ON CONFLICT ("p", "q", "c", "d") DO UPDATE SET "a" = EXCLUDED."a", "b" = EXCLUDED."b", "e" = EXCLUDED."e", "cdc_timestamp" = EXCLUDED."cdc_timestamp";

-- upsert of all: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::integer[], $7::bytea[], $8::timestamptz[]) AS a ("p", "q", "c", "d", "a", "b", "e", "cdc_timestamp"));

-- upsert of one that expires
INSERT INTO "s"."t" AS t ("p", "q", "c", "d", "a", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key") SELECT "p", "q", "c", "d", "a", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p", "q", "c", "d" ON CONFLICT ("p", "q", "c", "d") DO UPDATE SET "a" = EXCLUDED."a", "cdc_timestamp" = EXCLUDED."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", EXCLUDED."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", EXCLUDED."cdc_expires_last"), "cdc_expires_key" = EXCLUDED."cdc_expires_key";

-- upsert of one that expires: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::timestamptz[], $9::bytea[]) AS a ("p", "q", "c", "d", "a", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- update of one
UPDATE "s"."t" AS t SET "a" = s."a", "cdc_timestamp" = s."cdc_timestamp" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p" AND t."q" = s."q" AND t."c" = s."c" AND t."d" = s."d";

-- update of one: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::timestamptz[]) AS a ("p", "q", "c", "d", "a", "cdc_timestamp"));

-- update of one that expires
UPDATE "s"."t" AS t SET "a" = s."a", "cdc_timestamp" = s."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", s."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", s."cdc_expires_last"), "cdc_expires_key" = s."cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p" AND t."q" = s."q" AND t."c" = s."c" AND t."d" = s."d";

-- update of one that expires: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::timestamptz[], $9::bytea[]) AS a ("p", "q", "c", "d", "a", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- replace
INSERT INTO "s"."t" AS t ("p", "q", "c", "d", "a", "b", "e", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key") SELECT "p", "q", "c", "d", "a", "b", "e", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p", "q", "c", "d" ON CONFLICT ("p", "q", "c", "d") DO UPDATE SET "a" = EXCLUDED."a", "b" = EXCLUDED."b", "e" = EXCLUDED."e", "cdc_timestamp" = EXCLUDED."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", EXCLUDED."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", EXCLUDED."cdc_expires_last"), "cdc_expires_key" = EXCLUDED."cdc_expires_key";

-- replace: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::integer[], $7::bytea[], $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::bytea[]) AS a ("p", "q", "c", "d", "a", "b", "e", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- delete
DELETE FROM "s"."t" AS t USING (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p" AND t."q" = s."q" AND t."c" = s."c" AND t."d" = s."d";

-- delete: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[]) AS a ("p", "q", "c", "d"));

-- delete of a partition
DELETE FROM "s"."t" AS t USING (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p";

-- delete of a partition: arrays
(SELECT * FROM unnest($1::integer[]) AS a ("p"));

-- range: equal 0, start 0 inclusive, end 0 inclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[], $2::text[]) AS a ("p", "q")) AS s WHERE t."p" = s."p" AND t."q" = s."q" AND (true) AND (true);

-- range: equal 0, start 1 inclusive, end 0 inclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[], $2::text[], $3::text[]) AS a ("p", "q", "cdc_start_0")) AS s WHERE t."p" = s."p" AND t."q" = s."q" AND ((t."c" COLLATE "C") > (s."cdc_start_0" COLLATE "C") OR t."c" = s."cdc_start_0") AND (true);

-- range: equal 0, start 0 inclusive, end 1 exclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[], $2::text[], $3::text[]) AS a ("p", "q", "cdc_end_0")) AS s WHERE t."p" = s."p" AND t."q" = s."q" AND (true) AND ((t."c" COLLATE "C") < (s."cdc_end_0" COLLATE "C"));

-- range: equal 0, start 2 exclusive, end 2 inclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::integer[]) AS a ("p", "q", "cdc_start_0", "cdc_start_1", "cdc_end_0", "cdc_end_1")) AS s WHERE t."p" = s."p" AND t."q" = s."q" AND ((t."c" COLLATE "C") > (s."cdc_start_0" COLLATE "C") OR t."c" = s."cdc_start_0" AND t."d" < s."cdc_start_1") AND ((t."c" COLLATE "C") < (s."cdc_end_0" COLLATE "C") OR t."c" = s."cdc_end_0" AND t."d" > s."cdc_end_1" OR t."c" = s."cdc_end_0" AND t."d" = s."cdc_end_1");

-- range: equal 0, start 2 inclusive, end 1 exclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[], $5::text[]) AS a ("p", "q", "cdc_start_0", "cdc_start_1", "cdc_end_0")) AS s WHERE t."p" = s."p" AND t."q" = s."q" AND ((t."c" COLLATE "C") > (s."cdc_start_0" COLLATE "C") OR t."c" = s."cdc_start_0" AND t."d" < s."cdc_start_1" OR t."c" = s."cdc_start_0" AND t."d" = s."cdc_start_1") AND ((t."c" COLLATE "C") < (s."cdc_end_0" COLLATE "C"));

-- range: equal 1, start 1 exclusive, end 1 exclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[], $5::integer[]) AS a ("p", "q", "c", "cdc_start_0", "cdc_end_0")) AS s WHERE t."p" = s."p" AND t."q" = s."q" AND t."c" = s."c" AND (t."d" < s."cdc_start_0") AND (t."d" > s."cdc_end_0");

-- range: equal 1, start 0 inclusive, end 0 inclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[], $2::text[], $3::text[]) AS a ("p", "q", "c")) AS s WHERE t."p" = s."p" AND t."q" = s."q" AND t."c" = s."c" AND (true) AND (true);

-- range: equal 1, start 0 exclusive, end 1 inclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[]) AS a ("p", "q", "c", "cdc_end_0")) AS s WHERE t."p" = s."p" AND t."q" = s."q" AND t."c" = s."c" AND (false) AND (t."d" > s."cdc_end_0" OR t."d" = s."cdc_end_0");

-- read columns
SELECT s."cdc_at", t."a", t."b" FROM "s"."t" AS t JOIN (SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[], $5::integer[]) AS a ("p", "q", "c", "d", "cdc_at")) AS s ON t."p" = s."p" AND t."q" = s."q" AND t."c" = s."c" AND t."d" = s."d";

-- find rows of nulls
SELECT s."cdc_at" FROM "s"."t" AS t JOIN (SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[], $5::integer[]) AS a ("p", "q", "c", "d", "cdc_at")) AS s ON t."p" = s."p" AND t."q" = s."q" AND t."c" = s."c" AND t."d" = s."d" WHERE t."a" IS NULL AND t."b" IS NULL AND t."e" IS NULL;

-- delete rows of nulls
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[]) AS a ("p", "q", "c", "d")) AS s WHERE t."p" = s."p" AND t."q" = s."q" AND t."c" = s."c" AND t."d" = s."d" AND t."a" IS NULL AND t."b" IS NULL AND t."e" IS NULL;

-- digest
substr(sha256(record_send(ROW(t.0, t.1, t.2, t.3, t.4, t.5, t.6))), 1, 8);

-- bytes
int4send(t.0),
textsend(t.1),
textsend(t.2),
int4send(t.3),
textsend(t.4),
int4send(t.5),
byteasend(t.6);


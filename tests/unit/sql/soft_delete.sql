-- create
CREATE TABLE "s"."ks_t" ("p" integer, "owner" text, "c" text, "d" integer, "label" varchar(20), "e" bytea, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea, "cdc_deleted" boolean NOT NULL DEFAULT false, PRIMARY KEY ("p", "owner", "c", "d"));

-- create the expiry's index
CREATE INDEX ON "s"."ks_t" ("cdc_expires_at") WHERE "cdc_expires_at" IS NOT NULL;

-- add columns
ALTER TABLE "s"."ks_t" ADD COLUMN "cdc_expires_key" bytea, ADD COLUMN "cdc_deleted" boolean NOT NULL DEFAULT false;

-- widen columns
ALTER TABLE "s"."ks_t" ALTER COLUMN "label" TYPE numeric, ALTER COLUMN "e" TYPE numeric, ALTER COLUMN "label" DROP NOT NULL, ALTER COLUMN "e" DROP NOT NULL;

-- staging
CREATE TEMPORARY TABLE "cdc_x" ("cdc_shape" smallint, "p" integer, "owner" text, "c" text, "d" integer, "label" varchar(20), "e" bytea, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea, "cdc_deleted" boolean) ON COMMIT DELETE ROWS;

-- staging for one batch
CREATE TEMPORARY TABLE "cdc_x" ("cdc_shape" smallint, "p" integer, "owner" text, "c" text, "d" integer, "label" varchar(20), "e" bytea, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea, "cdc_deleted" boolean) ON COMMIT DROP;

-- upsert of all
INSERT INTO "s"."ks_t" AS t ("p", "owner", "c", "d", "label", "e", "cdc_timestamp") SELECT "p", "owner", "c", "d", "label", "e", "cdc_timestamp" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p", "owner", "c", "d" ON CONFLICT ("p", "owner", "c", "d") DO UPDATE SET "label" = EXCLUDED."label", "e" = EXCLUDED."e", "cdc_timestamp" = EXCLUDED."cdc_timestamp", "cdc_deleted" = false;

-- upsert of all: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[], $5::varchar(20)[], $6::bytea[], $7::timestamptz[]) AS a ("p", "owner", "c", "d", "label", "e", "cdc_timestamp"));

-- upsert of one that expires
INSERT INTO "s"."ks_t" AS t ("p", "owner", "c", "d", "label", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key") SELECT "p", "owner", "c", "d", "label", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p", "owner", "c", "d" ON CONFLICT ("p", "owner", "c", "d") DO UPDATE SET "label" = EXCLUDED."label", "cdc_timestamp" = EXCLUDED."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", EXCLUDED."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", EXCLUDED."cdc_expires_last"), "cdc_expires_key" = EXCLUDED."cdc_expires_key", "e" = CASE WHEN NOT t."cdc_deleted" THEN t."e" END, "cdc_deleted" = false;

-- upsert of one that expires: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[], $5::varchar(20)[], $6::timestamptz[], $7::timestamptz[], $8::timestamptz[], $9::bytea[]) AS a ("p", "owner", "c", "d", "label", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- update of one
UPDATE "s"."ks_t" AS t SET "label" = s."label", "cdc_timestamp" = s."cdc_timestamp" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p" AND t."owner" = s."owner" AND t."c" = s."c" AND t."d" = s."d" AND NOT t."cdc_deleted";

-- update of one: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[], $5::varchar(20)[], $6::timestamptz[]) AS a ("p", "owner", "c", "d", "label", "cdc_timestamp"));

-- update of one that expires
UPDATE "s"."ks_t" AS t SET "label" = s."label", "cdc_timestamp" = s."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", s."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", s."cdc_expires_last"), "cdc_expires_key" = s."cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p" AND t."owner" = s."owner" AND t."c" = s."c" AND t."d" = s."d" AND NOT t."cdc_deleted";

-- update of one that expires: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[], $5::varchar(20)[], $6::timestamptz[], $7::timestamptz[], $8::timestamptz[], $9::bytea[]) AS a ("p", "owner", "c", "d", "label", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- replace
INSERT INTO "s"."ks_t" AS t ("p", "owner", "c", "d", "label", "e", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key") SELECT "p", "owner", "c", "d", "label", "e", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p", "owner", "c", "d" ON CONFLICT ("p", "owner", "c", "d") DO UPDATE SET "label" = EXCLUDED."label", "e" = EXCLUDED."e", "cdc_timestamp" = EXCLUDED."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", EXCLUDED."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", EXCLUDED."cdc_expires_last"), "cdc_expires_key" = EXCLUDED."cdc_expires_key", "cdc_deleted" = false;

-- replace: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[], $5::varchar(20)[], $6::bytea[], $7::timestamptz[], $8::timestamptz[], $9::timestamptz[], $10::bytea[]) AS a ("p", "owner", "c", "d", "label", "e", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- delete
UPDATE "s"."ks_t" AS t SET "cdc_deleted" = true, "cdc_expires_at" = NULL, "cdc_expires_last" = NULL, "cdc_expires_key" = NULL, "cdc_timestamp" = s."cdc_timestamp" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p" AND t."owner" = s."owner" AND t."c" = s."c" AND t."d" = s."d" AND NOT t."cdc_deleted";

-- delete: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[], $5::timestamptz[]) AS a ("p", "owner", "c", "d", "cdc_timestamp"));

-- delete of a partition
UPDATE "s"."ks_t" AS t SET "cdc_deleted" = true, "cdc_expires_at" = NULL, "cdc_expires_last" = NULL, "cdc_expires_key" = NULL, "cdc_timestamp" = s."cdc_timestamp" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p" AND NOT t."cdc_deleted";

-- delete of a partition: arrays
(SELECT * FROM unnest($1::integer[], $2::timestamptz[]) AS a ("p", "cdc_timestamp"));

-- range: equal 0, start 0 inclusive, end 0 inclusive
UPDATE "s"."ks_t" AS t SET "cdc_deleted" = true, "cdc_expires_at" = NULL, "cdc_expires_last" = NULL, "cdc_expires_key" = NULL, "cdc_timestamp" = s."cdc_timestamp" FROM (SELECT * FROM unnest($1::integer[], $2::text[], $3::timestamptz[]) AS a ("p", "owner", "cdc_timestamp")) AS s WHERE t."p" = s."p" AND t."owner" = s."owner" AND (true) AND (true) AND NOT t."cdc_deleted";

-- range: equal 0, start 1 inclusive, end 0 inclusive
UPDATE "s"."ks_t" AS t SET "cdc_deleted" = true, "cdc_expires_at" = NULL, "cdc_expires_last" = NULL, "cdc_expires_key" = NULL, "cdc_timestamp" = s."cdc_timestamp" FROM (SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::timestamptz[]) AS a ("p", "owner", "cdc_start_0", "cdc_timestamp")) AS s WHERE t."p" = s."p" AND t."owner" = s."owner" AND ((t."c" COLLATE "C") > (s."cdc_start_0" COLLATE "C") OR t."c" = s."cdc_start_0") AND (true) AND NOT t."cdc_deleted";

-- range: equal 0, start 0 inclusive, end 1 exclusive
UPDATE "s"."ks_t" AS t SET "cdc_deleted" = true, "cdc_expires_at" = NULL, "cdc_expires_last" = NULL, "cdc_expires_key" = NULL, "cdc_timestamp" = s."cdc_timestamp" FROM (SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::timestamptz[]) AS a ("p", "owner", "cdc_end_0", "cdc_timestamp")) AS s WHERE t."p" = s."p" AND t."owner" = s."owner" AND (true) AND ((t."c" COLLATE "C") < (s."cdc_end_0" COLLATE "C")) AND NOT t."cdc_deleted";

-- range: equal 0, start 2 exclusive, end 2 inclusive
UPDATE "s"."ks_t" AS t SET "cdc_deleted" = true, "cdc_expires_at" = NULL, "cdc_expires_last" = NULL, "cdc_expires_key" = NULL, "cdc_timestamp" = s."cdc_timestamp" FROM (SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::integer[], $7::timestamptz[]) AS a ("p", "owner", "cdc_start_0", "cdc_start_1", "cdc_end_0", "cdc_end_1", "cdc_timestamp")) AS s WHERE t."p" = s."p" AND t."owner" = s."owner" AND ((t."c" COLLATE "C") > (s."cdc_start_0" COLLATE "C") OR t."c" = s."cdc_start_0" AND t."d" < s."cdc_start_1") AND ((t."c" COLLATE "C") < (s."cdc_end_0" COLLATE "C") OR t."c" = s."cdc_end_0" AND t."d" > s."cdc_end_1" OR t."c" = s."cdc_end_0" AND t."d" = s."cdc_end_1") AND NOT t."cdc_deleted";

-- range: equal 0, start 2 inclusive, end 1 exclusive
UPDATE "s"."ks_t" AS t SET "cdc_deleted" = true, "cdc_expires_at" = NULL, "cdc_expires_last" = NULL, "cdc_expires_key" = NULL, "cdc_timestamp" = s."cdc_timestamp" FROM (SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::timestamptz[]) AS a ("p", "owner", "cdc_start_0", "cdc_start_1", "cdc_end_0", "cdc_timestamp")) AS s WHERE t."p" = s."p" AND t."owner" = s."owner" AND ((t."c" COLLATE "C") > (s."cdc_start_0" COLLATE "C") OR t."c" = s."cdc_start_0" AND t."d" < s."cdc_start_1" OR t."c" = s."cdc_start_0" AND t."d" = s."cdc_start_1") AND ((t."c" COLLATE "C") < (s."cdc_end_0" COLLATE "C")) AND NOT t."cdc_deleted";

-- range: equal 1, start 1 exclusive, end 1 exclusive
UPDATE "s"."ks_t" AS t SET "cdc_deleted" = true, "cdc_expires_at" = NULL, "cdc_expires_last" = NULL, "cdc_expires_key" = NULL, "cdc_timestamp" = s."cdc_timestamp" FROM (SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[], $5::integer[], $6::timestamptz[]) AS a ("p", "owner", "c", "cdc_start_0", "cdc_end_0", "cdc_timestamp")) AS s WHERE t."p" = s."p" AND t."owner" = s."owner" AND t."c" = s."c" AND (t."d" < s."cdc_start_0") AND (t."d" > s."cdc_end_0") AND NOT t."cdc_deleted";

-- range: equal 1, start 0 inclusive, end 0 inclusive
UPDATE "s"."ks_t" AS t SET "cdc_deleted" = true, "cdc_expires_at" = NULL, "cdc_expires_last" = NULL, "cdc_expires_key" = NULL, "cdc_timestamp" = s."cdc_timestamp" FROM (SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::timestamptz[]) AS a ("p", "owner", "c", "cdc_timestamp")) AS s WHERE t."p" = s."p" AND t."owner" = s."owner" AND t."c" = s."c" AND (true) AND (true) AND NOT t."cdc_deleted";

-- range: equal 1, start 0 exclusive, end 1 inclusive
UPDATE "s"."ks_t" AS t SET "cdc_deleted" = true, "cdc_expires_at" = NULL, "cdc_expires_last" = NULL, "cdc_expires_key" = NULL, "cdc_timestamp" = s."cdc_timestamp" FROM (SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[], $5::timestamptz[]) AS a ("p", "owner", "c", "cdc_end_0", "cdc_timestamp")) AS s WHERE t."p" = s."p" AND t."owner" = s."owner" AND t."c" = s."c" AND (false) AND (t."d" > s."cdc_end_0" OR t."d" = s."cdc_end_0") AND NOT t."cdc_deleted";

-- read columns
SELECT s."cdc_at", t."label", t."e" FROM "s"."ks_t" AS t JOIN (SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[], $5::integer[]) AS a ("p", "owner", "c", "d", "cdc_at")) AS s ON t."p" = s."p" AND t."owner" = s."owner" AND t."c" = s."c" AND t."d" = s."d" AND NOT t."cdc_deleted";

-- find rows of nulls
SELECT s."cdc_at" FROM "s"."ks_t" AS t JOIN (SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[], $5::integer[]) AS a ("p", "owner", "c", "d", "cdc_at")) AS s ON t."p" = s."p" AND t."owner" = s."owner" AND t."c" = s."c" AND t."d" = s."d" WHERE t."label" IS NULL AND t."e" IS NULL AND NOT t."cdc_deleted";

-- delete rows of nulls
UPDATE "s"."ks_t" AS t SET "cdc_deleted" = true, "cdc_expires_at" = NULL, "cdc_expires_last" = NULL, "cdc_expires_key" = NULL FROM (SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::integer[]) AS a ("p", "owner", "c", "d")) AS s WHERE t."p" = s."p" AND t."owner" = s."owner" AND t."c" = s."c" AND t."d" = s."d" AND t."label" IS NULL AND t."e" IS NULL AND NOT t."cdc_deleted";

-- digest
substr(sha256(record_send(ROW(t.0, t.1, t.2, t.3, t.4, t.5::text))), 1, 8);

-- bytes
int4send(t.0),
textsend(t.1),
textsend(t.2),
int4send(t.3),
byteasend(t.4),
textsend(t.5::text);


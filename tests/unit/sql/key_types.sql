-- create
CREATE TABLE "s"."t" ("p" integer, "c00" text, "c01" bigint, "c02" bytea, "c03" boolean, "c04" date, "c05" numeric, "c06" integer, "c07" smallint, "c08" text, "c09" timestamptz, "c10" uuid, "c11" smallint, "c12" numeric, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea, PRIMARY KEY ("p", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11", "c12"));

-- create the expiry's index
CREATE INDEX ON "s"."t" ("cdc_expires_at") WHERE "cdc_expires_at" IS NOT NULL;

-- add columns
ALTER TABLE "s"."t" ADD COLUMN "cdc_expires_last" timestamptz, ADD COLUMN "cdc_expires_key" bytea;

-- widen columns
ALTER TABLE "s"."t" ;

-- staging
CREATE TEMPORARY TABLE "cdc_x" ("cdc_shape" smallint, "p" integer, "c00" text, "c01" bigint, "c02" bytea, "c03" boolean, "c04" date, "c05" numeric, "c06" integer, "c07" smallint, "c08" text, "c09" timestamptz, "c10" uuid, "c11" smallint, "c12" numeric, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea) ON COMMIT DELETE ROWS;

-- staging for one batch
CREATE TEMPORARY TABLE "cdc_x" ("cdc_shape" smallint, "p" integer, "c00" text, "c01" bigint, "c02" bytea, "c03" boolean, "c04" date, "c05" numeric, "c06" integer, "c07" smallint, "c08" text, "c09" timestamptz, "c10" uuid, "c11" smallint, "c12" numeric, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea) ON COMMIT DROP;

-- upsert of all
INSERT INTO "s"."t" AS t ("p", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11", "c12", "cdc_timestamp") SELECT "p", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11", "c12", "cdc_timestamp" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11", "c12" ON CONFLICT ("p", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11", "c12") DO UPDATE SET "cdc_timestamp" = EXCLUDED."cdc_timestamp";

-- upsert of all: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::bytea[], $5::boolean[], $6::date[], $7::numeric[], $8::integer[], $9::smallint[], $10::text[], $11::timestamptz[], $12::uuid[], $13::smallint[], $14::numeric[], $15::timestamptz[]) AS a ("p", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11", "c12", "cdc_timestamp"));

-- upsert of one that expires
INSERT INTO "s"."t" AS t ("p", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11", "c12", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key") SELECT "p", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11", "c12", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11", "c12" ON CONFLICT ("p", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11", "c12") DO UPDATE SET "cdc_timestamp" = EXCLUDED."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", EXCLUDED."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", EXCLUDED."cdc_expires_last"), "cdc_expires_key" = EXCLUDED."cdc_expires_key";

-- upsert of one that expires: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::bytea[], $5::boolean[], $6::date[], $7::numeric[], $8::integer[], $9::smallint[], $10::text[], $11::timestamptz[], $12::uuid[], $13::smallint[], $14::numeric[], $15::timestamptz[], $16::timestamptz[], $17::timestamptz[], $18::bytea[]) AS a ("p", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11", "c12", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- update of one
UPDATE "s"."t" AS t SET "cdc_timestamp" = s."cdc_timestamp" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p" AND t."c00" = s."c00" AND t."c01" = s."c01" AND t."c02" = s."c02" AND t."c03" = s."c03" AND t."c04" = s."c04" AND t."c05" = s."c05" AND t."c06" = s."c06" AND t."c07" = s."c07" AND t."c08" = s."c08" AND t."c09" = s."c09" AND t."c10" = s."c10" AND t."c11" = s."c11" AND t."c12" = s."c12";

-- update of one: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::bytea[], $5::boolean[], $6::date[], $7::numeric[], $8::integer[], $9::smallint[], $10::text[], $11::timestamptz[], $12::uuid[], $13::smallint[], $14::numeric[], $15::timestamptz[]) AS a ("p", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11", "c12", "cdc_timestamp"));

-- update of one that expires
UPDATE "s"."t" AS t SET "cdc_timestamp" = s."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", s."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", s."cdc_expires_last"), "cdc_expires_key" = s."cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p" AND t."c00" = s."c00" AND t."c01" = s."c01" AND t."c02" = s."c02" AND t."c03" = s."c03" AND t."c04" = s."c04" AND t."c05" = s."c05" AND t."c06" = s."c06" AND t."c07" = s."c07" AND t."c08" = s."c08" AND t."c09" = s."c09" AND t."c10" = s."c10" AND t."c11" = s."c11" AND t."c12" = s."c12";

-- update of one that expires: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::bytea[], $5::boolean[], $6::date[], $7::numeric[], $8::integer[], $9::smallint[], $10::text[], $11::timestamptz[], $12::uuid[], $13::smallint[], $14::numeric[], $15::timestamptz[], $16::timestamptz[], $17::timestamptz[], $18::bytea[]) AS a ("p", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11", "c12", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- replace
INSERT INTO "s"."t" AS t ("p", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11", "c12", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key") SELECT "p", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11", "c12", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11", "c12" ON CONFLICT ("p", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11", "c12") DO UPDATE SET "cdc_timestamp" = EXCLUDED."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", EXCLUDED."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", EXCLUDED."cdc_expires_last"), "cdc_expires_key" = EXCLUDED."cdc_expires_key";

-- replace: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::bytea[], $5::boolean[], $6::date[], $7::numeric[], $8::integer[], $9::smallint[], $10::text[], $11::timestamptz[], $12::uuid[], $13::smallint[], $14::numeric[], $15::timestamptz[], $16::timestamptz[], $17::timestamptz[], $18::bytea[]) AS a ("p", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11", "c12", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- delete
DELETE FROM "s"."t" AS t USING (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p" AND t."c00" = s."c00" AND t."c01" = s."c01" AND t."c02" = s."c02" AND t."c03" = s."c03" AND t."c04" = s."c04" AND t."c05" = s."c05" AND t."c06" = s."c06" AND t."c07" = s."c07" AND t."c08" = s."c08" AND t."c09" = s."c09" AND t."c10" = s."c10" AND t."c11" = s."c11" AND t."c12" = s."c12";

-- delete: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::bytea[], $5::boolean[], $6::date[], $7::numeric[], $8::integer[], $9::smallint[], $10::text[], $11::timestamptz[], $12::uuid[], $13::smallint[], $14::numeric[]) AS a ("p", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11", "c12"));

-- delete of a partition
DELETE FROM "s"."t" AS t USING (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p";

-- delete of a partition: arrays
(SELECT * FROM unnest($1::integer[]) AS a ("p"));

-- range: equal 0, start 0 inclusive, end 0 inclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[]) AS a ("p")) AS s WHERE t."p" = s."p" AND (true) AND (true);

-- range: equal 0, start 1 inclusive, end 0 inclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[], $2::text[]) AS a ("p", "cdc_start_0")) AS s WHERE t."p" = s."p" AND ((t."c00" COLLATE "C") > (s."cdc_start_0" COLLATE "C") OR t."c00" = s."cdc_start_0") AND (true);

-- range: equal 0, start 0 inclusive, end 1 exclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[], $2::text[]) AS a ("p", "cdc_end_0")) AS s WHERE t."p" = s."p" AND (true) AND ((t."c00" COLLATE "C") < (s."cdc_end_0" COLLATE "C"));

-- range: equal 0, start 2 exclusive, end 2 inclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::text[], $5::bigint[]) AS a ("p", "cdc_start_0", "cdc_start_1", "cdc_end_0", "cdc_end_1")) AS s WHERE t."p" = s."p" AND ((t."c00" COLLATE "C") > (s."cdc_start_0" COLLATE "C") OR t."c00" = s."cdc_start_0" AND t."c01" > s."cdc_start_1") AND ((t."c00" COLLATE "C") < (s."cdc_end_0" COLLATE "C") OR t."c00" = s."cdc_end_0" AND t."c01" < s."cdc_end_1" OR t."c00" = s."cdc_end_0" AND t."c01" = s."cdc_end_1");

-- range: equal 0, start 13 inclusive, end 1 exclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::bytea[], $5::boolean[], $6::date[], $7::numeric[], $8::integer[], $9::smallint[], $10::text[], $11::timestamptz[], $12::uuid[], $13::smallint[], $14::numeric[], $15::text[]) AS a ("p", "cdc_start_0", "cdc_start_1", "cdc_start_2", "cdc_start_3", "cdc_start_4", "cdc_start_5", "cdc_start_6", "cdc_start_7", "cdc_start_8", "cdc_start_9", "cdc_start_10", "cdc_start_11", "cdc_start_12", "cdc_end_0")) AS s WHERE t."p" = s."p" AND ((t."c00" COLLATE "C") > (s."cdc_start_0" COLLATE "C") OR t."c00" = s."cdc_start_0" AND t."c01" > s."cdc_start_1" OR t."c00" = s."cdc_start_0" AND t."c01" = s."cdc_start_1" AND t."c02" > s."cdc_start_2" OR t."c00" = s."cdc_start_0" AND t."c01" = s."cdc_start_1" AND t."c02" = s."cdc_start_2" AND t."c03" > s."cdc_start_3" OR t."c00" = s."cdc_start_0" AND t."c01" = s."cdc_start_1" AND t."c02" = s."cdc_start_2" AND t."c03" = s."cdc_start_3" AND t."c04" > s."cdc_start_4" OR t."c00" = s."cdc_start_0" AND t."c01" = s."cdc_start_1" AND t."c02" = s."cdc_start_2" AND t."c03" = s."cdc_start_3" AND t."c04" = s."cdc_start_4" AND t."c05" > s."cdc_start_5" OR t."c00" = s."cdc_start_0" AND t."c01" = s."cdc_start_1" AND t."c02" = s."cdc_start_2" AND t."c03" = s."cdc_start_3" AND t."c04" = s."cdc_start_4" AND t."c05" = s."cdc_start_5" AND t."c06" > s."cdc_start_6" OR t."c00" = s."cdc_start_0" AND t."c01" = s."cdc_start_1" AND t."c02" = s."cdc_start_2" AND t."c03" = s."cdc_start_3" AND t."c04" = s."cdc_start_4" AND t."c05" = s."cdc_start_5" AND t."c06" = s."cdc_start_6" AND t."c07" > s."cdc_start_7" OR t."c00" = s."cdc_start_0" AND t."c01" = s."cdc_start_1" AND t."c02" = s."cdc_start_2" AND t."c03" = s."cdc_start_3" AND t."c04" = s."cdc_start_4" AND t."c05" = s."cdc_start_5" AND t."c06" = s."cdc_start_6" AND t."c07" = s."cdc_start_7" AND (t."c08" COLLATE "C") > (s."cdc_start_8" COLLATE "C") OR t."c00" = s."cdc_start_0" AND t."c01" = s."cdc_start_1" AND t."c02" = s."cdc_start_2" AND t."c03" = s."cdc_start_3" AND t."c04" = s."cdc_start_4" AND t."c05" = s."cdc_start_5" AND t."c06" = s."cdc_start_6" AND t."c07" = s."cdc_start_7" AND t."c08" = s."cdc_start_8" AND t."c09" > s."cdc_start_9" OR t."c00" = s."cdc_start_0" AND t."c01" = s."cdc_start_1" AND t."c02" = s."cdc_start_2" AND t."c03" = s."cdc_start_3" AND t."c04" = s."cdc_start_4" AND t."c05" = s."cdc_start_5" AND t."c06" = s."cdc_start_6" AND t."c07" = s."cdc_start_7" AND t."c08" = s."cdc_start_8" AND t."c09" = s."cdc_start_9" AND (('x' || encode(substring(uuid_send(t."c10") from 7 for 2) || substring(uuid_send(t."c10") from 5 for 2) || substring(uuid_send(t."c10") from 1 for 4) || substring(uuid_send(t."c10") from 9), 'hex'))::bit(128) # b'00000000000000000000000000000000000000000000000000000000000000001000000010000000100000001000000010000000100000001000000010000000') > (('x' || encode(substring(uuid_send(s."cdc_start_10") from 7 for 2) || substring(uuid_send(s."cdc_start_10") from 5 for 2) || substring(uuid_send(s."cdc_start_10") from 1 for 4) || substring(uuid_send(s."cdc_start_10") from 9), 'hex'))::bit(128) # b'00000000000000000000000000000000000000000000000000000000000000001000000010000000100000001000000010000000100000001000000010000000') OR t."c00" = s."cdc_start_0" AND t."c01" = s."cdc_start_1" AND t."c02" = s."cdc_start_2" AND t."c03" = s."cdc_start_3" AND t."c04" = s."cdc_start_4" AND t."c05" = s."cdc_start_5" AND t."c06" = s."cdc_start_6" AND t."c07" = s."cdc_start_7" AND t."c08" = s."cdc_start_8" AND t."c09" = s."cdc_start_9" AND t."c10" = s."cdc_start_10" AND t."c11" > s."cdc_start_11" OR t."c00" = s."cdc_start_0" AND t."c01" = s."cdc_start_1" AND t."c02" = s."cdc_start_2" AND t."c03" = s."cdc_start_3" AND t."c04" = s."cdc_start_4" AND t."c05" = s."cdc_start_5" AND t."c06" = s."cdc_start_6" AND t."c07" = s."cdc_start_7" AND t."c08" = s."cdc_start_8" AND t."c09" = s."cdc_start_9" AND t."c10" = s."cdc_start_10" AND t."c11" = s."cdc_start_11" AND t."c12" > s."cdc_start_12" OR t."c00" = s."cdc_start_0" AND t."c01" = s."cdc_start_1" AND t."c02" = s."cdc_start_2" AND t."c03" = s."cdc_start_3" AND t."c04" = s."cdc_start_4" AND t."c05" = s."cdc_start_5" AND t."c06" = s."cdc_start_6" AND t."c07" = s."cdc_start_7" AND t."c08" = s."cdc_start_8" AND t."c09" = s."cdc_start_9" AND t."c10" = s."cdc_start_10" AND t."c11" = s."cdc_start_11" AND t."c12" = s."cdc_start_12") AND ((t."c00" COLLATE "C") < (s."cdc_end_0" COLLATE "C"));

-- range: equal 1, start 1 exclusive, end 1 exclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::bigint[]) AS a ("p", "c00", "cdc_start_0", "cdc_end_0")) AS s WHERE t."p" = s."p" AND t."c00" = s."c00" AND (t."c01" > s."cdc_start_0") AND (t."c01" < s."cdc_end_0");

-- range: equal 1, start 0 inclusive, end 0 inclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[], $2::text[]) AS a ("p", "c00")) AS s WHERE t."p" = s."p" AND t."c00" = s."c00" AND (true) AND (true);

-- range: equal 1, start 0 exclusive, end 1 inclusive
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[], $2::text[], $3::bigint[]) AS a ("p", "c00", "cdc_end_0")) AS s WHERE t."p" = s."p" AND t."c00" = s."c00" AND (false) AND (t."c01" < s."cdc_end_0" OR t."c01" = s."cdc_end_0");

-- read columns
SELECT s."cdc_at",  FROM "s"."t" AS t JOIN (SELECT * FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::bytea[], $5::boolean[], $6::date[], $7::numeric[], $8::integer[], $9::smallint[], $10::text[], $11::timestamptz[], $12::uuid[], $13::smallint[], $14::numeric[], $15::integer[]) AS a ("p", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11", "c12", "cdc_at")) AS s ON t."p" = s."p" AND t."c00" = s."c00" AND t."c01" = s."c01" AND t."c02" = s."c02" AND t."c03" = s."c03" AND t."c04" = s."c04" AND t."c05" = s."c05" AND t."c06" = s."c06" AND t."c07" = s."c07" AND t."c08" = s."c08" AND t."c09" = s."c09" AND t."c10" = s."c10" AND t."c11" = s."c11" AND t."c12" = s."c12";

-- find rows of nulls
SELECT s."cdc_at" FROM "s"."t" AS t JOIN (SELECT * FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::bytea[], $5::boolean[], $6::date[], $7::numeric[], $8::integer[], $9::smallint[], $10::text[], $11::timestamptz[], $12::uuid[], $13::smallint[], $14::numeric[], $15::integer[]) AS a ("p", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11", "c12", "cdc_at")) AS s ON t."p" = s."p" AND t."c00" = s."c00" AND t."c01" = s."c01" AND t."c02" = s."c02" AND t."c03" = s."c03" AND t."c04" = s."c04" AND t."c05" = s."c05" AND t."c06" = s."c06" AND t."c07" = s."c07" AND t."c08" = s."c08" AND t."c09" = s."c09" AND t."c10" = s."c10" AND t."c11" = s."c11" AND t."c12" = s."c12" WHERE true;

-- delete rows of nulls
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::bytea[], $5::boolean[], $6::date[], $7::numeric[], $8::integer[], $9::smallint[], $10::text[], $11::timestamptz[], $12::uuid[], $13::smallint[], $14::numeric[]) AS a ("p", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11", "c12")) AS s WHERE t."p" = s."p" AND t."c00" = s."c00" AND t."c01" = s."c01" AND t."c02" = s."c02" AND t."c03" = s."c03" AND t."c04" = s."c04" AND t."c05" = s."c05" AND t."c06" = s."c06" AND t."c07" = s."c07" AND t."c08" = s."c08" AND t."c09" = s."c09" AND t."c10" = s."c10" AND t."c11" = s."c11" AND t."c12" = s."c12" AND true;

-- digest
substr(sha256(record_send(ROW(t.0, t.1, t.2, t.3, t.4, t.5, trim_scale(t.6)::text, t.7, t.8, t.9, t.10, t.11, t.12, trim_scale(t.13)::text))), 1, 8);

-- bytes
int4send(t.0),
textsend(t.1),
int8send(t.2),
byteasend(t.3),
boolsend(t.4),
date_send(t.5),
textsend(trim_scale(t.6)::text),
int4send(t.7),
int2send(t.8),
textsend(t.9),
timestamptz_send(t.10),
uuid_send(t.11),
int2send(t.12),
textsend(trim_scale(t.13)::text);


-- create
CREATE TABLE "s"."t" ("p" integer, "v00" text, "v01" bigint, "v02" bytea, "v03" boolean, "v04" date, "v05" numeric, "v06" double precision, "v07" jsonb, "v08" real, "v09" inet, "v10" integer, "v11" smallint, "v12" text, "v13" time, "v14" timestamptz, "v15" uuid, "v16" smallint, "v17" uuid, "v18" numeric, "v19" jsonb, "v20" jsonb, "v21" jsonb, "v22" jsonb, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea, PRIMARY KEY ("p"));

-- create the expiry's index
CREATE INDEX ON "s"."t" ("cdc_expires_at") WHERE "cdc_expires_at" IS NOT NULL;

-- add columns
ALTER TABLE "s"."t" ADD COLUMN "cdc_expires_last" timestamptz, ADD COLUMN "cdc_expires_key" bytea;

-- widen columns
ALTER TABLE "s"."t" ALTER COLUMN "v00" TYPE numeric, ALTER COLUMN "v01" TYPE numeric, ALTER COLUMN "v00" DROP NOT NULL, ALTER COLUMN "v01" DROP NOT NULL;

-- staging
CREATE TEMPORARY TABLE "cdc_x" ("cdc_shape" smallint, "p" integer, "v00" text, "v01" bigint, "v02" bytea, "v03" boolean, "v04" date, "v05" numeric, "v06" double precision, "v07" jsonb, "v08" real, "v09" inet, "v10" integer, "v11" smallint, "v12" text, "v13" time, "v14" timestamptz, "v15" uuid, "v16" smallint, "v17" uuid, "v18" numeric, "v19" jsonb, "v20" jsonb, "v21" jsonb, "v22" jsonb, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea) ON COMMIT DELETE ROWS;

-- staging for one batch
CREATE TEMPORARY TABLE "cdc_x" ("cdc_shape" smallint, "p" integer, "v00" text, "v01" bigint, "v02" bytea, "v03" boolean, "v04" date, "v05" numeric, "v06" double precision, "v07" jsonb, "v08" real, "v09" inet, "v10" integer, "v11" smallint, "v12" text, "v13" time, "v14" timestamptz, "v15" uuid, "v16" smallint, "v17" uuid, "v18" numeric, "v19" jsonb, "v20" jsonb, "v21" jsonb, "v22" jsonb, "cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, "cdc_expires_last" timestamptz, "cdc_expires_key" bytea) ON COMMIT DROP;

-- upsert of all
INSERT INTO "s"."t" AS t ("p", "v00", "v01", "v02", "v03", "v04", "v05", "v06", "v07", "v08", "v09", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "cdc_timestamp") SELECT "p", "v00", "v01", "v02", "v03", "v04", "v05", "v06", "v07", "v08", "v09", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "cdc_timestamp" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p" ON CONFLICT ("p") DO UPDATE SET "v00" = EXCLUDED."v00", "v01" = EXCLUDED."v01", "v02" = EXCLUDED."v02", "v03" = EXCLUDED."v03", "v04" = EXCLUDED."v04", "v05" = EXCLUDED."v05", "v06" = EXCLUDED."v06", "v07" = EXCLUDED."v07", "v08" = EXCLUDED."v08", "v09" = EXCLUDED."v09", "v10" = EXCLUDED."v10", "v11" = EXCLUDED."v11", "v12" = EXCLUDED."v12", "v13" = EXCLUDED."v13", "v14" = EXCLUDED."v14", "v15" = EXCLUDED."v15", "v16" = EXCLUDED."v16", "v17" = EXCLUDED."v17", "v18" = EXCLUDED."v18", "v19" = EXCLUDED."v19", "v20" = EXCLUDED."v20", "v21" = EXCLUDED."v21", "v22" = EXCLUDED."v22", "cdc_timestamp" = EXCLUDED."cdc_timestamp";

-- upsert of all: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::bytea[], $5::boolean[], $6::date[], $7::numeric[], $8::double precision[], $9::jsonb[], $10::real[], $11::inet[], $12::integer[], $13::smallint[], $14::text[], $15::time[], $16::timestamptz[], $17::uuid[], $18::smallint[], $19::uuid[], $20::numeric[], $21::jsonb[], $22::jsonb[], $23::jsonb[], $24::jsonb[], $25::timestamptz[]) AS a ("p", "v00", "v01", "v02", "v03", "v04", "v05", "v06", "v07", "v08", "v09", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "cdc_timestamp"));

-- upsert of one that expires
INSERT INTO "s"."t" AS t ("p", "v00", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key") SELECT "p", "v00", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p" ON CONFLICT ("p") DO UPDATE SET "v00" = EXCLUDED."v00", "cdc_timestamp" = EXCLUDED."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", EXCLUDED."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", EXCLUDED."cdc_expires_last"), "cdc_expires_key" = EXCLUDED."cdc_expires_key";

-- upsert of one that expires: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::bytea[]) AS a ("p", "v00", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- update of one
UPDATE "s"."t" AS t SET "v00" = s."v00", "cdc_timestamp" = s."cdc_timestamp" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p";

-- update of one: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::timestamptz[]) AS a ("p", "v00", "cdc_timestamp"));

-- update of one that expires
UPDATE "s"."t" AS t SET "v00" = s."v00", "cdc_timestamp" = s."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", s."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", s."cdc_expires_last"), "cdc_expires_key" = s."cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s WHERE t."p" = s."p";

-- update of one that expires: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::bytea[]) AS a ("p", "v00", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

-- replace
INSERT INTO "s"."t" AS t ("p", "v00", "v01", "v02", "v03", "v04", "v05", "v06", "v07", "v08", "v09", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key") SELECT "p", "v00", "v01", "v02", "v03", "v04", "v05", "v06", "v07", "v08", "v09", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key" FROM (SELECT * FROM "cdc_x" WHERE "cdc_shape" = $1) AS s ORDER BY "p" ON CONFLICT ("p") DO UPDATE SET "v00" = EXCLUDED."v00", "v01" = EXCLUDED."v01", "v02" = EXCLUDED."v02", "v03" = EXCLUDED."v03", "v04" = EXCLUDED."v04", "v05" = EXCLUDED."v05", "v06" = EXCLUDED."v06", "v07" = EXCLUDED."v07", "v08" = EXCLUDED."v08", "v09" = EXCLUDED."v09", "v10" = EXCLUDED."v10", "v11" = EXCLUDED."v11", "v12" = EXCLUDED."v12", "v13" = EXCLUDED."v13", "v14" = EXCLUDED."v14", "v15" = EXCLUDED."v15", "v16" = EXCLUDED."v16", "v17" = EXCLUDED."v17", "v18" = EXCLUDED."v18", "v19" = EXCLUDED."v19", "v20" = EXCLUDED."v20", "v21" = EXCLUDED."v21", "v22" = EXCLUDED."v22", "cdc_timestamp" = EXCLUDED."cdc_timestamp", "cdc_expires_at" = LEAST(t."cdc_expires_at", EXCLUDED."cdc_expires_at"), "cdc_expires_last" = GREATEST(t."cdc_expires_last", EXCLUDED."cdc_expires_last"), "cdc_expires_key" = EXCLUDED."cdc_expires_key";

-- replace: arrays
(SELECT * FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::bytea[], $5::boolean[], $6::date[], $7::numeric[], $8::double precision[], $9::jsonb[], $10::real[], $11::inet[], $12::integer[], $13::smallint[], $14::text[], $15::time[], $16::timestamptz[], $17::uuid[], $18::smallint[], $19::uuid[], $20::numeric[], $21::jsonb[], $22::jsonb[], $23::jsonb[], $24::jsonb[], $25::timestamptz[], $26::timestamptz[], $27::timestamptz[], $28::bytea[]) AS a ("p", "v00", "v01", "v02", "v03", "v04", "v05", "v06", "v07", "v08", "v09", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "cdc_timestamp", "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"));

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
SELECT s."cdc_at", t."v00", t."v01" FROM "s"."t" AS t JOIN (SELECT * FROM unnest($1::integer[], $2::integer[]) AS a ("p", "cdc_at")) AS s ON t."p" = s."p";

-- find rows of nulls
SELECT s."cdc_at" FROM "s"."t" AS t JOIN (SELECT * FROM unnest($1::integer[], $2::integer[]) AS a ("p", "cdc_at")) AS s ON t."p" = s."p" WHERE t."v00" IS NULL AND t."v01" IS NULL AND t."v02" IS NULL AND t."v03" IS NULL AND t."v04" IS NULL AND t."v05" IS NULL AND t."v06" IS NULL AND t."v07" IS NULL AND t."v08" IS NULL AND t."v09" IS NULL AND t."v10" IS NULL AND t."v11" IS NULL AND t."v12" IS NULL AND t."v13" IS NULL AND t."v14" IS NULL AND t."v15" IS NULL AND t."v16" IS NULL AND t."v17" IS NULL AND t."v18" IS NULL AND t."v19" IS NULL AND t."v20" IS NULL AND t."v21" IS NULL AND t."v22" IS NULL;

-- delete rows of nulls
DELETE FROM "s"."t" AS t USING (SELECT * FROM unnest($1::integer[]) AS a ("p")) AS s WHERE t."p" = s."p" AND t."v00" IS NULL AND t."v01" IS NULL AND t."v02" IS NULL AND t."v03" IS NULL AND t."v04" IS NULL AND t."v05" IS NULL AND t."v06" IS NULL AND t."v07" IS NULL AND t."v08" IS NULL AND t."v09" IS NULL AND t."v10" IS NULL AND t."v11" IS NULL AND t."v12" IS NULL AND t."v13" IS NULL AND t."v14" IS NULL AND t."v15" IS NULL AND t."v16" IS NULL AND t."v17" IS NULL AND t."v18" IS NULL AND t."v19" IS NULL AND t."v20" IS NULL AND t."v21" IS NULL AND t."v22" IS NULL;

-- digest
substr(sha256(record_send(ROW(t.0, t.1, t.2, t.3, t.4, t.5, trim_scale(t.6)::text, CASE WHEN t.7 = 'NaN'::float8 THEN 'NaN'::float8 ELSE t.7 END, t.8::text, CASE WHEN t.9 = 'NaN'::float4 THEN 'NaN'::float4 ELSE t.9 END, t.10, t.11, t.12, t.13, t.14, t.15, t.16, t.17, t.18, trim_scale(t.19)::text, t.20::text, t.21::text, t.22::text, t.23::text))), 1, 8);

-- bytes
int4send(t.0),
textsend(t.1),
int8send(t.2),
byteasend(t.3),
boolsend(t.4),
date_send(t.5),
textsend(trim_scale(t.6)::text),
float8send(CASE WHEN t.7 = 'NaN'::float8 THEN 'NaN'::float8 ELSE t.7 END),
textsend(t.8::text),
float4send(CASE WHEN t.9 = 'NaN'::float4 THEN 'NaN'::float4 ELSE t.9 END),
inet_send(t.10),
int4send(t.11),
int2send(t.12),
textsend(t.13),
time_send(t.14),
timestamptz_send(t.15),
uuid_send(t.16),
int2send(t.17),
uuid_send(t.18),
textsend(trim_scale(t.19)::text),
textsend(t.20::text),
textsend(t.21::text),
textsend(t.22::text),
textsend(t.23::text);


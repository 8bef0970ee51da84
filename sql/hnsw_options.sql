--
-- Options of an omen_hnsw index and settings of a session: ranges, defaults,
-- messages.
--
CREATE TABLE opt (id int, v vector(3));
INSERT INTO opt SELECT i, ARRAY[i, i % 7, i % 11]::vector FROM generate_series(1, 200) AS i;

-- out of range
CREATE INDEX ON opt USING omen_hnsw (v) WITH (m = 1);
CREATE INDEX ON opt USING omen_hnsw (v) WITH (m = 101);
CREATE INDEX ON opt USING omen_hnsw (v) WITH (ef_construction = 3);
CREATE INDEX ON opt USING omen_hnsw (v) WITH (ef_construction = 1001);
CREATE INDEX ON opt USING omen_hnsw (v) WITH (storage = 'double');
CREATE INDEX ON opt USING omen_hnsw (v) WITH (lists = 10);
-- contradiction
CREATE INDEX ON opt USING omen_hnsw (v) WITH (m = 16, ef_construction = 31);

-- the limits themselves
CREATE INDEX opt_low ON opt USING omen_hnsw (v) WITH (m = 2, ef_construction = 4);
CREATE INDEX opt_high ON opt USING omen_hnsw (v) WITH (m = 100, ef_construction = 1000);
SELECT * FROM omen_hnsw_check('opt_low');
SELECT * FROM omen_hnsw_check('opt_high');
SELECT c.relname, s.name, s.value
FROM pg_class AS c, LATERAL omen_hnsw_stats(c.oid) AS s
WHERE c.relname IN ('opt_low', 'opt_high') AND s.name IN ('m', 'ef_construction')
ORDER BY c.relname, s.name;
DROP INDEX opt_low, opt_high;

-- every storage
CREATE INDEX opt_auto ON opt USING omen_hnsw (v) WITH (storage = auto);
CREATE INDEX opt_int8 ON opt USING omen_hnsw (v) WITH (storage = int8);
CREATE INDEX opt_half ON opt USING omen_hnsw (v) WITH (storage = half);
CREATE INDEX opt_full ON opt USING omen_hnsw (v) WITH (storage = full);
SELECT c.relname, s.value
FROM pg_class AS c, LATERAL omen_hnsw_stats(c.oid) AS s
WHERE c.relname IN ('opt_int8', 'opt_half', 'opt_full') AND s.name = 'storage'
ORDER BY c.relname;
SELECT count(*)
FROM pg_class AS c, LATERAL omen_hnsw_check(c.oid)
WHERE c.relname ~ '^opt_';
DROP INDEX opt_auto, opt_int8, opt_half, opt_full;

-- a change of options takes effect with the next build
CREATE INDEX opt_index ON opt USING omen_hnsw (v) WITH (m = 8);
ALTER INDEX opt_index SET (m = 1);
ALTER INDEX opt_index SET (m = 4);
SELECT value FROM omen_hnsw_stats('opt_index') WHERE name = 'm';
REINDEX INDEX opt_index;
SELECT value FROM omen_hnsw_stats('opt_index') WHERE name = 'm';
SELECT reloptions FROM pg_class WHERE relname = 'opt_index';
DROP TABLE opt;

-- settings
SHOW omen_hnsw.max_scan_tuples;
SHOW omen_hnsw.scan_mem_multiplier;
SHOW omen_hnsw.scan_order;
SET omen_hnsw.ef_search = 0;
SET omen_hnsw.ef_search = 1001;
SET omen_hnsw.ef_search = 1000;
SET omen_hnsw.max_scan_tuples = 0;
SET omen_hnsw.max_scan_tuples = 2147483647;
SET omen_hnsw.scan_mem_multiplier = 0;
SET omen_hnsw.scan_mem_multiplier = 1001;
SET omen_hnsw.scan_mem_multiplier = 1.5;
SET omen_hnsw.scan_order = 'on';
SET omen_hnsw.scan_order = relaxed;
RESET omen_hnsw.scan_order;
SELECT name, context, vartype, min_val, max_val, enumvals
FROM pg_settings
WHERE name LIKE 'omen\_hnsw.%'
ORDER BY name;

-- Changing an indexed table: new rows are found, deleted rows vanish.
\set VERBOSITY terse
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
CREATE SCHEMA hnsw_writes;
SET search_path = hnsw_writes, public;

-- d numbers of [-1, 1), the same on every machine.
CREATE FUNCTION vec(i int, d int) RETURNS vector LANGUAGE sql IMMUTABLE AS $$
	SELECT array_agg((hashint4extended(j, i::bigint * 7919) >> 40) / 8388608.0 ORDER BY j)::real[]::vector
	FROM generate_series(1, d) j $$;

-- The distances from a query, by the index and by the table; 'same' or what differs.
CREATE FUNCTION by_index(q vector, k int) RETURNS float8[] LANGUAGE plpgsql
	SET enable_seqscan = off SET omen_hnsw.ef_search = 1000 AS $$
BEGIN
	RETURN (SELECT array_agg(d) FROM (SELECT v <-> q AS d FROM t ORDER BY v <-> q LIMIT k) s);
END $$;
CREATE FUNCTION by_table(q vector, k int) RETURNS float8[] LANGUAGE plpgsql SET enable_indexscan = off AS $$
BEGIN
	RETURN (SELECT array_agg(d) FROM (SELECT v <-> q AS d FROM t WHERE v IS NOT NULL ORDER BY v <-> q LIMIT k) s);
END $$;
CREATE FUNCTION compare() RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(format('query %s: %s rows, not %s', i, cardinality(by_index(vec(i, 8), k)),
		cardinality(by_table(vec(i, 8), k))), ', '), 'same')
	FROM unnest(ARRAY[1, 5000, 6000]) i, unnest(ARRAY[1, 10, 100000]) k
	WHERE by_index(vec(i, 8), k) IS DISTINCT FROM by_table(vec(i, 8), k) $$;
CREATE FUNCTION stat(what text) RETURNS text LANGUAGE sql AS $$
	SELECT value FROM omen_hnsw_stats(to_regclass('t_v')) WHERE name = what $$;

-- A temporary table: no other session's snapshot keeps its rows alive.
CREATE TEMP TABLE t (id int PRIMARY KEY, other int, v vector(8)) WITH (fillfactor = 60, autovacuum_enabled = off);
INSERT INTO t SELECT i, i, vec(i, 8) FROM generate_series(1, 800) i;
INSERT INTO t SELECT 1000 + i, i, vec(1, 8) FROM generate_series(1, 100) i;
INSERT INTO t VALUES (2000, 0, NULL);
CREATE INDEX t_v ON t USING omen_hnsw (v);
EXPLAIN (COSTS OFF) SELECT id FROM t ORDER BY v <-> vec(1, 8) LIMIT 3;

-- every statement that changes rows; what fails leaves nothing
\set VERBOSITY default
INSERT INTO t VALUES (3000, 1, vec(3000, 8));
UPDATE t SET v = vec(3000, 8) WHERE id = 5;
\set VERBOSITY terse
INSERT INTO t SELECT 3000 + i, i, vec(i, 8) FROM generate_series(1, 10) i;
INSERT INTO t VALUES (3000, 1, '[1,2,3]');
-- the same vector in a new row version elsewhere, as its key changes
UPDATE t SET id = 10005 WHERE id = 5;
INSERT INTO t VALUES (5, 1, vec(3000, 8)) ON CONFLICT (id) DO UPDATE SET v = excluded.v;
COPY t FROM stdin;
3000	1	[1,2,3,4,5,6,7,8]
\.
MERGE INTO t USING (VALUES (5)) s(id) ON t.id = s.id WHEN MATCHED THEN UPDATE SET v = vec(3000, 8);
BEGIN;
SAVEPOINT a;
UPDATE t SET v = v + v;
ROLLBACK TO a;
SELECT count(*) FROM t;
COMMIT;
SELECT count(*), sum(other), max(id) FROM t;
SELECT compare();
SELECT * FROM omen_hnsw_check('t_v');
-- all the others as they were
SELECT count(*) FROM t WHERE id <= 800 AND v = vec(id, 8);

-- What needs no entry: NULL, another column in place, a row no predicate takes.
INSERT INTO t VALUES (2001, 0, NULL), (2002, 0, NULL);
INSERT INTO t VALUES (5, 1, NULL) ON CONFLICT DO NOTHING;
UPDATE t SET other = other + 1 WHERE id % 100 = 1;
UPDATE t SET other = other + 1 WHERE id % 100 = 1;
UPDATE t SET v = NULL WHERE id = 700;
SELECT pg_stat_get_xact_tuples_hot_updated('t'::regclass) > 0 AS hot;
SELECT count(*), sum(other) FROM t WHERE v IS NOT NULL;
SELECT compare();
SELECT * FROM omen_hnsw_check('t_v');
VACUUM t;
SELECT compare();
SELECT * FROM omen_hnsw_check('t_v');

-- deleted, then vacuumed, twice
SELECT stat('nodes_level_0') AS nodes, stat('tids') AS tids, stat('dead_nodes') AS dead;
DELETE FROM t WHERE id % 3 = 0 OR id BETWEEN 1001 AND 1050;
SELECT compare();
SELECT * FROM omen_hnsw_check('t_v');
VACUUM t;
SELECT compare();
SELECT * FROM omen_hnsw_check('t_v');
SELECT stat('tids')::int = count(v) AS "all" FROM t;
VACUUM t;
SELECT compare();
SELECT * FROM omen_hnsw_check('t_v');
-- a transaction that took its deletion back
BEGIN;
DELETE FROM t WHERE id < 400;
SELECT compare();
ROLLBACK;
SELECT compare();
-- again, with the table's space reused by rows that have no entry
DELETE FROM t WHERE id % 3 = 1;
VACUUM (INDEX_CLEANUP off) t;
SELECT compare();
VACUUM (INDEX_CLEANUP on) t;
INSERT INTO t SELECT 20000 + i, i, NULL FROM generate_series(1, 500) i;
SELECT compare();
SELECT * FROM omen_hnsw_check('t_v');
SELECT stat('tids')::int = count(v) AS "all" FROM t;
VACUUM (FREEZE, ANALYZE) t;
-- everything
DELETE FROM t;
SELECT compare();
VACUUM (INDEX_CLEANUP on) t;
SELECT compare();
SELECT * FROM omen_hnsw_check('t_v');
SELECT stat('tids') AS tids;
VACUUM (INDEX_CLEANUP on) t;
INSERT INTO t VALUES (1, 1, NULL);
SELECT compare();
SELECT * FROM omen_hnsw_check('t_v');
REINDEX INDEX t_v;
SELECT stat('nodes_level_0') AS nodes, stat('dead_nodes') AS dead;
SELECT * FROM omen_hnsw_check('t_v');
DROP TABLE t;

-- k live rows come back though a thousand dead ones are nearer, vacuumed or not
CREATE TABLE t (id int, v vector(8)) WITH (autovacuum_enabled = off);
INSERT INTO t SELECT i, vec(i, 8) FROM generate_series(1, 3000) i;
INSERT INTO t SELECT 3000 + i, vec(i, 8) + '[9,9,9,9,9,9,9,9]' FROM generate_series(1, 500) i;
CREATE INDEX t_v ON t USING omen_hnsw (v);
DELETE FROM t WHERE id <= 3000;
SET enable_seqscan = off;
SELECT count(*), min(id) > 3000 AS live FROM (SELECT id FROM t ORDER BY v <-> '[0,0,0,0,0,0,0,0]' LIMIT 20) s;
VACUUM t;
SELECT count(*), min(id) > 3000 AS live FROM (SELECT id FROM t ORDER BY v <-> '[0,0,0,0,0,0,0,0]' LIMIT 20) s;
SELECT count(*) FROM (SELECT id FROM t ORDER BY v <-> '[0,0,0,0,0,0,0,0]' LIMIT 500) s;
-- by parallel workers
CREATE INDEX t_id ON t (id);
DELETE FROM t WHERE id % 7 = 1;
SET min_parallel_index_scan_size = 0;
VACUUM (PARALLEL 2) t;
RESET min_parallel_index_scan_size;
SELECT compare();
RESET enable_seqscan;
SELECT * FROM omen_hnsw_check('t_v');
DROP TABLE t;

-- concurrently
CREATE TABLE t (id int, v vector(8));
INSERT INTO t SELECT i, vec(i, 8) FROM generate_series(1, 300) i;
CREATE INDEX CONCURRENTLY t_v ON t USING omen_hnsw (v);
SELECT relname, indisvalid, indisready FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE indrelid = 't'::regclass;
INSERT INTO t VALUES (301, vec(301, 8));
UPDATE t SET v = v + v WHERE id = 1;
EXPLAIN (COSTS OFF) SELECT id FROM t ORDER BY v <-> vec(1, 8) LIMIT 1;
SELECT * FROM omen_hnsw_check('t_v');
SELECT count(*) > 0 AS stats FROM omen_hnsw_stats('t_v');
VACUUM t;
DROP INDEX t_v;
CREATE INDEX t_v ON t USING omen_hnsw (v);
REINDEX INDEX CONCURRENTLY t_v;
REINDEX TABLE CONCURRENTLY t;
SELECT relname, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE indrelid = 't'::regclass ORDER BY relname;
SELECT compare();
SELECT * FROM omen_hnsw_check('t_v');
DELETE FROM t WHERE id < 100;
VACUUM t;
SELECT compare();
SELECT * FROM omen_hnsw_check('t_v');

-- who may look: the owner, and who may read everything
CREATE ROLE hnsw_writes_other;
GRANT USAGE ON SCHEMA hnsw_writes TO hnsw_writes_other;
SET ROLE hnsw_writes_other;
SELECT * FROM omen_hnsw_check('t_v');
SELECT * FROM omen_hnsw_stats('t_v');
RESET ROLE;
GRANT EXECUTE ON FUNCTION omen_hnsw_check(regclass, bool, int) TO hnsw_writes_other;
SET ROLE hnsw_writes_other;
SELECT * FROM omen_hnsw_check('t_v');
RESET ROLE;
GRANT pg_read_all_data TO hnsw_writes_other;
SET ROLE hnsw_writes_other;
SELECT * FROM omen_hnsw_check('t_v');
SELECT count(*) > 0 AS stats FROM omen_hnsw_stats('t_v');
RESET ROLE;
REVOKE ALL ON FUNCTION omen_hnsw_check(regclass, bool, int) FROM hnsw_writes_other;
DROP OWNED BY hnsw_writes_other;
DROP ROLE hnsw_writes_other;
SELECT * FROM omen_hnsw_check('t');
SELECT * FROM omen_hnsw_stats('pg_class');
SELECT * FROM omen_hnsw_check('pg_class_oid_index');

DROP SCHEMA hnsw_writes CASCADE;

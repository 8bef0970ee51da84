--
-- VACUUM: dead rows leave the index, and the nodes that have no other; equal
-- vectors (a TID list that goes on in overflow parts) lose exactly the dead ones.
-- A temporary table: no other session's snapshot keeps its rows alive.
--
CREATE TEMP TABLE vac (id int, v vector(4));
INSERT INTO vac SELECT i, ARRAY[i % 97, i % 89, i % 7, i]::vector FROM generate_series(1, 500) AS i;
INSERT INTO vac SELECT i, '[1,2,3,4]' FROM generate_series(1001, 1700) AS i;
INSERT INTO vac SELECT i, '[4,3,2,1]' FROM generate_series(2001, 2003) AS i;
CREATE INDEX vac_index ON vac USING omen_hnsw (v);
SELECT * FROM omen_hnsw_check('vac_index');

CREATE FUNCTION pg_temp.counts(OUT name text, OUT value text) RETURNS SETOF record
LANGUAGE sql AS $$
	SELECT name, value FROM omen_hnsw_stats('vac_index')
	WHERE name IN ('nodes_level_0', 'dead_nodes', 'tids', 'overflow_parts')
	ORDER BY name
$$;
SELECT * FROM pg_temp.counts();

-- single rows; some of the equal ones
DELETE FROM vac WHERE id <= 100 OR id % 2 = 1 AND id > 1000;
VACUUM vac;
SELECT * FROM omen_hnsw_check('vac_index');
SELECT * FROM pg_temp.counts();
SELECT reltuples FROM pg_class WHERE oid = 'vac_index'::regclass;

SET enable_seqscan = off;
SET omen_hnsw.ef_search = 1000;
SELECT count(*), count(DISTINCT id), min(id), max(id)
FROM (SELECT id FROM vac ORDER BY v <-> '[1,2,3,4]' LIMIT 5000) AS s;

-- all of the equal ones
DELETE FROM vac WHERE id > 1000;
VACUUM vac;
SELECT * FROM omen_hnsw_check('vac_index');
SELECT * FROM pg_temp.counts();
SELECT count(*), count(DISTINCT id), min(id), max(id)
FROM (SELECT id FROM vac ORDER BY v <-> '[1,2,3,4]' LIMIT 5000) AS s;

-- everything; then once more with nothing to do
DELETE FROM vac;
VACUUM vac;
VACUUM vac;
SELECT * FROM omen_hnsw_check('vac_index');
SELECT * FROM pg_temp.counts();
SELECT count(*) FROM (SELECT id FROM vac ORDER BY v <-> '[1,2,3,4]' LIMIT 10) AS s;
REINDEX INDEX vac_index;
SELECT * FROM pg_temp.counts();
SELECT * FROM omen_hnsw_check('vac_index');
DROP TABLE vac;

--
-- The tree: short lists, so that a dead node's children find no room near by; a
-- good part of the nodes dead, near ones together; levels above; the entry point.
--
CREATE TEMP TABLE few (id int, v vector(3));
INSERT INTO few SELECT i, ARRAY[i % 61, i % 53, i / 400]::vector FROM generate_series(1, 4000) AS i;
CREATE INDEX few_index ON few USING omen_hnsw (v) WITH (m = 2, ef_construction = 8);
CREATE FUNCTION pg_temp.few(OUT rows_found bigint, OUT nodes text, OUT dead text, OUT links text)
LANGUAGE sql AS $$
	SELECT (SELECT count(DISTINCT id) FROM (SELECT id FROM few ORDER BY v <-> '[1,2,3]') AS s),
		max(value) FILTER (WHERE name = 'nodes_level_0'),
		max(value) FILTER (WHERE name = 'dead_nodes'),
		max(value) FILTER (WHERE name = 'average_protected')
	FROM omen_hnsw_stats('few_index')
$$;
SET omen_hnsw.max_scan_tuples = 1000000;
SELECT * FROM pg_temp.few();
DELETE FROM few WHERE id % 3 = 0;
VACUUM few;
SELECT * FROM pg_temp.few();
SELECT * FROM omen_hnsw_check('few_index', true);
DELETE FROM few WHERE id BETWEEN 500 AND 2500;
VACUUM few;
SELECT * FROM pg_temp.few();
SELECT * FROM omen_hnsw_check('few_index', true);
DELETE FROM few WHERE id % 11 <> 0;
VACUUM few;
SELECT * FROM pg_temp.few();
SELECT * FROM omen_hnsw_check('few_index', true);
DELETE FROM few WHERE id NOT IN (44, 2519, 3025);
VACUUM few;
SELECT * FROM pg_temp.few();
SELECT * FROM omen_hnsw_check('few_index', true);
DELETE FROM few WHERE id = 44;
VACUUM few;
SELECT id FROM few ORDER BY v <-> '[1,2,3]';
SELECT * FROM omen_hnsw_check('few_index', true);
DROP TABLE few;

-- unlogged; another metric
CREATE UNLOGGED TABLE vac_unlogged (id int, v vector(2)) WITH (autovacuum_enabled = off);
INSERT INTO vac_unlogged SELECT i, ARRAY[i, i % 7]::vector FROM generate_series(1, 300) AS i;
CREATE INDEX vac_unlogged_index ON vac_unlogged USING omen_hnsw (v vector_cosine_ops);
DELETE FROM vac_unlogged WHERE id > 20;
VACUUM (INDEX_CLEANUP on) vac_unlogged;
SELECT * FROM omen_hnsw_check('vac_unlogged_index', true);
SELECT count(*) FROM (SELECT id FROM vac_unlogged ORDER BY v <=> '[1,2]') AS s;
DROP TABLE vac_unlogged;

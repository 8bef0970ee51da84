--
-- VACUUM: dead rows leave the index, their nodes stay as signposts, and equal
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
	WHERE name IN ('nodes_level_0', 'dead_nodes', 'tids')
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

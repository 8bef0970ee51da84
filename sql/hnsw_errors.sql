--
-- What an omen_hnsw index refuses, and that refusing loses nothing.
--
CREATE TABLE err (id int, v vector(3), w vector);
INSERT INTO err SELECT i, ARRAY[i, i % 7, i % 11]::vector, '[1,2]' FROM generate_series(1, 300) AS i;

-- refused by core
CREATE UNIQUE INDEX ON err USING omen_hnsw (v);
CREATE INDEX ON err USING omen_hnsw (v, v);
CREATE INDEX ON err USING omen_hnsw (v) INCLUDE (id);
CREATE INDEX ON err USING omen_hnsw (v DESC);
CREATE INDEX ON err USING omen_hnsw (v NULLS FIRST);
CREATE INDEX ON err USING omen_hnsw (id);
CREATE INDEX ON err USING omen_hnsw (v vector_l1_ops);
ALTER TABLE err ADD EXCLUDE USING omen_hnsw (v WITH <->);

-- refused by the build
CREATE INDEX ON err USING omen_hnsw (w);
CREATE INDEX CONCURRENTLY err_concurrently ON err USING omen_hnsw (w);
SELECT indisvalid, indisready FROM pg_index WHERE indexrelid = 'err_concurrently'::regclass;
INSERT INTO err VALUES (300, '[1,2,3]', '[1,2,3,4,5]');
DROP INDEX err_concurrently;
DELETE FROM err WHERE id = 300 AND w = '[1,2,3,4,5]';

CREATE INDEX err_index ON err USING omen_hnsw (v);
CLUSTER err USING err_index;

-- rows of other dimensions, of elements that are no numbers
INSERT INTO err VALUES (301, '[1,2]');
INSERT INTO err VALUES (301, '[1,2,nan]');
INSERT INTO err VALUES (302, NULL);
UPDATE err SET v = '[3,2,1,0]' WHERE id = 1;
UPDATE err SET id = -id WHERE id = 2;
COPY err (id, v) FROM stdin;
303	[1,2,3,4]
\.
SELECT count(*), count(v), min(id), max(id) FROM err;
SELECT * FROM omen_hnsw_check('err_index');

-- a zero vector has no direction
TRUNCATE err;
DROP INDEX err_index;
CREATE INDEX err_cosine ON err USING omen_hnsw (v vector_cosine_ops);
INSERT INTO err VALUES (1, '[0,0,0]');
INSERT INTO err VALUES (2, '[0,0,1]');
SELECT id FROM err;
SELECT * FROM omen_hnsw_check('err_cosine');
DROP INDEX err_cosine;

-- queries
TRUNCATE err;
INSERT INTO err SELECT i, ARRAY[i, i % 7, i % 11]::vector FROM generate_series(1, 300) AS i;
CREATE INDEX err_index ON err USING omen_hnsw (v vector_l2_ops);
SET enable_seqscan = off;
SELECT id FROM err ORDER BY v <-> '[1,2]' LIMIT 1;
SELECT id FROM err ORDER BY v <-> '[1,2,3]' LIMIT 1;
PREPARE nearest(vector) AS SELECT id FROM err ORDER BY v <-> $1 LIMIT 1;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE nearest('[1,2,3]');
EXECUTE nearest('[1,2,3,4]');
EXECUTE nearest('[1,2,3]');
-- NULL is as far from one row as from any other
SELECT count(*) FROM (SELECT id FROM err ORDER BY v <-> (SELECT NULL::vector) LIMIT 1000) AS s;
-- no order: no index
EXPLAIN (COSTS OFF) SELECT count(*) FROM err;
RESET plan_cache_mode;
RESET enable_seqscan;

-- a partial index is not used for the sake of its predicate
CREATE INDEX err_partial ON err USING omen_hnsw (v vector_l2_ops) WHERE id > 290;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM err WHERE id > 290;
RESET enable_seqscan;
SELECT * FROM omen_hnsw_check('err_partial');

-- inspection
CREATE INDEX err_btree ON err (id);
CREATE VIEW err_view AS SELECT 1 AS one;
SELECT * FROM omen_hnsw_check('err');
SELECT * FROM omen_hnsw_check('err_btree');
SELECT * FROM omen_hnsw_stats('err_btree');
SELECT * FROM omen_hnsw_stats('err_view');
SELECT * FROM omen_hnsw_check('err_index', max_errors => 0);
SELECT omen_hnsw_check(NULL);

CREATE ROLE regress_omendb_reader;
SET ROLE regress_omendb_reader;
SELECT * FROM omen_hnsw_check('err_index');
SELECT * FROM omen_hnsw_stats('err_index');
RESET ROLE;
GRANT EXECUTE ON FUNCTION omen_hnsw_check(regclass, bool, int) TO regress_omendb_reader;
SET ROLE regress_omendb_reader;
SELECT * FROM omen_hnsw_check('err_index');
RESET ROLE;
REVOKE EXECUTE ON FUNCTION omen_hnsw_check(regclass, bool, int) FROM regress_omendb_reader;
DROP ROLE regress_omendb_reader;

DROP VIEW err_view;
DROP TABLE err;

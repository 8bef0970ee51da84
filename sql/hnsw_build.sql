-- CREATE INDEX: kinds of tables and columns, options, limits.
-- Every index must pass omen_hnsw_check() and answer like a sequential scan.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA hnsw_build;
SET search_path = hnsw_build, public;

-- d numbers of [-1, 1), the same on every machine.
CREATE FUNCTION vec(i int, d int) RETURNS vector LANGUAGE sql IMMUTABLE AS $$
	SELECT array_agg((hashint4extended(j, i::bigint * 7919) >> 40) / 8388608.0 ORDER BY j)::real[]::vector
	FROM generate_series(1, d) j $$;

-- The rows of a query (id int, d float8), through an omen_hnsw index or without any.
CREATE FUNCTION by_index(query text, OUT ids int[], OUT ds float8[])
	LANGUAGE plpgsql SET enable_seqscan = off SET omen_hnsw.ef_search = 1000 AS $$
DECLARE line text; plan text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP plan := plan || line || E'\n'; END LOOP;
	IF plan !~ 'Index Scan using' OR plan !~ 'Order By' OR plan ~ '(^|->  )Sort\n' THEN
		RAISE EXCEPTION 'the index is not used: %', plan;
	END IF;
	EXECUTE 'SELECT array_agg(id), array_agg(d) FROM (' || query || ') s' INTO ids, ds;
END $$;
CREATE FUNCTION by_table(query text, OUT ids int[], OUT ds float8[])
	LANGUAGE plpgsql SET enable_indexscan = off AS $$
BEGIN
	EXECUTE 'SELECT array_agg(id), array_agg(d) FROM (' || query || ') s' INTO ids, ds;
END $$;

-- 'same', or what differs. Among equal distances any order is right, and at
-- the end of a LIMIT any choice.
CREATE FUNCTION verdict(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE a record; b record; n int;
BEGIN
	a := by_index(query);
	b := by_table(query);
	n := coalesce(cardinality(a.ids), 0);
	IF n <> coalesce(cardinality(b.ids), 0) THEN
		RETURN format('%s rows, not %s', n, coalesce(cardinality(b.ids), 0));
	END IF;
	IF (SELECT count(DISTINCT i) FROM unnest(a.ids) i) <> n THEN RETURN 'a row twice'; END IF;
	FOR i IN 1..n LOOP
		IF a.ds[i] IS DISTINCT FROM b.ds[i] THEN
			RETURN format('row %s: distance %s, not %s', i, a.ds[i], b.ds[i]);
		END IF;
	END LOOP;
	IF query !~ 'LIMIT' AND (SELECT array_agg(i ORDER BY i) FROM unnest(a.ids) i) IS DISTINCT FROM
		(SELECT array_agg(i ORDER BY i) FROM unnest(b.ids) i) THEN
		RETURN 'other rows';
	END IF;
	RETURN 'same';
END $$;

-- verdict() of a few queries near and far, with and without limits; the first that is not 'same'.
-- Needs a table with id, and v or what is given as expression.
CREATE FUNCTION compare(tbl text, op text, dim int, expression text DEFAULT 'v', suffix text DEFAULT '')
	RETURNS text LANGUAGE plpgsql AS $$
DECLARE tail text; q vector; answer text; query text;
BEGIN
	FOREACH tail IN ARRAY ARRAY['', ' LIMIT 1', ' LIMIT 10', ' LIMIT 10 OFFSET 7', ' LIMIT 1000 OFFSET 50'] LOOP
		FOR i IN 1..4 LOOP
			q := vec(i * 1000003, dim);
			IF i = 4 THEN
				-- A row of the table.
				EXECUTE format('SELECT %s FROM %s WHERE id >= 3 %s ORDER BY id LIMIT 1', expression, tbl,
					replace(suffix, 'WHERE', 'AND')) INTO q;
				CONTINUE WHEN q IS NULL;
			END IF;
			query := format('SELECT id, %s %s %L::vector AS d FROM %s %s ORDER BY %1$s %2$s %3$L::vector%6$s',
				expression, op, q, tbl, suffix, tail);
			answer := verdict(query);
			IF answer <> 'same' THEN RETURN format('query %s%s: %s', i, tail, answer); END IF;
		END LOOP;
	END LOOP;
	RETURN 'same';
END $$;

CREATE FUNCTION stat(index regclass, what text) RETURNS text LANGUAGE sql AS $$
	SELECT value FROM omen_hnsw_stats(index) WHERE name = what $$;

-- operator classes: the plan, equality, ties
CREATE TABLE t (id int, v vector(8));
INSERT INTO t SELECT i, vec(i, 8) FROM generate_series(1, 700) i;
INSERT INTO t SELECT 1000 + i, vec(i, 8) FROM generate_series(1, 40) i;	-- twice
INSERT INTO t SELECT 2000 + i, vec(7, 8) FROM generate_series(1, 60) i;	-- many times
INSERT INTO t VALUES (3000, NULL), (3001, '[0,0,0,0,0,0,0,0]'), (3002, '[0,0,0,0,0,0,0,0]');
ANALYZE t;
CREATE INDEX t_l2 ON t USING omen_hnsw (v vector_l2_ops);
EXPLAIN (COSTS OFF) SELECT id FROM t ORDER BY v <-> vec(1, 8) LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM t ORDER BY v <#> vec(1, 8) LIMIT 10;
SELECT compare('t', '<->', 8, suffix => 'WHERE v IS NOT NULL');
SELECT * FROM omen_hnsw_check('t_l2');
SELECT stat('t_l2', 'nodes_level_0') AS nodes, stat('t_l2', 'tids') AS tids, stat('t_l2', 'skipped_rows') AS skipped;
-- the default operator class
CREATE INDEX t_default ON t USING omen_hnsw (v);
SELECT pg_get_indexdef('t_default'::regclass);
DROP INDEX t_default, t_l2;

CREATE INDEX t_ip ON t USING omen_hnsw (v vector_ip_ops);
EXPLAIN (COSTS OFF) SELECT id FROM t ORDER BY v <#> vec(1, 8) LIMIT 10;
SELECT compare('t', '<#>', 8, suffix => 'WHERE v IS NOT NULL');
SELECT * FROM omen_hnsw_check('t_ip');
DROP INDEX t_ip;

-- Zero vectors have no direction, and no entry.
CREATE INDEX t_cosine ON t USING omen_hnsw (v vector_cosine_ops);
EXPLAIN (COSTS OFF) SELECT id FROM t ORDER BY v <=> vec(1, 8) LIMIT 10;
SELECT compare('t', '<=>', 8, suffix => 'WHERE vector_norm(v) > 0');
SELECT * FROM omen_hnsw_check('t_cosine');
SELECT stat('t_cosine', 'tids') AS tids, stat('t_cosine', 'skipped_rows') AS skipped;
-- New rows that need no entry are fine.
INSERT INTO t VALUES (4000, NULL), (4001, '[0,0,0,0,0,0,0,0]');
SELECT * FROM omen_hnsw_check('t_cosine');
DROP INDEX t_cosine;

-- empty table, and one that has become empty; one row; only NULLs
CREATE TABLE few (id int, v vector(3));
CREATE INDEX few_v ON few USING omen_hnsw (v);
SELECT compare('few', '<->', 3);
SELECT * FROM omen_hnsw_check('few_v');
SELECT stat('few_v', 'nodes_level_0') AS nodes, stat('few_v', 'sampled_rows') AS sampled;
DROP INDEX few_v;
INSERT INTO few VALUES (1, NULL), (2, NULL);
CREATE INDEX few_v ON few USING omen_hnsw (v);
SELECT compare('few', '<->', 3, suffix => 'WHERE v IS NOT NULL');
SELECT * FROM omen_hnsw_check('few_v');
DROP INDEX few_v;
INSERT INTO few VALUES (3, '[1,2,3]');
CREATE INDEX few_v ON few USING omen_hnsw (v);
SELECT compare('few', '<->', 3, suffix => 'WHERE v IS NOT NULL');
SELECT * FROM omen_hnsw_check('few_v');
DROP INDEX few_v;
INSERT INTO few VALUES (4, '[1,2,4]');
CREATE INDEX few_v ON few USING omen_hnsw (v);
SELECT compare('few', '<->', 3, suffix => 'WHERE v IS NOT NULL');
SELECT * FROM omen_hnsw_check('few_v');
DROP TABLE few;

-- With few rows the mean is taken to be zero; far from it, answers are the same.
CREATE TABLE sampled (id int, v vector(64));
INSERT INTO sampled SELECT i, vec(i, 64) + array_fill(1000, ARRAY[64])::vector FROM generate_series(1, 900) i;
CREATE INDEX sampled_200 ON sampled USING omen_hnsw (v) WHERE id <= 200;
CREATE INDEX sampled_all ON sampled USING omen_hnsw (v);
SELECT i, stat(i, 'sampled_rows')::int >= 256 AS sampled, (SELECT count(*) FROM omen_hnsw_check(i)) AS problems
	FROM unnest(ARRAY['sampled_200', 'sampled_all']::regclass[]) i;
SELECT compare('sampled', '<->', 64, suffix => 'WHERE id <= 200'), compare('sampled', '<->', 64);
DROP TABLE sampled;

-- kinds of tables
CREATE UNLOGGED TABLE unlogged (id int, v vector(8));
INSERT INTO unlogged SELECT * FROM t WHERE v IS NOT NULL AND id < 3000;
CREATE INDEX unlogged_v ON unlogged USING omen_hnsw (v);
SELECT compare('unlogged', '<->', 8);
SELECT * FROM omen_hnsw_check('unlogged_v');
-- The pages change kind with the table.
ALTER TABLE unlogged SET LOGGED;
SELECT compare('unlogged', '<->', 8);
SELECT * FROM omen_hnsw_check('unlogged_v');
ALTER TABLE unlogged SET UNLOGGED;
SELECT compare('unlogged', '<->', 8);
SELECT * FROM omen_hnsw_check('unlogged_v');
TRUNCATE unlogged;
SELECT compare('unlogged', '<->', 8);
SELECT * FROM omen_hnsw_check('unlogged_v');
DROP TABLE unlogged;

CREATE TEMP TABLE temporary (id int, v vector(8));
INSERT INTO temporary SELECT * FROM t WHERE v IS NOT NULL AND id < 3000;
CREATE INDEX temporary_v ON temporary USING omen_hnsw (v);
SELECT compare('temporary', '<->', 8);
SELECT * FROM omen_hnsw_check('temporary_v');
-- with workers wished for
ALTER TABLE temporary SET (parallel_workers = 2);
REINDEX INDEX temporary_v;
SELECT compare('temporary', '<->', 8);
SELECT * FROM omen_hnsw_check('temporary_v');
DROP TABLE temporary;
CREATE TEMP TABLE temporary (id int, v vector(8)) ON COMMIT DELETE ROWS;
CREATE INDEX temporary_v ON temporary USING omen_hnsw (v);
BEGIN;
SELECT compare('temporary', '<->', 8);
COMMIT;
SELECT compare('temporary', '<->', 8);
SELECT * FROM omen_hnsw_check('temporary_v');
DROP TABLE temporary;

-- partial
CREATE INDEX t_partial ON t USING omen_hnsw (v) WHERE id % 3 = 0 AND v IS NOT NULL;
SELECT compare('t', '<->', 8, suffix => 'WHERE id % 3 = 0 AND v IS NOT NULL');
SELECT * FROM omen_hnsw_check('t_partial');
SELECT stat('t_partial', 'tids')::int = count(*) AS "all" FROM t WHERE id % 3 = 0 AND v IS NOT NULL;
-- No ORDER BY: the predicate alone is no reason to use it.
EXPLAIN (COSTS OFF) SELECT id FROM t WHERE id % 3 = 0 AND v IS NOT NULL;
-- The table's own statistics are of all rows.
SELECT reltuples = (SELECT count(*) FROM t) AS "all" FROM pg_class WHERE oid = 't'::regclass;
DROP INDEX t_partial;
-- a predicate that nothing meets
CREATE INDEX t_partial ON t USING omen_hnsw (v) WHERE id < 0;
SELECT compare('t', '<->', 8, suffix => 'WHERE id < 0');
SELECT * FROM omen_hnsw_check('t_partial');
DROP INDEX t_partial;

-- expressions: a cast to dimensions, a function
CREATE TABLE loose (id int, v vector);
INSERT INTO loose SELECT i, vec(i, 3) FROM generate_series(1, 300) i;
CREATE INDEX loose_v ON loose USING omen_hnsw (v);
CREATE INDEX loose_v ON loose USING omen_hnsw ((v::vector(3)));
SELECT compare('loose', '<->', 3, '(v::vector(3))');
SELECT * FROM omen_hnsw_check('loose_v');
INSERT INTO loose VALUES (1000, '[1,2,3,4]');
DROP INDEX loose_v;
CREATE INDEX loose_v ON loose USING omen_hnsw ((v::vector(3))) WHERE vector_dims(v) = 3;
INSERT INTO loose VALUES (1000, '[1,2,3,4]');
SELECT compare('loose', '<->', 3, '(v::vector(3))', 'WHERE vector_dims(v) = 3');
SELECT * FROM omen_hnsw_check('loose_v');
DROP TABLE loose;
CREATE FUNCTION halves(v vector) RETURNS vector LANGUAGE sql IMMUTABLE AS $$ SELECT subvector(v, 1, 4) $$;
CREATE INDEX t_function ON t USING omen_hnsw ((hnsw_build.halves(v)::vector(4)));
SELECT compare('t', '<->', 4, '(hnsw_build.halves(v)::vector(4))', 'WHERE v IS NOT NULL');
SELECT * FROM omen_hnsw_check('t_function');
DROP INDEX t_function;

-- REINDEX, TRUNCATE, VACUUM FULL, CLUSTER, a change of type, a dropped column before it
CREATE TABLE changed (gone text, id int, v vector(8));
INSERT INTO changed SELECT 'x', * FROM t WHERE v IS NOT NULL AND id < 3000;
ALTER TABLE changed DROP COLUMN gone;
CREATE INDEX changed_v ON changed USING omen_hnsw (v) WITH (m = 8, ef_construction = 32);
REINDEX INDEX changed_v;
SELECT compare('changed', '<->', 8);
REINDEX TABLE changed;
SELECT compare('changed', '<->', 8);
DELETE FROM changed WHERE id % 2 = 0;
VACUUM FULL changed;
SELECT compare('changed', '<->', 8);
SELECT * FROM omen_hnsw_check('changed_v');
SELECT stat('changed_v', 'dead_nodes') AS dead, stat('changed_v', 'm') AS m;
CREATE INDEX changed_id ON changed (id);
CLUSTER changed USING changed_id;
CLUSTER changed USING changed_v;
SELECT compare('changed', '<->', 8);
ALTER TABLE changed ALTER COLUMN v TYPE vector(4) USING subvector(v, 1, 4);
SELECT compare('changed', '<->', 4);
SELECT * FROM omen_hnsw_check('changed_v');
-- Options change with the next build.
ALTER INDEX changed_v SET (m = 5);
SELECT stat('changed_v', 'm') AS m;
REINDEX INDEX changed_v;
SELECT stat('changed_v', 'm') AS m;
SELECT * FROM omen_hnsw_check('changed_v');
BEGIN;
TRUNCATE changed;
SELECT compare('changed', '<->', 4);
ROLLBACK;
SELECT compare('changed', '<->', 4);
TRUNCATE changed;
SELECT compare('changed', '<->', 4);
SELECT * FROM omen_hnsw_check('changed_v');
DROP TABLE changed;
-- created and filled in one transaction, with a savepoint rolled back
BEGIN;
CREATE TABLE fresh (id int, v vector(8));
INSERT INTO fresh SELECT * FROM t WHERE v IS NOT NULL AND id < 3000;
SAVEPOINT s;
INSERT INTO fresh SELECT id + 10000, v FROM fresh;
ROLLBACK TO s;
CREATE INDEX fresh_v ON fresh USING omen_hnsw (v);
SELECT compare('fresh', '<->', 8);
COMMIT;
SELECT compare('fresh', '<->', 8);
SELECT * FROM omen_hnsw_check('fresh_v');
DROP TABLE fresh;
-- a build rolled back
BEGIN;
CREATE INDEX t_gone ON t USING omen_hnsw (v);
ROLLBACK;
SELECT to_regclass('t_gone');

-- m and storage, by dimensions: 230 rows, so that the longest lists fill
CREATE TABLE wide (id int, v128 vector(128), v768 vector(768), v1536 vector(1536));
INSERT INTO wide SELECT i, subvector(v, 1, 128), subvector(v, 1, 768), v
	FROM (SELECT i, vec(i, 1536) AS v FROM generate_series(1, 230) i) s;
CREATE FUNCTION try(dims int, m int, storage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text; problem text;
BEGIN
	EXECUTE format('CREATE INDEX wide_v ON wide USING omen_hnsw (v%s) WITH (m = %s, ef_construction = %s, storage = %s)',
		dims, m, greatest(2 * m, 64), storage);
	answer := verdict(format('SELECT id, v%s <-> %L AS d FROM wide ORDER BY v%1$s <-> %2$L', dims, vec(5000, dims)));
	answer := answer || ', ' || verdict(format('SELECT id, v%s <-> %L AS d FROM wide ORDER BY v%1$s <-> %2$L LIMIT 20',
		dims, vec(100, dims)));
	-- Four links a node do not keep every node in reach of the entry point, which is no error.
	FOR problem IN SELECT invariant || ': ' || detail FROM omen_hnsw_check('wide_v')
		WHERE severity = 'ERROR' OR m > 2 LIMIT 3 LOOP
		answer := answer || ', ' || problem;
	END LOOP;
	IF stat('wide_v', 'm')::int <> m OR stat('wide_v', 'dimensions')::int <> dims THEN
		answer := answer || ', other parameters';
	END IF;
	DROP INDEX wide_v;
	RETURN answer;
EXCEPTION WHEN program_limit_exceeded THEN
	RETURN sqlerrm;
END $$;
SELECT dims, m, try(dims, m, 'int8') AS int8, try(dims, m, 'half') AS half, try(dims, m, 'full') AS "full",
	try(dims, m, 'auto') AS auto
FROM unnest(ARRAY[128, 768, 1536]) dims, unnest(ARRAY[2, 16, 48, 100]) m ORDER BY dims, m;
DROP TABLE wide;

-- 1, 2 and 2000 dimensions
CREATE TABLE narrow (id int, a vector(1), b vector(2));
INSERT INTO narrow SELECT i, vec(i, 1), vec(i, 2) FROM generate_series(1, 400) i;
CREATE INDEX narrow_a ON narrow USING omen_hnsw (a);
CREATE INDEX narrow_b ON narrow USING omen_hnsw (b vector_cosine_ops);
SELECT compare('narrow', '<->', 1, 'a'), compare('narrow', '<=>', 2, 'b');
SELECT * FROM omen_hnsw_check('narrow_a');
SELECT * FROM omen_hnsw_check('narrow_b');
DROP INDEX narrow_a;
-- one dimension and cosine: two directions
CREATE INDEX narrow_a ON narrow USING omen_hnsw (a vector_cosine_ops);
SELECT compare('narrow', '<=>', 1, 'a');
SELECT * FROM omen_hnsw_check('narrow_a');
DROP TABLE narrow;
CREATE TABLE widest (id int, v vector(2000));
INSERT INTO widest SELECT i, vec(i, 2000) FROM generate_series(1, 60) i;
CREATE INDEX widest_v ON widest USING omen_hnsw (v);
SELECT compare('widest', '<->', 2000);
SELECT * FROM omen_hnsw_check('widest_v');
DROP TABLE widest;

-- refused
CREATE TABLE refused (id int, v vector(4), w vector(16000), x vector, y int);
CREATE INDEX ON refused USING omen_hnsw (w);
CREATE INDEX ON refused USING omen_hnsw (x);
CREATE INDEX ON refused USING omen_hnsw (y);
CREATE UNIQUE INDEX ON refused USING omen_hnsw (v);
CREATE INDEX ON refused USING omen_hnsw (v, v);
CREATE INDEX ON refused USING omen_hnsw (v) INCLUDE (id);
CREATE INDEX ON refused USING omen_hnsw (v DESC);
CREATE INDEX ON refused USING omen_hnsw (v NULLS FIRST);
ALTER TABLE refused ADD EXCLUDE USING omen_hnsw (v WITH =);
CREATE INDEX ON refused USING omen_hnsw (v) WITH (m = 16, ef_construction = 31);
CREATE INDEX ON refused USING omen_hnsw (v) WITH (m = 33);
CREATE INDEX ON refused USING omen_hnsw (v) WITH (m = 1);
CREATE INDEX ON refused USING omen_hnsw (v) WITH (m = 101);
CREATE INDEX ON refused USING omen_hnsw (v) WITH (ef_construction = 3);
CREATE INDEX ON refused USING omen_hnsw (v) WITH (ef_construction = 1001);
CREATE INDEX ON refused USING omen_hnsw (v) WITH (storage = double);
CREATE INDEX ON refused USING omen_hnsw (v) WITH (lists = 100);
-- at once, though the table is empty
CREATE INDEX ON refused USING omen_hnsw (v) WITH (m = 16, ef_construction = 32);
ALTER INDEX refused_v_idx SET (m = 17);
REINDEX INDEX refused_v_idx;
ALTER INDEX refused_v_idx RESET (m);
REINDEX INDEX refused_v_idx;
SELECT * FROM omen_hnsw_check('refused_v_idx');
DROP TABLE refused;

-- 10 000 equal rows among others: one node of its own, and nothing lost
CREATE TABLE equal (id int, v vector(16));
INSERT INTO equal SELECT i, CASE WHEN i % 2 = 0 OR i > 600 THEN vec(0, 16) ELSE vec(i, 16) END
	FROM generate_series(1, 10300) i;
CREATE INDEX equal_v ON equal USING omen_hnsw (v);
SELECT * FROM omen_hnsw_check('equal_v');
SELECT stat('equal_v', 'nodes_level_0')::int <= 310 AS few_nodes, stat('equal_v', 'tids') AS tids,
	stat('equal_v', 'overflow_parts')::int > 500 AS overflow;
SELECT compare('equal', '<->', 16);
SELECT verdict(format('SELECT id, v <-> %L AS d FROM equal ORDER BY v <-> %1$L', vec(0, 16)));
SELECT verdict(format('SELECT id, v <-> %L AS d FROM equal ORDER BY v <-> %1$L LIMIT 10050', vec(0, 16)));
SELECT count(*), count(DISTINCT id) FROM (SELECT id, v FROM equal ORDER BY v <-> vec(0, 16) LIMIT 10300) s WHERE v = vec(0, 16);
DROP INDEX equal_v;
-- the same directions under cosine, though other lengths
UPDATE equal SET v = v * array_fill(id, ARRAY[16])::vector WHERE id <= 2000;
CREATE INDEX equal_v ON equal USING omen_hnsw (v vector_cosine_ops);
SELECT * FROM omen_hnsw_check('equal_v');
SELECT compare('equal', '<=>', 16);
DROP TABLE equal;

DROP SCHEMA hnsw_build CASCADE;

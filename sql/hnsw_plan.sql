-- The distance that a plan computes for nobody: where it is left out, and that
-- nothing else changes.
CREATE SCHEMA hnsw_plan;
SET search_path = hnsw_plan, public;
LOAD 'omendb';
SET enable_seqscan = off;
SET omen_hnsw.ef_search = 1000;

CREATE TABLE t (id int PRIMARY KEY, v vector(3), filler text);
INSERT INTO t SELECT i, ARRAY[i % 17, i % 23, i % 5]::vector, repeat('x', i % 7)
	FROM generate_series(1, 600) i;
INSERT INTO t VALUES (0, NULL, 'none');
CREATE INDEX t_v ON t USING omen_hnsw (v);
ANALYZE t;
\set q '\'[3,4,1]\''

-- left out: the scan is all there is but a Limit
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM t ORDER BY v <-> :q LIMIT 3;
SET enable_sort = off;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM t ORDER BY v <-> :q;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM t WHERE filler <> 'x' ORDER BY v <-> :q LIMIT 3 OFFSET 2;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM t ORDER BY v <-> :q, v <-> '[0,0,0]' LIMIT 3;
PREPARE p (vector) AS SELECT id FROM t ORDER BY v <-> $1 LIMIT 3;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (VERBOSE, COSTS OFF) EXECUTE p (:q);
RESET plan_cache_mode;
DEALLOCATE p;

-- computed: somebody reads it, or might
EXPLAIN (VERBOSE, COSTS OFF) SELECT id, v <-> :q AS distance FROM t ORDER BY distance LIMIT 3;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id, 1 + (v <-> :q) AS more FROM t ORDER BY v <-> :q LIMIT 3;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM t ORDER BY v <-> :q FETCH FIRST 3 ROWS WITH TIES;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM t ORDER BY v <-> :q LIMIT 3 FOR UPDATE;
EXPLAIN (VERBOSE, COSTS OFF)
	SELECT count(*) FROM (SELECT id FROM t ORDER BY v <-> :q LIMIT 3) nearest;
EXPLAIN (VERBOSE, COSTS OFF) SELECT DISTINCT ON (v <-> :q) id FROM t ORDER BY v <-> :q LIMIT 3;
SET omen_hnsw.skip_sort_column = off;
EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM t ORDER BY v <-> :q LIMIT 3;
RESET omen_hnsw.skip_sort_column;

-- The same rows in the same order, on and off; ties among them come as the scan finds them.
CREATE FUNCTION by_sql(q vector, n int) RETURNS SETOF int LANGUAGE sql VOLATILE
	AS 'SELECT id FROM t ORDER BY v <-> q LIMIT n';
CREATE FUNCTION by_plpgsql(q vector, n int) RETURNS SETOF int LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT id FROM t ORDER BY v <-> q LIMIT n;
END $$;
CREATE FUNCTION by_cursor(kind text, q vector, n int) RETURNS SETOF int LANGUAGE plpgsql AS $$
DECLARE
	c refcursor := 'nearest';
	i int;
BEGIN
	EXECUTE format('DECLARE nearest %s CURSOR FOR SELECT id FROM t ORDER BY v <-> %L LIMIT %s', kind, q, n);
	LOOP
		FETCH c INTO i;
		EXIT WHEN NOT FOUND;
		RETURN NEXT i;
	END LOOP;
	CLOSE c;
END $$;
CREATE FUNCTION rows_of(call text, on_off text) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
	result int[];
BEGIN
	PERFORM set_config('omen_hnsw.skip_sort_column', on_off, true);
	EXECUTE 'DISCARD PLANS';
	EXECUTE 'SELECT array_agg(i) FROM ' || call || ' i' INTO result;
	RETURN result;
END $$;
SELECT call, cardinality(rows_of(call, 'on')) AS rows, rows_of(call, 'on') = rows_of(call, 'off') AS same
	FROM (VALUES ('by_sql(''[3,4,1]'', 5)'), ('by_sql(''[3,4,1]'', 1000)'), ('by_sql(NULL, 1000)'),
		('by_plpgsql(''[3,4,1]'', 5)'), ('by_plpgsql(''[16,22,4]'', 1000)'),
		('by_cursor(''NO SCROLL'', ''[3,4,1]'', 9)'), ('by_cursor(''SCROLL'', ''[3,4,1]'', 9)'),
		('by_cursor('''', ''[3,4,1]'', 9)')) calls (call);
BEGIN;
DECLARE held SCROLL CURSOR WITH HOLD FOR SELECT id FROM t ORDER BY v <-> '[16,22,4]' LIMIT 4;
COMMIT;
FETCH ALL FROM held;
FETCH BACKWARD 2 FROM held;
CLOSE held;
CREATE TABLE made AS SELECT id FROM t ORDER BY v <-> '[16,22,4]' LIMIT 4;
SELECT * FROM made;
BEGIN;
SELECT id FROM t ORDER BY v <-> '[16,22,4]' LIMIT 2 FOR UPDATE;
DECLARE here CURSOR FOR SELECT id FROM t ORDER BY v <-> '[16,22,4]' LIMIT 2;
FETCH here;
ROLLBACK;
-- a row that was sorted again still knows where it is
SELECT count(*), bool_and(t.ctid = found.ctid) AS there
FROM (SELECT id, ctid FROM t ORDER BY v <-> '[16,22,4]' LIMIT 20) found JOIN t USING (id);
-- no rows, and all that have a vector
SELECT id FROM t WHERE id < 0 ORDER BY v <-> :q LIMIT 3;
SELECT count(*), max(id) FROM by_sql(:q, 1000) id;

RESET enable_seqscan;
RESET enable_sort;
RESET omen_hnsw.ef_search;
DROP SCHEMA hnsw_plan CASCADE;

-- Scans: order, streams, filters, what the planner chooses.
\set VERBOSITY terse
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
CREATE SCHEMA hnsw_scan;
SET search_path = hnsw_scan, public;

-- d numbers of [-1, 1), the same on every machine.
CREATE FUNCTION vec(i int, d int) RETURNS vector LANGUAGE sql IMMUTABLE AS $$
	SELECT array_agg((hashint4extended(j, i::bigint * 7919) >> 40) / 8388608.0 ORDER BY j)::real[]::vector
	FROM generate_series(1, d) j $$;
CREATE FUNCTION times(v vector, f real) RETURNS vector LANGUAGE sql IMMUTABLE AS $$
	SELECT array_agg((e::float8 * f)::real ORDER BY n)::real[]::vector
	FROM unnest(v::real[]) WITH ORDINALITY AS u(e, n) $$;

-- The rows of a query (id int, d float8), through an omen_hnsw index or without any.
CREATE FUNCTION by_index(query text, OUT ids int[], OUT ds float8[])
	LANGUAGE plpgsql SET enable_seqscan = off SET enable_sort = off AS $$
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

-- How many places are out of order; NULL when a row comes twice.
CREATE FUNCTION disorder(ids int[], ds float8[]) RETURNS int LANGUAGE sql AS $$
	SELECT CASE WHEN count(*) = count(DISTINCT i) THEN count(*) FILTER (WHERE d < before) END FROM
		(SELECT i, d, lag(d) OVER (ORDER BY n) AS before FROM unnest(ids, ds) WITH ORDINALITY AS u(i, d, n)) s $$;

-- 'same', or what differs. Among equal distances any order is right, and at
-- the end of a LIMIT any choice.
CREATE FUNCTION verdict(query text) RETURNS text LANGUAGE plpgsql SET omen_hnsw.ef_search = 1000 AS $$
DECLARE a record; b record; n int;
BEGIN
	a := by_index(query);
	b := by_table(query);
	n := coalesce(cardinality(a.ids), 0);
	IF n <> coalesce(cardinality(b.ids), 0) THEN
		RETURN format('%s rows, not %s', n, coalesce(cardinality(b.ids), 0));
	END IF;
	IF disorder(a.ids, a.ds) IS NULL THEN RETURN 'a row twice'; END IF;
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
CREATE FUNCTION nearest(tbl text, op text, q vector, tail text DEFAULT '', filter text DEFAULT '')
	RETURNS text LANGUAGE sql AS $$
	SELECT format('SELECT id, v %s %L::vector AS d FROM %s %s ORDER BY v %1$s %2$L::vector %5$s', op, q, tbl, filter, tail) $$;

--
-- Exact order, whatever the numbers
--
CREATE FUNCTION hard(kind text, i int, d int) RETURNS vector LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE kind
		WHEN 'plain' THEN vec(i, d)
		WHEN 'mixed' THEN times(vec(i, d), (10.0 ^ (i % 13 - 6))::real)
		WHEN 'negative' THEN vec(i, d) - array_fill(3, ARRAY[d])::vector
		-- a unit in the last place apart, and equal
		WHEN 'near' THEN vec(1, d) + array_fill(3, ARRAY[d])::vector +
			('[' || (i % 64) * 2.0 ^ -22 || repeat(',0', d - 2) || ',' || (i / 64) * 2.0 ^ -22 || ']')::vector
		WHEN 'offset' THEN vec(i, d) + array_fill(10000, ARRAY[d])::vector
		WHEN 'outliers' THEN CASE WHEN i % 50 = 0 THEN times(vec(i, d), 1e6) ELSE times(vec(i, d), 1e-3) END
		WHEN 'huge' THEN times(vec(i, d), 1e30)
		WHEN 'tiny' THEN times(vec(i, d), 1e-40)
		WHEN 'wild' THEN times(vec(i, d), (10.0 ^ ((i * 7) % 70 - 37))::real)
		WHEN 'one line' THEN times(vec(1, d), i)
		WHEN 'sparse' THEN ('[' || repeat('0,', i % d) || i || repeat(',0', d - 1 - i % d) || ']')::vector
	END $$;
-- Queries: rows, their opposites, far and unrelated ones, zero.
CREATE FUNCTION hard_queries(kind text, d int) RETURNS SETOF vector LANGUAGE sql AS $$
	SELECT hard(kind, 5, d) UNION ALL SELECT hard(kind, 400, d) UNION ALL SELECT hard(kind, 100007, d) UNION ALL
	SELECT times(hard(kind, 9, d), -1) UNION ALL SELECT vec(77, d) UNION ALL SELECT times(vec(78, d), 1e10) UNION ALL
	SELECT array_fill(0, ARRAY[d])::vector $$;
CREATE FUNCTION try(kind text, op text, class text, storage text, d int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text := ''; q vector; tail text; r record; one text; n int := 0;
BEGIN
	EXECUTE format('CREATE TABLE hard AS SELECT i AS id, hard(%L, i, %s)::vector(%2$s) AS v FROM generate_series(1, 420) i',
		kind, d);
	IF op = '<=>' THEN DELETE FROM hard WHERE vector_norm(v) = 0; END IF;
	EXECUTE format('CREATE INDEX hard_v ON hard USING omen_hnsw (v %s) WITH (storage = %s)', class, storage);
	FOR q IN SELECT * FROM hard_queries(kind, d) LOOP
		n := n + 1;
		BEGIN
			FOREACH tail IN ARRAY ARRAY['', 'LIMIT 10'] LOOP
				one := verdict(nearest('hard', op, q, tail));
				IF one <> 'same' THEN answer := answer || format(' %s/%s: %s;', n, tail, one); END IF;
			END LOOP;
			PERFORM set_config('omen_hnsw.ef_search', '5', true);
			r := by_index(nearest('hard', op, q));
			IF disorder(r.ids, r.ds) IS DISTINCT FROM 0 THEN
				answer := answer || format(' %s: disorder %s;', n, disorder(r.ids, r.ds));
			END IF;
			PERFORM set_config('omen_hnsw.ef_search', '40', true);
		EXCEPTION WHEN internal_error OR data_exception THEN
			answer := answer || format(' %s: %s;', n, sqlerrm);
		END;
	END LOOP;
	FOR one IN SELECT format(' %s %s: %s;', severity, invariant, detail) FROM omen_hnsw_check('hard_v')
		WHERE severity = 'ERROR' LIMIT 2 LOOP
		answer := answer || one;
	END LOOP;
	DROP TABLE hard;
	RETURN CASE answer WHEN '' THEN 'same' ELSE answer END;
END $$;
SELECT kind, op, try(kind, op, class, 'int8', 48) AS int8, try(kind, op, class, 'half', 48) AS half,
	try(kind, op, class, 'full', 48) AS "full"
FROM unnest(ARRAY['plain', 'mixed', 'negative', 'near', 'offset', 'outliers', 'huge', 'tiny', 'wild', 'one line', 'sparse'])
		WITH ORDINALITY AS k(kind, n),
	(VALUES ('<->', 'vector_l2_ops'), ('<#>', 'vector_ip_ops'), ('<=>', 'vector_cosine_ops')) AS o(op, class)
ORDER BY k.n, op;

--
-- A table of 20 000 rows in clusters, whose scans go far beyond the window
--
CREATE TABLE t (id int, common int, rare int, v vector(24)) WITH (autovacuum_enabled = off);
INSERT INTO t SELECT i, hashint4(i) & 127, hashint4(i) & 1023, times(vec(i % 100, 24), 2) + vec(i, 24)
	FROM generate_series(1, 20000) i;
ANALYZE t;
CREATE INDEX t_v ON t USING omen_hnsw (v);
CREATE TABLE queries AS SELECT i AS id, times(vec(i % 100, 24), 2) + vec(-i, 24) AS v FROM generate_series(1, 25) i;

-- Whole results in order, whatever the window.
CREATE FUNCTION order_of_all(op text, ef int, OUT disorder bigint, OUT enough bool) LANGUAGE plpgsql AS $$
DECLARE r record; q vector; total bigint := 0;
BEGIN
	disorder := 0;
	PERFORM set_config('omen_hnsw.ef_search', ef::text, true);
	FOR q IN SELECT v FROM queries WHERE id <= 2 LOOP
		r := by_index(nearest('t', op, q));
		disorder := disorder + disorder(r.ids, r.ds);
		total := total + cardinality(r.ids);
	END LOOP;
	-- Rows found too late are left out.
	enough := total > 2 * 10000;
	PERFORM set_config('omen_hnsw.ef_search', '40', true);
END $$;
SELECT ef, o.* FROM unnest(ARRAY[1, 5, 40, 400]) ef, order_of_all('<->', ef) o;
SELECT * FROM omen_hnsw_check('t_v');

-- Filters of 1 % and 0.1 %: with the default settings the k rows come back.
CREATE FUNCTION filtered(filter text, k int, OUT full_enough bool, OUT recall_enough bool) LANGUAGE plpgsql AS $$
DECLARE r record; s record; q vector; found bigint := 0; there bigint := 0; nearest bigint := 0;
BEGIN
	FOR q IN SELECT v FROM queries WHERE id <= 10 LOOP
		r := by_index(nearest('t', '<->', q, 'LIMIT ' || k, filter));
		s := by_table(nearest('t', '<->', q, 'LIMIT ' || k, filter));
		IF disorder(r.ids, r.ds) IS DISTINCT FROM 0 THEN RAISE EXCEPTION 'disorder'; END IF;
		found := found + coalesce(cardinality(r.ids), 0);
		there := there + cardinality(s.ids);
		nearest := nearest + (SELECT count(*) FROM unnest(r.ids) i WHERE i = ANY (s.ids));
	END LOOP;
	RAISE DEBUG '% found % of %, % of the nearest', filter, found, there, nearest;
	full_enough := found >= 0.99 * there;
	-- Clusters far apart: some rows are found too late for their place.
	recall_enough := nearest >= 0.6 * there;
END $$;
SELECT filter, k, f.* FROM
	(VALUES ('', 10), ('WHERE common = 5', 10), ('WHERE common = 5', 100), ('WHERE rare = 5', 10)) a(filter, k),
	filtered(filter, k) f;
-- more than there are
SELECT count(*) FROM t WHERE rare = 5;
SET omen_hnsw.scan_order = relaxed;
SET omen_hnsw.max_scan_tuples = 30000;
SELECT count(*) FROM (SELECT id FROM t WHERE rare = 5 ORDER BY v <-> vec(1, 24) LIMIT 100) s;
RESET omen_hnsw.scan_order;
RESET omen_hnsw.max_scan_tuples;
-- a filter that nothing passes; the scan ends by itself
SELECT * FROM by_index(nearest('t', '<->', vec(1, 24), 'LIMIT 10', 'WHERE rare = -1'));

-- OFFSET and LIMIT beyond the window
SELECT cardinality(ids), disorder(ids, ds) FROM by_index(nearest('t', '<->', vec(1, 24), 'LIMIT 10 OFFSET 500'));
SELECT cardinality(ids), disorder(ids, ds) FROM by_index(nearest('t', '<->', vec(1, 24), 'LIMIT 3000'));
SELECT cardinality(ids), disorder(ids, ds) FROM by_index(nearest('t', '<->', vec(1, 24), 'LIMIT 0'));

-- Caps end a scan, without error.
SET omen_hnsw.max_scan_tuples = 300;
SELECT cardinality(ids) BETWEEN 40 AND 310 AS capped, disorder(ids, ds) FROM by_index(nearest('t', '<->', vec(1, 24), 'LIMIT 5000'));
-- The first window of ef_search is filled whatever the cap.
SET omen_hnsw.max_scan_tuples = 1;
SELECT cardinality(ids) BETWEEN 10 AND 50 AS capped, disorder(ids, ds) FROM by_index(nearest('t', '<->', vec(1, 24), 'LIMIT 5000'));
RESET omen_hnsw.max_scan_tuples;
SET work_mem = '64kB';
SET omen_hnsw.scan_mem_multiplier = 1;
SELECT cardinality(ids) BETWEEN 10 AND 3000 AS capped, disorder(ids, ds) FROM by_index(nearest('t', '<->', vec(1, 24), 'LIMIT 10000'));
-- What an earlier scan of the session took does not count.
SELECT cardinality(ids), disorder(ids, ds) FROM by_index(nearest('t', '<->', vec(1, 24), 'LIMIT 10'));
RESET omen_hnsw.scan_mem_multiplier;
RESET work_mem;

-- Relaxed order leaves nothing out.
SET omen_hnsw.max_scan_tuples = 100000;
SET omen_hnsw.scan_order = relaxed;
SET omen_hnsw.ef_search = 10;
SELECT cardinality(ids), disorder(ids, ds) > 0 AS disorder FROM by_index(nearest('t', '<->', vec(1, 24)));
SET omen_hnsw.scan_order = strict;
SELECT cardinality(ids) < 20000 AS fewer, disorder(ids, ds) FROM by_index(nearest('t', '<->', vec(1, 24)));
RESET omen_hnsw.scan_order;
RESET omen_hnsw.max_scan_tuples;
RESET omen_hnsw.ef_search;

-- settings of a transaction
BEGIN;
SET LOCAL omen_hnsw.ef_search = 200;
SHOW omen_hnsw.ef_search;
SELECT cardinality(ids), disorder(ids, ds) FROM by_index(nearest('t', '<->', vec(1, 24), 'LIMIT 10'));
COMMIT;
SHOW omen_hnsw.ef_search;
SET omen_hnsw.ef_search = 0;
SET omen_hnsw.ef_search = 1001;
SET omen_hnsw.max_scan_tuples = 0;
SET omen_hnsw.scan_order = loose;
SET omen_hnsw.nothing = 1;

--
-- Statements of all kinds
--
-- A small table, where every answer is exact.
CREATE TABLE small (id int, v vector(24));
INSERT INTO small SELECT id, v FROM t WHERE id <= 900;
INSERT INTO small SELECT 1000 + id, v FROM t WHERE id <= 50;
CREATE INDEX small_v ON small USING omen_hnsw (v);
ANALYZE small;
SET omen_hnsw.ef_search = 1000;
SET enable_seqscan = off;
SET enable_sort = off;

-- the operator either way round
EXPLAIN (COSTS OFF) SELECT id FROM small ORDER BY v <-> (SELECT v FROM queries WHERE id = 1) LIMIT 3;
EXPLAIN (COSTS OFF) SELECT id FROM small ORDER BY (SELECT v FROM queries WHERE id = 1) <-> v LIMIT 3;

-- prepared, planned once for all parameters
SET plan_cache_mode = force_generic_plan;
PREPARE p(vector, int) AS SELECT array_agg(d) AS ds FROM (SELECT v <-> $1 AS d FROM small ORDER BY v <-> $1 LIMIT $2) s;
EXPLAIN (COSTS OFF) EXECUTE p(vec(1, 24), 3);
CREATE FUNCTION expected(q vector, k int) RETURNS float8[] LANGUAGE sql SET enable_indexscan = off AS $$
	SELECT array_agg(d) FROM (SELECT v <-> q AS d FROM small ORDER BY v <-> q LIMIT k) s $$;
CREATE FUNCTION prepared() RETURNS TABLE (same bool) LANGUAGE plpgsql AS $$
DECLARE k int := 7; q vector; got float8[];
BEGIN
	FOR q IN SELECT v FROM queries ORDER BY id LIMIT 5 LOOP
		EXECUTE format('EXECUTE p(%L, %s)', q, k) INTO got;
		same := got = expected(q, k);
		RETURN NEXT;
		k := k * 3;
	END LOOP;
END $$;
SELECT * FROM prepared();
-- NULL has no distance: rows in any order
EXECUTE p(NULL, 5);
PREPARE n(vector) AS SELECT count(*), count(DISTINCT id), count(d) FROM (SELECT id, v <-> $1 AS d FROM small ORDER BY v <-> $1) s;
EXECUTE n(NULL);
PREPARE m(vector) AS SELECT id FROM small ORDER BY v <-> $1 LIMIT 3;
EXECUTE m('[1,2,3]');
SELECT count(*) FROM (SELECT id FROM small ORDER BY v <-> (SELECT NULL::vector) LIMIT 3) s;
RESET plan_cache_mode;
SELECT count(*) FROM (SELECT id FROM small ORDER BY v <-> NULL::vector LIMIT 10) s;

-- cursors: pieces of one result
CREATE FUNCTION fetched(step int) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE c refcursor; r record; ds float8[]; q vector := vec(3, 24);
BEGIN
	OPEN c NO SCROLL FOR SELECT v <-> q AS d FROM small ORDER BY v <-> q;
	LOOP
		FETCH c INTO r;
		EXIT WHEN NOT FOUND;
		ds := ds || r.d;
		-- Other scans of the same index do not disturb it.
		IF cardinality(ds) % step = 0 THEN
			PERFORM id FROM small ORDER BY v <-> vec(cardinality(ds), 24) LIMIT 2;
		END IF;
	END LOOP;
	CLOSE c;
	RETURN ds = expected(q, 10000);
END $$;
SELECT fetched(10), fetched(331);
CREATE TABLE wanted AS SELECT expected(vec(3, 24), 10000) AS ds;
BEGIN;
DECLARE c CURSOR FOR SELECT row_number() OVER (), v <-> vec(3, 24) = ((SELECT ds FROM wanted))[row_number() OVER ()] AS same
	FROM (SELECT v FROM small ORDER BY v <-> vec(3, 24)) s;
FETCH 2 FROM c;
FETCH FORWARD 3 FROM c;
MOVE 700 IN c;
FETCH 2 FROM c;
DELETE FROM small WHERE id = 1;
FETCH 1 FROM c;
MOVE ALL IN c;
FETCH 1 FROM c;
ROLLBACK;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT v <-> vec(3, 24) = (SELECT ds[1] FROM wanted) AS first FROM small ORDER BY v <-> vec(3, 24);
FETCH 2 FROM c;
FETCH BACKWARD 1 FROM c;
FETCH LAST FROM c;
FETCH FIRST FROM c;
COMMIT;
BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT v <-> vec(4, 24) AS d FROM small ORDER BY v <-> vec(4, 24) LIMIT 100;
CREATE TEMP TABLE held (n serial, d float8);
COMMIT;
DO $$ DECLARE c refcursor := 'c'; r record; BEGIN
	LOOP FETCH c INTO r; EXIT WHEN NOT FOUND; INSERT INTO held (d) VALUES (r.d); END LOOP; END $$;
SELECT array_agg(d ORDER BY n) = expected(vec(4, 24), 100) AS same FROM held;
CLOSE c;

-- nested loops: rescans with new queries, NULL among them
CREATE TABLE asked AS SELECT * FROM queries UNION ALL SELECT 100, NULL;
EXPLAIN (COSTS OFF) SELECT a.id, n.id FROM asked a, LATERAL (SELECT id FROM small ORDER BY v <-> a.v LIMIT 3) n;
SELECT count(*), count(*) FILTER (WHERE ds = expected(v, 20)), count(*) FILTER (WHERE ds = array_fill(NULL::float8, ARRAY[20])) AS nulls
FROM (SELECT a.v, array_agg(n.d) AS ds FROM asked a, LATERAL (SELECT v <-> a.v AS d FROM small ORDER BY v <-> a.v LIMIT 20) n
	GROUP BY a.id, a.v) s;
-- many
SELECT count(*) FROM generate_series(1, 2000) i, LATERAL (SELECT id FROM small ORDER BY v <-> (SELECT v FROM queries WHERE id = i % 25 + 1) LIMIT 1) n;
-- one inside the other
SELECT count(*) = 25 * 4 * 2 AS "all" FROM queries q, LATERAL (SELECT id, v FROM small ORDER BY v <-> q.v LIMIT 4) a,
	LATERAL (SELECT id FROM small ORDER BY v <-> a.v LIMIT 2) b;

-- joins
SELECT array_agg(d) = expected(vec(9, 24), 12) AS same FROM
	(SELECT s.v <-> vec(9, 24) AS d FROM small s LEFT JOIN queries q ON q.id = s.id ORDER BY s.v <-> vec(9, 24) LIMIT 12) s;
-- set operations
EXPLAIN (COSTS OFF) (SELECT id FROM small ORDER BY v <-> '[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]' LIMIT 3)
	UNION ALL (SELECT id FROM small ORDER BY v <-> '[2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2]' LIMIT 3);
SELECT array_agg(d) = expected(vec(1, 24), 5) || expected(vec(2, 24), 5) AS same FROM
	((SELECT v <-> vec(1, 24) AS d FROM small ORDER BY v <-> vec(1, 24) LIMIT 5)
	UNION ALL (SELECT v <-> vec(2, 24) AS d FROM small ORDER BY v <-> vec(2, 24) LIMIT 5)) s;
SELECT count(*) FROM
	((SELECT id FROM small ORDER BY v <-> vec(1, 24) LIMIT 5) UNION (SELECT id FROM small ORDER BY v <-> vec(1, 24) LIMIT 5)) s;
-- two distances at once
SELECT array_agg(d) = expected(vec(1, 24), 10) AS same FROM
	(SELECT v <-> vec(1, 24) AS d FROM small ORDER BY v <-> vec(1, 24), v <-> vec(2, 24) LIMIT 10) s;
-- locked and changed by what the scan finds
BEGIN;
SELECT count(*) FROM (SELECT id FROM small ORDER BY v <-> vec(1, 24) LIMIT 5 FOR UPDATE) s;
UPDATE small SET id = id WHERE false;
DELETE FROM small WHERE id IN (SELECT id FROM small ORDER BY v <-> vec(1, 24) LIMIT 5);
SELECT array_agg(d) = (expected(vec(1, 24), 10)) AS same FROM
	(SELECT v <-> vec(1, 24) AS d FROM small ORDER BY v <-> vec(1, 24) LIMIT 10) s;
ROLLBACK;

-- SERIALIZABLE: the scan locks the whole index against insertion
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT count(*) FROM (SELECT id FROM small ORDER BY v <-> vec(1, 24) LIMIT 5) s;
SELECT relation::regclass, page, tuple FROM pg_locks WHERE mode = 'SIReadLock' AND relation = 'small_v'::regclass;
COMMIT;

-- wrong dimensions
SELECT id FROM small ORDER BY v <-> '[1,2,3]' LIMIT 1;
SELECT count(*) FROM (SELECT id FROM small ORDER BY v <-> vec(1, 24) LIMIT 5) s;
-- the zero vector has no direction
CREATE INDEX small_c ON small USING omen_hnsw (v vector_cosine_ops);
SELECT verdict(nearest('small', '<=>', array_fill(0, ARRAY[24])::vector));
SELECT verdict(nearest('small', '<=>', array_fill(0, ARRAY[24])::vector, 'LIMIT 10'));
DROP INDEX small_c;

-- partitions: streams merged
CREATE TABLE parts (id int, v vector(24)) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (300);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (300) TO (310);
CREATE TABLE parts_3 PARTITION OF parts FOR VALUES FROM (310) TO (10000);
INSERT INTO parts SELECT * FROM small;
CREATE INDEX parts_v ON parts USING omen_hnsw (v);
EXPLAIN (COSTS OFF) SELECT id FROM parts ORDER BY v <-> '[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]' LIMIT 3;
SELECT verdict(nearest('parts', '<->', vec(i, 24))), verdict(nearest('parts', '<->', vec(i, 24), 'LIMIT 30'))
	FROM generate_series(1, 3) i;
SELECT inhrelid::regclass AS index, (SELECT count(*) FROM omen_hnsw_check(inhrelid)) AS problems
	FROM pg_inherits WHERE inhparent = 'parts_v'::regclass ORDER BY 1::text;
SELECT * FROM omen_hnsw_check('parts_v');

RESET enable_seqscan;
RESET enable_sort;
RESET omen_hnsw.ef_search;

--
-- What the planner chooses
--
CREATE INDEX t_rare ON t (rare);
CREATE INDEX t_id ON t (id);
\set q '\'[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]\''
-- a small LIMIT: the index
EXPLAIN (COSTS OFF) SELECT id FROM t ORDER BY v <-> :q LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM t ORDER BY v <-> :q LIMIT 100;
EXPLAIN (COSTS OFF) SELECT id FROM t WHERE id > 1000 ORDER BY v <-> :q LIMIT 10;
-- one near the size of the table, or none: not
EXPLAIN (COSTS OFF) SELECT id FROM t ORDER BY v <-> :q LIMIT 19900;
EXPLAIN (COSTS OFF) SELECT id FROM t ORDER BY v <-> :q;
-- a selective filter with an index of its own wins
EXPLAIN (COSTS OFF) SELECT id FROM t WHERE id = 77 ORDER BY v <-> :q LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM t WHERE rare = 5 ORDER BY v <-> :q LIMIT 10;
-- Without ORDER BY, downwards, or NULLS FIRST: never.
DROP INDEX t_rare, t_id;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM t;
EXPLAIN (COSTS OFF) SELECT id FROM t WHERE v <-> :q < 1;
EXPLAIN (COSTS OFF) SELECT id FROM t WHERE v = :q;
EXPLAIN (COSTS OFF) SELECT id FROM t ORDER BY v <-> :q DESC LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM t ORDER BY v <-> :q NULLS FIRST LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM t ORDER BY v <=> :q LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM t ORDER BY v <+> :q LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM t ORDER BY v LIMIT 10;
EXPLAIN (COSTS OFF) SELECT min(v <-> :q) FROM t;
RESET enable_seqscan;
-- no table worth an index
CREATE TABLE tiny (id int, v vector(24));
INSERT INTO tiny SELECT id, v FROM t LIMIT 5;
CREATE INDEX tiny_v ON tiny USING omen_hnsw (v);
ANALYZE tiny;
EXPLAIN (COSTS OFF) SELECT id FROM tiny ORDER BY v <-> :q LIMIT 3;
SELECT pg_index_column_has_property('t_v'::regclass, 1, 'distance_orderable') AS orderable,
	pg_index_column_has_property('t_v'::regclass, 1, 'orderable') AS sorted,
	pg_index_column_has_property('t_v'::regclass, 1, 'returnable') AS returnable,
	pg_index_has_property('t_v'::regclass, 'clusterable') AS clusterable,
	pg_index_has_property('t_v'::regclass, 'backward_scan') AS backward;

DROP SCHEMA hnsw_scan CASCADE;

-- Rows that arrive after CREATE INDEX: by every statement, into every kind of table.
\set VERBOSITY terse
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
CREATE SCHEMA hnsw_insert;
SET search_path = hnsw_insert, public;

-- d numbers of [-1, 1), the same on every machine.
CREATE FUNCTION vec(i int, d int) RETURNS vector LANGUAGE sql IMMUTABLE AS $$
	SELECT array_agg((hashint4extended(j, i::bigint * 7919) >> 40) / 8388608.0 ORDER BY j)::real[]::vector
	FROM generate_series(1, d) j $$;

-- Whether index and table give the same distances in the same order, for all rows and for few.
CREATE FUNCTION distances(tab regclass, op text, q vector, k int, by_index bool) RETURNS float8[] LANGUAGE plpgsql
	SET omen_hnsw.ef_search = 1000 SET omen_hnsw.max_scan_tuples = 1000000 AS $$
DECLARE r float8[];
BEGIN
	PERFORM set_config('enable_seqscan', (NOT by_index)::text, true), set_config('enable_indexscan', by_index::text, true);
	EXECUTE format('SELECT array_agg(d) FROM (SELECT v %1$s $1 AS d FROM %2$s WHERE (v %1$s $1) IS NOT NULL AND (v %1$s $1) <> ''NaN'' ORDER BY v %1$s $1 LIMIT $2) s',
		op, tab) INTO r USING q, k;
	RETURN r;
END $$;
CREATE FUNCTION compare(tab regclass, op text = '<->', d int = 8) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(format('query %s, %s rows', i, k), ', '), 'same')
	FROM unnest(ARRAY[1, 500, 6000]) i, unnest(ARRAY[1, 10, 100000]) k
	WHERE distances(tab, op, vec(i, d), k, true) IS DISTINCT FROM distances(tab, op, vec(i, d), k, false) $$;
CREATE FUNCTION stat(index regclass, what text) RETURNS text LANGUAGE sql AS $$
	SELECT value FROM omen_hnsw_stats(index) WHERE name = what $$;

-- an empty table, then one row after the other
CREATE TABLE t (id int PRIMARY KEY, other int, v vector(8)) WITH (autovacuum_enabled = off, fillfactor = 100);
CREATE INDEX t_v ON t USING omen_hnsw (v);
INSERT INTO t VALUES (1, 0, vec(1, 8));
SELECT * FROM omen_hnsw_check('t_v');
INSERT INTO t VALUES (2, 0, vec(2, 8));
INSERT INTO t VALUES (3, 0, vec(1, 8));
INSERT INTO t VALUES (4, 0, NULL);
SELECT stat('t_v', 'nodes_level_0') AS nodes, stat('t_v', 'tids') AS tids;
SELECT id FROM t ORDER BY v <-> vec(2, 8) LIMIT 1;
INSERT INTO t SELECT i, i, vec(i, 8) FROM generate_series(5, 600) i;
SELECT compare('t');
SELECT * FROM omen_hnsw_check('t_v');
SELECT stat('t_v', 'tids')::int = count(v) AS "all" FROM t;

-- what has no place is refused with a message and changes nothing
INSERT INTO t VALUES (1000, 1, '[1,2,3]');
INSERT INTO t SELECT 1000 + i, 1, CASE WHEN i < 5 THEN vec(i, 8) ELSE '[1,2,3]' END FROM generate_series(1, 5) i;
SELECT count(*) FROM t;
SELECT * FROM omen_hnsw_check('t_v');

-- COPY, ON CONFLICT, MERGE, UPDATE of the vector and of another column
COPY t FROM stdin;
1001	1	[1,2,3,4,5,6,7,8]
1002	1	\N
1003	1	[1,2,3,4,5,6,7,8]
\.
INSERT INTO t VALUES (1001, 1, vec(3000, 8)) ON CONFLICT (id) DO UPDATE SET v = excluded.v;
INSERT INTO t VALUES (1001, 1, vec(3001, 8)), (1004, 1, vec(3002, 8)) ON CONFLICT DO NOTHING;
MERGE INTO t USING (VALUES (5), (1005)) s(id) ON t.id = s.id
	WHEN MATCHED THEN UPDATE SET v = vec(3003, 8) WHEN NOT MATCHED THEN INSERT VALUES (s.id, 0, vec(3004, 8));
UPDATE t SET v = v + v WHERE id % 10 = 3;
UPDATE t SET id = id + 10000 WHERE id % 10 = 4;
UPDATE t SET v = NULL WHERE id = 12;
UPDATE t SET v = vec(12, 8) WHERE id = 12;
SELECT compare('t');
SELECT * FROM omen_hnsw_check('t_v');
DELETE FROM t WHERE id % 7 = 0;
VACUUM t;
INSERT INTO t SELECT 20000 + i, i, vec(20000 + i, 8) FROM generate_series(1, 300) i;
SELECT compare('t');
SELECT * FROM omen_hnsw_check('t_v');
SELECT stat('t_v', 'tids')::int = count(v) AS "all" FROM t;

-- transactions that take rows back, also the first ones
BEGIN;
INSERT INTO t SELECT 30000 + i, i, vec(30000 + i, 8) FROM generate_series(1, 50) i;
SAVEPOINT a;
INSERT INTO t SELECT 31000 + i, i, vec(31000 + i, 8) FROM generate_series(1, 50) i;
SELECT compare('t');
ROLLBACK TO a;
INSERT INTO t SELECT 32000 + i, i, vec(31000 + i, 8) FROM generate_series(1, 50) i;
SELECT compare('t');
COMMIT;
SELECT compare('t');
DO $$
BEGIN
	FOR i IN 1..30 LOOP
		BEGIN
			INSERT INTO t VALUES (40000 + i, i, vec(40000 + i, 8));
			IF i % 3 = 0 THEN RAISE EXCEPTION 'no'; END IF;
		EXCEPTION WHEN raise_exception THEN NULL;
		END;
	END LOOP;
END $$;
SELECT count(*) FROM t WHERE id BETWEEN 40000 AND 41000;
SELECT compare('t');
CREATE TABLE back (id int, v vector(8));
CREATE INDEX back_v ON back USING omen_hnsw (v);
BEGIN;
INSERT INTO back SELECT i, vec(i, 8) FROM generate_series(1, 20) i;
ROLLBACK;
INSERT INTO back SELECT i, vec(i, 8) FROM generate_series(10, 40) i;
SELECT compare('back');
SELECT * FROM omen_hnsw_check('back_v');
DELETE FROM back;
VACUUM back;
INSERT INTO back SELECT i, vec(i, 8) FROM generate_series(1, 40) i;
SELECT compare('back');
SELECT * FROM omen_hnsw_check('back_v');
TRUNCATE back;
INSERT INTO back SELECT i, vec(i, 8) FROM generate_series(1, 40) i;
SELECT compare('back');
SELECT * FROM omen_hnsw_check('back_v');

-- equal vectors: nothing grows but the lists of TIDs; parts are found again
CREATE TABLE equal (id int, v vector(8)) WITH (autovacuum_enabled = off);
CREATE INDEX equal_v ON equal USING omen_hnsw (v);
INSERT INTO equal SELECT i, vec(i, 8) FROM generate_series(1, 100) i;
INSERT INTO equal SELECT 1000 + i, vec(7, 8) FROM generate_series(1, 3000) i;
SELECT stat('equal_v', 'nodes_level_0') AS nodes, stat('equal_v', 'tids') AS tids;
SELECT count(*) FROM (SELECT id FROM equal ORDER BY v <-> vec(7, 8) LIMIT 3001) s WHERE id = 7 OR id > 1000;
SELECT * FROM omen_hnsw_check('equal_v');
INSERT INTO equal SELECT 5000 + i, vec(i % 100 + 1, 8) FROM generate_series(1, 2000) i;
SELECT stat('equal_v', 'nodes_level_0') AS nodes, stat('equal_v', 'tids') AS tids;
SELECT compare('equal');
SELECT * FROM omen_hnsw_check('equal_v');
DELETE FROM equal WHERE id % 3 > 0;
VACUUM equal;
INSERT INTO equal SELECT 9000 + i, vec(i % 100 + 1, 8) FROM generate_series(1, 1000) i;
SELECT compare('equal');
SELECT * FROM omen_hnsw_check('equal_v');
-- by another column, again and again: one node
UPDATE equal SET id = id + 1;
UPDATE equal SET id = id + 1;
SELECT stat('equal_v', 'nodes_level_0') AS nodes;
SELECT compare('equal');
SELECT * FROM omen_hnsw_check('equal_v');

-- other metrics, among them rows without direction, of all lengths, and huge ones
CREATE TABLE c (id int, v vector(8));
CREATE INDEX c_v ON c USING omen_hnsw (v vector_cosine_ops);
INSERT INTO c VALUES (0, '[0,0,0,0,0,0,0,0]');
INSERT INTO c SELECT i, vec(i, 8) FROM generate_series(1, 400) i;
INSERT INTO c VALUES (1001, '[0,0,0,0,0,0,0,0]'), (1002, NULL), (1003, '[1e-30,0,0,0,0,0,0,0]'), (1004, '[1e30,0,0,0,0,0,0,0]');
SELECT stat('c_v', 'tids') AS tids;
SELECT compare('c', '<=>');
SELECT * FROM omen_hnsw_check('c_v');
CREATE TABLE p (id int, v vector(8));
INSERT INTO p SELECT i, vec(i, 8) FROM generate_series(1, 300) i;
CREATE INDEX p_v ON p USING omen_hnsw (v vector_ip_ops);
INSERT INTO p SELECT 1000 + i, vec(1000 + i, 8) * array_fill(i % 30, ARRAY[8])::vector FROM generate_series(1, 300) i;
INSERT INTO p VALUES (2001, '[0,0,0,0,0,0,0,0]'), (2002, '[1e9,1,1,1,1,1,1,1]'), (2003, '[1e-9,1,1,1,1,1,1,-1e9]');
SELECT compare('p', '<#>');
SELECT * FROM omen_hnsw_check('p_v');
CREATE TABLE p0 (id int, v vector(8));
CREATE INDEX p0_v ON p0 USING omen_hnsw (v vector_ip_ops);
INSERT INTO p0 SELECT * FROM p;
SELECT compare('p0', '<#>');
SELECT * FROM omen_hnsw_check('p0_v');
CREATE TABLE l2 (id int, v vector(8));
CREATE INDEX l2_v ON l2 USING omen_hnsw (v) WITH (m = 2, ef_construction = 4);
INSERT INTO l2 SELECT i, vec(i, 8) FROM generate_series(1, 300) i;
INSERT INTO l2 VALUES (1001, '[3e38,3e38,3e38,3e38,3e38,3e38,3e38,3e38]'), (1002, '[-3e38,3e38,3e38,3e38,3e38,3e38,3e38,3e38]'), (1003, '[1e-45,0,0,0,0,0,0,0]');
SELECT compare('l2');
SELECT * FROM omen_hnsw_check('l2_v');

-- other shapes: several blocks of lanes, half and full precision, one record a page
CREATE TABLE s (id int, v vector(8));
CREATE INDEX s_v ON s USING omen_hnsw (v) WITH (m = 40, ef_construction = 100, storage = full);
INSERT INTO s SELECT i, vec(i, 8) FROM generate_series(1, 400) i;
SELECT compare('s');
SELECT * FROM omen_hnsw_check('s_v');
CREATE TABLE big (id int, v vector(1500));
CREATE INDEX big_v ON big USING omen_hnsw (v) WITH (storage = half);
INSERT INTO big SELECT i, vec(i, 1500) FROM generate_series(1, 80) i;
SELECT compare('big', '<->', 1500);
SELECT * FROM omen_hnsw_check('big_v');

-- partial and expression indexes, several at once
CREATE TABLE e (id int, a real[], v vector(8));
CREATE INDEX e_some ON e USING omen_hnsw (v) WHERE id % 2 = 0;
CREATE INDEX e_expr ON e USING omen_hnsw ((a::vector(4)));
CREATE INDEX e_v ON e USING omen_hnsw (v);
INSERT INTO e SELECT i, vec(i, 4)::real[], vec(i, 8) FROM generate_series(1, 200) i;
UPDATE e SET id = id + 1 WHERE id % 10 = 0;
SELECT stat('e_some', 'tids') AS some, stat('e_expr', 'tids') AS expr, stat('e_v', 'tids') AS v;
SELECT compare('e');
SELECT * FROM omen_hnsw_check('e_some') UNION ALL SELECT * FROM omen_hnsw_check('e_expr') UNION ALL SELECT * FROM omen_hnsw_check('e_v');
INSERT INTO e VALUES (1, '{1,2}', vec(1, 8));

-- temporary, unlogged, partitioned tables; a prepared transaction is another test
CREATE TEMP TABLE tt (id int, v vector(8)) ON COMMIT DELETE ROWS;
CREATE INDEX tt_v ON tt USING omen_hnsw (v);
BEGIN;
INSERT INTO tt SELECT i, vec(i, 8) FROM generate_series(1, 200) i;
SELECT compare('tt');
SELECT * FROM omen_hnsw_check('tt_v');
COMMIT;
SELECT count(*) FROM tt;
BEGIN;
INSERT INTO tt SELECT i, vec(i % 20, 8) FROM generate_series(1, 200) i;
SELECT compare('tt');
SELECT * FROM omen_hnsw_check('tt_v');
COMMIT;
CREATE UNLOGGED TABLE u (id int, v vector(8));
CREATE INDEX u_v ON u USING omen_hnsw (v);
INSERT INTO u SELECT i, vec(i % 150, 8) FROM generate_series(1, 300) i;
SELECT compare('u');
SELECT * FROM omen_hnsw_check('u_v');
CREATE TABLE part (id int, v vector(8)) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (100);
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (100) TO (1000);
CREATE INDEX part_v ON part USING omen_hnsw (v);
INSERT INTO part SELECT i, vec(i, 8) FROM generate_series(0, 300) i;
UPDATE part SET id = id + 100 WHERE id BETWEEN 50 AND 120;
SELECT compare('part');
SELECT * FROM omen_hnsw_check('part_1_v_idx') UNION ALL SELECT * FROM omen_hnsw_check('part_2_v_idx');

-- through a trigger and a foreign key, a rule of nobody's statement but its own
CREATE TABLE src (id int PRIMARY KEY, v vector(8));
CREATE INDEX src_v ON src USING omen_hnsw (v);
CREATE TABLE dst (id int REFERENCES src ON UPDATE CASCADE ON DELETE CASCADE, v vector(8));
CREATE INDEX dst_v ON dst USING omen_hnsw (v);
CREATE FUNCTION also() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO hnsw_insert.dst VALUES (new.id, new.v); RETURN NULL; END $$;
CREATE TRIGGER also AFTER INSERT ON src FOR EACH ROW EXECUTE FUNCTION also();
INSERT INTO src SELECT i, vec(i, 8) FROM generate_series(1, 100) i;
UPDATE src SET id = id + 1000 WHERE id <= 10;
DELETE FROM src WHERE id <= 20;
SELECT compare('src'), compare('dst');
SELECT * FROM omen_hnsw_check('src_v') UNION ALL SELECT * FROM omen_hnsw_check('dst_v');

-- concurrent builds: on a table, on an empty one, in place of an old index
CREATE TABLE con (id int, v vector(8));
CREATE INDEX CONCURRENTLY con_v ON con USING omen_hnsw (v);
INSERT INTO con SELECT i, vec(i, 8) FROM generate_series(1, 300) i;
CREATE INDEX CONCURRENTLY con_v2 ON con USING omen_hnsw (v vector_ip_ops) WHERE id > 5;
REINDEX INDEX CONCURRENTLY con_v;
REINDEX TABLE CONCURRENTLY con;
SELECT relname, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE indrelid = 'con'::regclass ORDER BY relname;
INSERT INTO con SELECT i, vec(i, 8) FROM generate_series(301, 400) i;
SELECT compare('con');
SELECT * FROM omen_hnsw_check('con_v') UNION ALL SELECT * FROM omen_hnsw_check('con_v2');
SELECT stat('con_v', 'tids') AS tids, stat('con_v2', 'tids') AS tids2;

DROP SCHEMA hnsw_insert CASCADE;

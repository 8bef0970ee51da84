-- sparsevec: comparison operators and the btree operator class.

-- as the vectors written out compare
SELECT a, b, a < b AS lt, a <= b AS le, a = b AS eq, a <> b AS ne, a >= b AS ge, a > b AS gt, sparsevec_cmp(a, b) AS cmp, vector_cmp(a::vector, b::vector) AS dense
FROM (VALUES ('{1:1,2:2,3:3}/3'::sparsevec, '{1:1,2:2,3:3}/3'::sparsevec), ('{1:1,2:2,3:3}/3', '{1:1,2:2,3:4}/3'), ('{1:1,2:2,3:3}/3', '{1:1,2:2}/2'),
	('{1:1,2:2}/2', '{1:1,2:2,3:3}/3'), ('{1:1,2:2}/2', '{1:1,2:2,3:-3}/3'), ('{1:1,2:2}/3', '{1:1,2:2,3:-3}/3'), ('{1:1,2:2}/2', '{2:9,3:9}/3'), ('{1:1,2:2}/2', '{1:2}/3'),
	('{}/1', '{}/1'), ('{}/1', '{}/2'), ('{}/1', '{1:1}/1'), ('{}/1', '{1:-1}/1'), ('{}/1', '{2:-1}/2'), ('{}/2', '{2:-1}/2'), ('{2:-1}/2', '{}/1'),
	('{1:-1}/2', '{2:-1}/2'), ('{1:1}/2', '{2:1}/2'), ('{3:5}/3', '{3:5,4:-1}/9'), ('{3:5}/4', '{3:5,4:-1}/9'), ('{3:5}/4', '{3:5,5:-1}/9'), ('{3:5}/3', '{4:5}/4'),
	('{3:-5}/3', '{4:5}/4'), ('{1:1e-45}/1', '{}/1'), ('{1:3.4028235e38}/1', '{1:-3.4028235e38}/1'), ('{1:1}/1', NULL)) t(a, b);
SELECT count(*) AS pairs, count(*) FILTER (WHERE sparsevec_cmp(a, b) <> vector_cmp(a::vector, b::vector)) AS wrong
FROM (SELECT ('{' || array_to_string(ARRAY[k % 4 || ':' || k / 4 % 5 - 2, 4 || ':' || k / 20 % 3 - 1], ',') || '}/' || 4 + k / 60 % 2)::sparsevec AS v FROM generate_series(0, 119) k WHERE k % 4 > 0) x(a),
	(SELECT ('{' || array_to_string(ARRAY[k % 4 || ':' || k / 4 % 5 - 2, 4 || ':' || k / 20 % 3 - 1], ',') || '}/' || 4 + k / 60 % 2)::sparsevec AS v FROM generate_series(0, 119) k WHERE k % 4 > 0) y(b);

-- functions behind the operators
SELECT sparsevec_lt('{}/1', '{1:1}/1'), sparsevec_le('{}/1', '{}/1'), sparsevec_eq('{}/1', '{}/1'), sparsevec_ne('{}/1', '{}/1'),
	sparsevec_ge('{}/1', '{1:1}/1'), sparsevec_gt('{1:1}/1', '{}/1');
SELECT oprname, oprcode, oprcom::regoper, oprnegate::regoper, oprrest, oprjoin, oprcanhash, oprcanmerge
FROM pg_operator WHERE oprleft = 'sparsevec'::regtype AND oprresult = 'bool'::regtype ORDER BY oprname::text COLLATE "C";
SELECT opcname, opcdefault, opcintype::regtype, amvalidate(o.oid) FROM pg_opclass o JOIN pg_am ON pg_am.oid = opcmethod
WHERE amname = 'btree' AND opcintype = 'sparsevec'::regtype;

-- an index: equality, ranges, order both ways, NULLs
CREATE TABLE t (val sparsevec(3));
INSERT INTO t (val) VALUES ('{}/3'), ('{1:1,2:2,3:3}/3'), ('{1:1,2:1,3:1}/3'), ('{2:0}/3'), ('{3:-1}/3'), (NULL);
CREATE INDEX t_val ON t (val);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE val = '{1:1,2:2,3:3}/3';
SELECT * FROM t WHERE val = '{3:3,2:2,1:1}/3';
SELECT count(*) FROM t WHERE val = '{}/3';
SELECT * FROM t WHERE val > '{}/3' AND val <= '{1:1,2:2,3:3}/3' ORDER BY val;
EXPLAIN (COSTS OFF) SELECT * FROM t ORDER BY val DESC;
SELECT val FROM t WHERE val <> '{}/3' OR val IS NULL ORDER BY val DESC;
SELECT count(*) FROM t WHERE val = ANY ('{"{}/3","{1:1,2:1,3:1}/3"}'::sparsevec[]);
RESET enable_seqscan;
RESET enable_bitmapscan;
RESET enable_sort;
DROP TABLE t;

-- unique
CREATE TABLE u (val sparsevec PRIMARY KEY);
INSERT INTO u VALUES ('{1:1}/2'), ('{1:1}/1'), ('{1:1}/1000000000');
INSERT INTO u VALUES ('{2:0,1:1}/2');
INSERT INTO u VALUES ('{2:0,1:1}/2') ON CONFLICT DO NOTHING;
SELECT val FROM u ORDER BY val;
DROP TABLE u;

-- grouping, joining, distinct: all by sorting, there is no hash
CREATE TABLE g AS SELECT ARRAY[i % 3, 0, i % 2]::sparsevec AS val, i FROM generate_series(1, 12) i;
SELECT val, count(*), min(i) FROM g GROUP BY val ORDER BY val;
SELECT count(*) FROM g a JOIN g b USING (val);
SELECT count(DISTINCT val) FROM g;
ANALYZE g;
SELECT null_frac, n_distinct FROM pg_stats WHERE tablename = 'g' AND attname = 'val';
DROP TABLE g;

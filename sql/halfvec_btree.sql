-- halfvec: comparison operators and the btree operator class.

SELECT a, b, a < b AS lt, a <= b AS le, a = b AS eq, a <> b AS ne, a >= b AS ge, a > b AS gt, halfvec_cmp(a, b) AS cmp
FROM (VALUES ('[1,2,3]'::halfvec, '[1,2,3]'::halfvec), ('[1,2,3]', '[1,2,4]'), ('[1,2,3]', '[1,2,2]'),
	('[1,2,3]', '[1,2]'), ('[1,2]', '[1,2,3]'), ('[1,2]', '[0,9,9]'), ('[1,2]', '[2,0,0]'),
	('[0]', '[-0]'), ('[-1]', '[1]'), ('[6e-8]', '[0]'), ('[65504]', '[-65504]'),
	('[1]', NULL)) t(a, b);

-- functions behind the operators
SELECT halfvec_lt('[1]', '[2]'), halfvec_le('[1]', '[1]'), halfvec_eq('[1]', '[1]'), halfvec_ne('[1]', '[1]'),
	halfvec_ge('[1]', '[2]'), halfvec_gt('[2]', '[1]');
SELECT oprname, oprcode, oprcom::regoper, oprnegate::regoper, oprrest, oprjoin, oprcanhash, oprcanmerge
FROM pg_operator WHERE oprleft = 'halfvec'::regtype AND oprresult = 'bool'::regtype ORDER BY oprname::text COLLATE "C";
SELECT opcname, opcdefault, opcintype::regtype FROM pg_opclass JOIN pg_am ON pg_am.oid = opcmethod
WHERE amname = 'btree' AND opcintype = 'halfvec'::regtype;
SELECT amvalidate(o.oid) FROM pg_opclass o JOIN pg_am ON pg_am.oid = opcmethod
WHERE amname = 'btree' AND opcintype = 'halfvec'::regtype;

-- an index: equality, ranges, order both ways, NULLs
CREATE TABLE t (val halfvec(3));
INSERT INTO t (val) VALUES ('[0,0,0]'), ('[1,2,3]'), ('[1,1,1]'), ('[-0,0,0]'), (NULL);
CREATE INDEX t_val ON t (val);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE val = '[1,2,3]';
SELECT * FROM t WHERE val = '[1,2,3]';
SELECT count(*) FROM t WHERE val = '[0,0,0]';
SELECT * FROM t WHERE val > '[0,0,0]' AND val <= '[1,2,3]' ORDER BY val;
EXPLAIN (COSTS OFF) SELECT * FROM t ORDER BY val DESC;
SELECT val FROM t WHERE val <> '[0,0,0]' OR val IS NULL ORDER BY val DESC;
SELECT count(*) FROM t WHERE val IS NULL;
SELECT count(*) FROM t WHERE val = ANY ('{"[0,0,0]","[1,1,1]"}'::halfvec[]);
RESET enable_seqscan;
RESET enable_bitmapscan;
RESET enable_sort;
DROP TABLE t;

-- unique; -0 is 0
CREATE TABLE u (val halfvec PRIMARY KEY);
INSERT INTO u VALUES ('[1,0]'), ('[1]'), ('[1,0,0]');
INSERT INTO u VALUES ('[1,-0]');
INSERT INTO u VALUES ('[1,-0]') ON CONFLICT DO NOTHING;
SELECT val FROM u ORDER BY val;
-- a key too large for a btree page
INSERT INTO u VALUES (array_fill(1, ARRAY[6000])::halfvec);
DROP TABLE u;

-- grouping, joining, distinct, union: all by sorting, there is no hash
CREATE TABLE g AS SELECT ARRAY[i % 3, i % 2]::halfvec AS val, i FROM generate_series(1, 12) i;
SELECT val, count(*), min(i) FROM g GROUP BY val ORDER BY val;
SELECT DISTINCT val FROM g WHERE i <= 3 ORDER BY val;
SELECT count(*) FROM g a JOIN g b USING (val);
SELECT val FROM g WHERE i < 3 UNION SELECT val FROM g WHERE i > 11 ORDER BY val;
SELECT count(DISTINCT val) FROM g;
ANALYZE g;
SELECT null_frac, n_distinct FROM pg_stats WHERE tablename = 'g' AND attname = 'val';
DROP TABLE g;

-- toasted values differ in the last element only
CREATE TABLE wide (id int, val halfvec);
INSERT INTO wide SELECT k, array_cat(array_fill(0.5, ARRAY[5999]), ARRAY[k::numeric])::halfvec FROM generate_series(1, 4) k;
INSERT INTO wide SELECT id + 4, val FROM wide;
SELECT array_agg(id ORDER BY val, id) FROM wide;
SELECT a.id, b.id FROM wide a JOIN wide b ON a.val = b.val AND a.id < b.id ORDER BY 1;
SELECT a.id, array_agg(b.id ORDER BY b.id) FROM wide a JOIN wide b ON a.val < b.val AND b.id < 5 WHERE a.id < 5 GROUP BY a.id ORDER BY 1;
DROP TABLE wide;

-- sparsevec: text, binary, type modifier, functions, operators.

SELECT typlen, typbyval, typalign, typstorage, typcategory FROM pg_type WHERE oid = 'sparsevec'::regtype;
SELECT proname FROM pg_proc
WHERE proname LIKE '%sparsevec%' AND pronamespace = 'public'::regnamespace
	AND NOT ('internal'::regtype = ANY (proargtypes::oid[]) AND prorettype = 'internal'::regtype)
	AND NOT (provolatile = 'i' AND proisstrict AND proparallel = 's');

-- text
SELECT '{1:1.5,3:3.5}/5'::sparsevec, '{1:-2,3:-4}/5'::sparsevec, '{}/5'::sparsevec, '{}/1'::sparsevec;
SELECT E' \t\n\r\x0b\f{ \t\n\r\x0b\f1 \t\n\r\x0b\f: \t\n\r\x0b\f1.5 \t\n\r\x0b\f,\t2\t:\t3 } \n/ \t5 \n'::sparsevec, ' { } / 1 '::sparsevec;
SELECT '{1:2.,3:.5,4:+2.5,5:-.25}/5'::sparsevec;
SELECT '{+1:1,0002:2}/+0003'::sparsevec, '{00000000000000000000000000003:1}/0000000000000000000000000000000005'::sparsevec;
-- any order; zeros are not kept, and may be anywhere
SELECT '{3:3,1:1,2:2}/3'::sparsevec, '{9:1,1:0,8:2,2:0,7:3}/9'::sparsevec, '{5:1,4:2,3:3,2:4,1:5}/5'::sparsevec;
SELECT '{1:0,2:1,3:-0,4:0e5}/4'::sparsevec, '{1:0,1:0,9:0,-3:0,0:0}/3'::sparsevec, '{2:1,2:0}/3'::sparsevec;
SELECT '{1:1.23456,2:123456.789,3:0.1,4:1e10,5:1e-10,6:16777217}/6'::sparsevec;
SELECT '{1:1e2,2:1E2,3:1e+2,4:1e-2,5:1.5e+38,6:-1.5e-38,7:0x10,8:0x1p-3}/8'::sparsevec;
-- limits: of float4, of the indices
SELECT '{1:3.4028235e38,2:-3.4028235e38,3:3.40282356e38,4:1.1754944e-38,5:1.17549421e-38,6:1.4e-45,7:-1.4e-45,8:7.1e-46}/8'::sparsevec;
SELECT '{1000000000:1,999999999:2,1:3}/1000000000'::sparsevec, '{}/1000000000'::sparsevec;
-- what is written reads back equal
SELECT count(*) FROM generate_series(1, 2000) i,
	LATERAL (SELECT format('{%s:%s,%s:%s,%s:%s}/1000000000', i * 499999, sin(i), i, i / 7.0, i * 499 + 10000, exp(i % 80))::sparsevec AS v) s
WHERE v <> v::text::sparsevec OR l2_norm(v) = 0 OR sparsevec_send(v) <> sparsevec_send(v::text::sparsevec);
-- as many elements as there may be
SELECT length(v::text), v = v::text::sparsevec, length(sparsevec_send(v)), l2_norm(v) ^ 2
FROM (SELECT ('{' || string_agg(i || ':1', ',' ORDER BY i DESC) || '}/16000')::sparsevec AS v FROM generate_series(1, 16000) i) s;

-- type modifier
SELECT '{}/3'::sparsevec(3), '{}/1000000000'::sparsevec(1000000000);
SELECT '{}/3'::sparsevec(2);
SELECT '{"{1:1,3:3}/3"}'::sparsevec(3)[];
SELECT '{"{1:1,3:3}/3"}'::sparsevec(2)[];
SELECT unnest('{"{1:1,2:2}/3", "{}/4"}'::sparsevec[]);
CREATE TABLE typed (val sparsevec(3), any_val sparsevec, max_val sparsevec(1000000000));
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = 'typed'::regclass AND attnum > 0 ORDER BY attnum;
INSERT INTO typed (val) VALUES ('{}/2');
INSERT INTO typed (val) SELECT '{}/2'::sparsevec;
INSERT INTO typed (any_val) VALUES ('{}/1'), ('{2:1}/2'), (NULL);
ALTER TABLE typed ALTER any_val TYPE sparsevec(2);
DELETE FROM typed WHERE any_val = '{}/1';
ALTER TABLE typed ALTER any_val TYPE sparsevec(2);
SELECT any_val FROM typed ORDER BY any_val;
DROP TABLE typed;

-- binary: indices from 0
SELECT sparsevec_send('{1:1,3:-2}/5'), sparsevec_send('{}/1000000000'), sparsevec_send('{2:1e-45,1:3.4028235e38}/2');
CREATE TABLE sent (id int, val sparsevec);
INSERT INTO sent VALUES (1, '{1:1,3:2}/3'), (2, '{1:1e-45,1000000000:-3.4028235e38}/1000000000'), (3, NULL), (4, '{}/7'),
	(5, array_fill(0.1, ARRAY[16000])::sparsevec);
\copy sent TO 'results/sparsevec_type.bin' WITH (FORMAT binary)
CREATE TABLE received (id int, val sparsevec);
\copy received FROM 'results/sparsevec_type.bin' WITH (FORMAT binary)
SELECT s.id, sparsevec_send(s.val) IS NOT DISTINCT FROM sparsevec_send(r.val) AS same
FROM sent s JOIN received r USING (id) ORDER BY id;
DROP TABLE sent, received;

-- norm
SELECT l2_norm('{1:3,2:4}/2'::sparsevec), l2_norm('{}/2'::sparsevec), l2_norm('{7:-2}/9'::sparsevec), l2_norm('{1:1,2:1,3:1,4:1,5:1,6:1,7:1,8:1,9:1}/9'::sparsevec);
SELECT l2_norm('{1:3e37,2:4e37}/2'::sparsevec)::real, l2_norm('{1:3e-45,2:4e-45}/2'::sparsevec)::real, l2_norm('{1:3.4e38,2:3.4e38}/2'::sparsevec) > 4.8e38;
SELECT l2_norm(NULL::sparsevec);

-- l2_normalize: elements that become 0 go
SELECT l2_normalize('{1:3,2:4}/2'::sparsevec), l2_normalize('{2:-2}/2'::sparsevec), l2_normalize('{}/2'::sparsevec);
SELECT l2_normalize('{1:3e38}/1'::sparsevec), l2_normalize('{1:3e38,2:1e-37}/2'::sparsevec), l2_normalize('{1:1e-45}/1'::sparsevec);
SELECT l2_normalize('{2:3e37,4:3e-37,6:4e37,8:4e-37}/9'::sparsevec), l2_normalize('{1:1e-37,1000000000:3e38}/1000000000'::sparsevec);

-- l2_distance
SELECT l2_distance('{}/2'::sparsevec, '{1:3,2:4}/2'), l2_distance('{1:3}/2'::sparsevec, '{2:4}/2'), l2_distance('{2:4}/2'::sparsevec, '{1:3}/2'),
	l2_distance('{1:3,2:4}/2'::sparsevec, '{}/2'), l2_distance('{}/2'::sparsevec, '{}/2');
SELECT l2_distance('{1:3e38}/1'::sparsevec, '{1:-3e38}/1'), l2_distance('{1:1e-45}/1'::sparsevec, '{}/1'), l2_distance('{1:3e38}/2'::sparsevec, '{2:1}/2');
SELECT sparsevec_l2_squared_distance('{}/2', '{1:3,2:4}/2'), sparsevec_l2_squared_distance('{1:3e38}/1', '{1:-3e38}/1');
SELECT '{}/2'::sparsevec <-> '{1:3,2:4}/2', pg_typeof('{}/2'::sparsevec <-> '{1:3,2:4}/2');

-- inner_product
SELECT inner_product('{1:1,2:2}/2'::sparsevec, '{1:2,2:4}/2'), inner_product('{1:1,3:3}/4'::sparsevec, '{2:2,4:4}/4'),
	inner_product('{1:1,3:3,5:5}/5'::sparsevec, '{2:4,3:6,4:8}/5'), inner_product('{1:1}/2'::sparsevec, '{}/2');
SELECT inner_product('{1:3e38}/1'::sparsevec, '{1:3e38}/1'), inner_product('{1:3e38}/1'::sparsevec, '{1:-3e38}/1');
SELECT sparsevec_negative_inner_product('{1:1,2:2}/2', '{1:3,2:4}/2'), '{1:1,2:2}/2'::sparsevec <#> '{1:3,2:4}/2';

-- cosine_distance: NaN when an argument has no direction, or one too long to tell
SELECT cosine_distance('{1:1,2:2}/2'::sparsevec, '{1:2,2:4}/2'), cosine_distance('{1:1}/2'::sparsevec, '{2:2}/2'), cosine_distance('{1:1,2:1}/2'::sparsevec, '{1:-1,2:-1}/2');
SELECT cosine_distance('{1:1,2:2}/2'::sparsevec, '{}/2'), cosine_distance('{}/1'::sparsevec, '{}/1'), cosine_distance('{1:3e38}/1'::sparsevec, '{1:3e38}/1'),
	cosine_distance('{1:1e-45}/1'::sparsevec, '{1:1e-45}/1');
SELECT '{1:1,2:2}/2'::sparsevec <=> '{1:2,2:4}/2';
-- it never leaves [0, 2], whatever rounding does
SELECT count(*) FROM generate_series(1, 1000) i,
	LATERAL (SELECT ARRAY[sin(i), 0, cos(3 * i), sin(7 * i)]::sparsevec AS v, ARRAY[-3 * sin(i), 0, -3 * cos(3 * i), -3 * sin(7 * i)]::sparsevec AS w) s
WHERE NOT (v <=> v BETWEEN 0 AND 1e-6) OR NOT (v <=> w BETWEEN 2 - 1e-6 AND 2);

-- l1_distance
SELECT l1_distance('{}/2'::sparsevec, '{1:3,2:4}/2'), l1_distance('{}/2'::sparsevec, '{2:-1}/2'), l1_distance('{1:3e38}/1'::sparsevec, '{1:-3e38}/1');
SELECT l1_distance('{1:1,3:3,5:5,7:7}/8'::sparsevec, '{2:2,4:4,6:6,8:8}/8'), l1_distance('{1:1,3:3,5:5,7:7,9:9}/9'::sparsevec, '{2:2,4:4,6:6,8:8}/9');
SELECT '{}/2'::sparsevec <+> '{1:3,2:4}/2';

-- different dimensions
SELECT l2_distance('{}/2'::sparsevec, '{}/3');
SELECT sparsevec_l2_squared_distance('{}/3'::sparsevec, '{}/2');
SELECT inner_product('{1:1,2:2}/2'::sparsevec, '{1:3}/1');
SELECT '{}/2'::sparsevec <#> '{}/1000000000';
SELECT cosine_distance('{1:1,2:2}/2'::sparsevec, '{1:3}/1');
SELECT l1_distance('{1:1,2:2}/2'::sparsevec, '{1:3}/1');

-- the same as of the vectors written out, for every number of elements up to 80 and every density;
-- small integers, so that sums are exact
SELECT count(*) AS pairs, count(*) FILTER (WHERE l2_distance(x, y) <> l2_distance(a, b) OR x <-> y <> y <-> x
	OR inner_product(x, y) <> inner_product(a, b) OR x <#> y <> -inner_product(a, b) OR l1_distance(x, y) <> l1_distance(a, b)
	OR sparsevec_l2_squared_distance(x, y) <> vector_l2_squared_distance(a, b)
	OR (x <=> y) IS DISTINCT FROM (a <=> b) AND abs((x <=> y) - (a <=> b)) > 1e-6
	OR abs(l2_norm(x) - vector_norm(a)) > 1e-12 * vector_norm(a) OR x::vector <> a OR sparsevec_cmp(x, y) <> vector_cmp(a, b)) AS wrong
FROM (SELECT a, b, a::sparsevec AS x, b::sparsevec AS y FROM (
	SELECT array_agg(CASE WHEN hashint4(i * 977 + n * 3 + k) % (k + 1) = 0 THEN hashint4(i + n) % 9 ELSE 0 END ORDER BY i)::vector AS a,
		array_agg(CASE WHEN hashint4(i * 991 + n * 7 + k + 5) % (6 - k) = 0 THEN hashint4(i - n) % 9 ELSE 0 END ORDER BY i)::vector AS b
	FROM generate_series(1, 80) n, generate_series(0, 5) k, generate_series(1, n * 2) i GROUP BY n, k) v) s;
-- far apart, interleaved, the same
SELECT l2_distance(a, b) ^ 2, l1_distance(a, b), inner_product(a, b), inner_product(a, c), l1_distance(a, c), l1_distance(c, a), l2_distance(a, a)
FROM (SELECT ('{' || string_agg(i || ':1', ',') || '}/1000000')::sparsevec AS a,
	('{' || string_agg(i + 500000 || ':2', ',') || '}/1000000')::sparsevec AS b,
	('{' || string_agg(i * 2 || ':3', ',') || '}/1000000')::sparsevec AS c FROM generate_series(1, 1000) i) s;

-- NULL gives NULL
SELECT l2_distance(NULL::sparsevec, '{}/1'), '{}/1'::sparsevec <=> NULL, l2_normalize(NULL::sparsevec), sparsevec_cmp(NULL, NULL);

-- the commutator serves constants on the left
SELECT oprname, oprcom = oid AS self_commutator, oprrest, oprjoin FROM pg_operator
WHERE oprleft = 'sparsevec'::regtype AND oprname IN ('<->', '<#>', '<=>', '<+>') ORDER BY oprname::text COLLATE "C";

-- values with a short header, inline, and out of line
CREATE TABLE toasted (id int, val sparsevec);
INSERT INTO toasted SELECT n, ('{' || string_agg(i * 3 || ':' || i % 9 + 1, ',') || '}/50000')::sparsevec
FROM (VALUES (1), (13), (14), (15), (240), (260), (1500), (16000)) t(n), generate_series(1, n) i GROUP BY n;
INSERT INTO toasted VALUES (0, '{}/50000');
SELECT id, pg_column_size(val) AS stored, (val <-> val) = 0 AS l2, id = 0 OR (val <=> val) < 1e-6 AS cosine, (val <+> val) = 0 AS l1,
	inner_product(val, val) = round(l2_norm(val) ^ 2) AS ip, val = val::text::sparsevec AS text, length(sparsevec_send(val)) = 12 + 8 * id AS send,
	id = 0 OR abs(l2_norm(l2_normalize(val)) - 1) < 1e-6 AS normalized, val::sparsevec(50000) = val AS same
FROM toasted ORDER BY id;
SELECT count(*) FROM toasted a, toasted b WHERE sparsevec_cmp(a.val, b.val) <> -sparsevec_cmp(b.val, a.val) OR (a.val <-> b.val) <> (b.val <-> a.val);
-- stored out of line, and never compressed
SELECT reltoastrelid <> 0 AND pg_relation_size(reltoastrelid) > (1500 + 16000) * 8 AS out_of_line
FROM pg_class WHERE oid = 'toasted'::regclass;
DROP TABLE toasted;

-- halfvec: text, binary, type modifier, functions, operators.

SELECT typlen, typbyval, typalign, typstorage, typcategory FROM pg_type WHERE oid = 'halfvec'::regtype;
SELECT proname FROM pg_proc
WHERE 'halfvec'::regtype = ANY (proargtypes::oid[] || prorettype)
	AND prokind = 'f' AND NOT (provolatile = 'i' AND proisstrict AND proparallel = 's');

-- text
SELECT '[1,2,3]'::halfvec;
SELECT '[-1,-2,-3]'::halfvec;
SELECT '[1.,.5,+2.5,-.25]'::halfvec;
SELECT E' \t\n\r\x0b\f[ \t\n\r\x0b\f1 \t\n\r\x0b\f,\t2 ] \n'::halfvec;
SELECT '[0,-0,0.0,-0.0e5]'::halfvec;
SELECT '[1.23456,12345.6789,0.1,1e4,1e-4,2049]'::halfvec;
SELECT '[1e2,1E2,1e+2,1e-2,1.5e+4,-1.5e-4,0x10,0x1p-3]'::halfvec;
-- the largest half; a little more still rounds to it
SELECT '[65504,-65504,65519.99]'::halfvec;
-- the smallest normal one, the largest and the smallest denormal one, and what rounds to 0
SELECT '[6.1035156e-05,6.097555e-05,5.9604645e-08,-5.9604645e-08]'::halfvec;
SELECT '[2.9802326e-08,2.9802322e-08,-1e-8,1e-46,-1e-400]'::halfvec;
-- numbers halfway between two halves go to the even one; just beside go to the nearest
SELECT '[2049,2051,2049.0002,2048.9998,1.00048828125,1.0004884,1.0014648]'::halfvec;
-- what is written reads back equal: all finite halves
SELECT count(*), count(*) FILTER (WHERE h::text::halfvec = h) AS text, count(*) FILTER (WHERE h::real[]::halfvec = h) AS array,
	count(*) FILTER (WHERE h::vector::halfvec = h) AS vector, count(*) FILTER (WHERE substr(halfvec_send(h), 5) = b) AS send
FROM (SELECT set_byte(set_byte('\x0000', 0, i & 255), 1, i >> 8) AS raw, set_byte(set_byte('\x0000', 0, i >> 8), 1, i & 255) AS b
	FROM generate_series(0, 65535) i WHERE i & 31744 <> 31744) s, LATERAL (SELECT raw::halfvec AS h) t;
SELECT vector_dims(('[' || repeat('1 , ', 15999) || '2]')::halfvec);
SELECT vector_dims(array_fill(1, ARRAY[16000])::halfvec::text::halfvec);

-- type modifier
SELECT '[1,2,3]'::halfvec(3);
SELECT '[1,2,3]'::halfvec(2);
SELECT '{"[1,2,3]"}'::halfvec(3)[];
SELECT '{"[1,2,3]"}'::halfvec(2)[];
SELECT unnest('{"[1,2,3]", "[4,5,6]"}'::halfvec[]);
CREATE TABLE typed (val halfvec(3), any_val halfvec, max_val halfvec(16000));
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = 'typed'::regclass AND attnum > 0 ORDER BY attnum;
INSERT INTO typed (val) VALUES ('[1,2]');
INSERT INTO typed (val) SELECT '[1,2]'::halfvec;
INSERT INTO typed (val) SELECT '[1,2]'::vector;
INSERT INTO typed (val) SELECT '[1,2,3]'::vector;
INSERT INTO typed (any_val) VALUES ('[1]'), ('[1,2]'), (NULL);
ALTER TABLE typed ALTER any_val TYPE halfvec(2);
DELETE FROM typed WHERE vector_dims(any_val) = 1;
ALTER TABLE typed ALTER any_val TYPE halfvec(2);
ALTER TABLE typed ALTER any_val TYPE vector(2);
SELECT any_val, pg_typeof(any_val) FROM typed ORDER BY any_val;
DROP TABLE typed;

-- binary
SELECT halfvec_send('[1,-2,0.5]');
SELECT halfvec_send('[-0,5.9604645e-08,65504]');
CREATE TABLE sent (id int, val halfvec);
INSERT INTO sent VALUES (1, '[1,2,3]'), (2, '[-0,6e-8,-65504]'), (3, NULL),
	(4, array_fill(0.1, ARRAY[16000])::halfvec);
\copy sent TO 'results/halfvec_type.bin' WITH (FORMAT binary)
CREATE TABLE received (id int, val halfvec);
\copy received FROM 'results/halfvec_type.bin' WITH (FORMAT binary)
SELECT s.id, halfvec_send(s.val) IS NOT DISTINCT FROM halfvec_send(r.val) AS same
FROM sent s JOIN received r USING (id) ORDER BY id;
DROP TABLE sent, received;

-- dimensions and norm
SELECT vector_dims('[1,2,3]'::halfvec);
SELECT l2_norm('[3,4]'::halfvec), l2_norm('[0,0]'::halfvec), l2_norm('[-2]'::halfvec), l2_norm('[1,1,1,1,1,1,1,1,1]'::halfvec);
SELECT l2_norm('[65504,65504]'::halfvec)::real, l2_norm('[6e-8,6e-8]'::halfvec)::real, l2_norm(NULL::halfvec);
SELECT l2_norm(array_fill(2, ARRAY[16000])::halfvec) = 2 * sqrt(16000);

-- l2_normalize
SELECT l2_normalize('[3,4]'::halfvec), l2_normalize('[0,-2]'::halfvec), l2_normalize('[0,0]'::halfvec), l2_normalize('[-0]'::halfvec);
SELECT l2_normalize('[65504]'::halfvec), l2_normalize('[65504,0,-6]'::halfvec), l2_normalize('[6e-8]'::halfvec);

-- l2_distance
SELECT l2_distance('[0,0]'::halfvec, '[3,4]'::halfvec);
SELECT l2_distance('[1,1,1,1,1,1,1,1,1]'::halfvec, '[1,1,1,1,1,1,1,4,5]'::halfvec);
SELECT l2_distance('[65504]'::halfvec, '[-65504]'::halfvec), l2_distance('[5.9604645e-08]'::halfvec, '[0]'::halfvec)::real;
SELECT halfvec_l2_squared_distance('[0,0]', '[3,4]');
SELECT '[0,0]'::halfvec <-> '[3,4]', pg_typeof('[0,0]'::halfvec <-> '[3,4]');
SELECT l2_distance('[1,2]'::halfvec, '[3]'::halfvec);

-- inner_product
SELECT inner_product('[1,2]'::halfvec, '[3,4]'::halfvec);
SELECT inner_product('[65504]'::halfvec, '[65504]'::halfvec), inner_product(array_fill(65504, ARRAY[16000])::halfvec, array_fill(-65504, ARRAY[16000])::halfvec) < -6.8e13;
SELECT halfvec_negative_inner_product('[1,2]', '[3,4]'), '[1,2]'::halfvec <#> '[3,4]';
SELECT '[1,2]'::halfvec <#> '[3]';

-- cosine_distance: NaN when an argument has no direction
SELECT cosine_distance('[1,2]'::halfvec, '[2,4]'::halfvec), cosine_distance('[1,0]'::halfvec, '[0,2]'::halfvec),
	cosine_distance('[1,1]'::halfvec, '[-1,-1]'::halfvec);
SELECT cosine_distance('[1,2]'::halfvec, '[0,0]'::halfvec), cosine_distance('[0]'::halfvec, '[0]'::halfvec),
	cosine_distance('[65504]'::halfvec, '[65504]'::halfvec), cosine_distance('[5.9604645e-08]'::halfvec, '[5.9604645e-08]'::halfvec);
SELECT '[1,2]'::halfvec <=> '[2,4]';
SELECT cosine_distance('[1,2]'::halfvec, '[3]'::halfvec);
-- it never leaves [0, 2], whatever rounding does
SELECT count(*) FROM generate_series(1, 1000) i,
	LATERAL (SELECT ARRAY[sin(i), cos(3 * i), sin(7 * i)]::halfvec AS v, ARRAY[-4 * sin(i), -4 * cos(3 * i), -4 * sin(7 * i)]::halfvec AS w) s
WHERE NOT (v <=> v BETWEEN 0 AND 1e-6) OR NOT (v <=> w BETWEEN 2 - 1e-6 AND 2);

-- l1_distance
SELECT l1_distance('[0,0]'::halfvec, '[3,4]'::halfvec), l1_distance('[0,0]'::halfvec, '[0,-1]'::halfvec);
SELECT '[0,0]'::halfvec <+> '[3,4]', l1_distance('[65504]'::halfvec, '[-65504]'::halfvec);
SELECT l1_distance('[1,2]'::halfvec, '[3]'::halfvec);

-- every length up to 200, so that every tail of a kernel is met; small integers, so that sums are exact
SELECT count(*) AS wrong FROM (
	SELECT n, array_agg(i * 7 % 11 - 5 ORDER BY i)::halfvec AS a, array_agg(i * 5 % 13 - 6 ORDER BY i)::halfvec AS b,
		sum(power((i * 7 % 11 - 5) - (i * 5 % 13 - 6), 2)) AS l2, sum((i * 7 % 11 - 5) * (i * 5 % 13 - 6)) AS ip,
		sum(abs((i * 7 % 11 - 5) - (i * 5 % 13 - 6))) AS l1,
		sum(power(i * 7 % 11 - 5, 2)) AS aa, sum(power(i * 5 % 13 - 6, 2)) AS bb
	FROM generate_series(1, 200) n, generate_series(1, n) i GROUP BY n) s
WHERE vector_dims(a) <> n OR halfvec_l2_squared_distance(a, b) <> l2 OR inner_product(a, b) <> ip
	OR l1_distance(a, b) <> l1 OR a <-> b <> sqrt(l2) OR a <#> b <> -ip
	OR abs((a <=> b) - (1 - ip / sqrt(aa * bb))) > 1e-12 OR abs(l2_norm(a) - sqrt(aa)) > 1e-12;
-- the same as of vectors with the same elements
SELECT count(*) AS different FROM (
	SELECT n, array_agg(sin(i * n) ORDER BY i)::halfvec AS a, array_agg(100 * cos(i + n) ORDER BY i)::halfvec AS b
	FROM generate_series(1, 300, 7) n, generate_series(1, n) i GROUP BY n) s
WHERE abs((a <-> b) / (a::vector <-> b::vector) - 1) > 1e-6 OR abs((a <+> b) / (a::vector <+> b::vector) - 1) > 1e-6
	OR abs((a <#> b) - (a::vector <#> b::vector)) > 1e-4 * n OR abs((a <=> b) - (a::vector <=> b::vector)) > 1e-6;

-- NULL gives NULL
SELECT l2_distance(NULL::halfvec, '[1]'), '[1]'::halfvec <=> NULL, vector_dims(NULL::halfvec), l2_normalize(NULL::halfvec);

SELECT oprname, oprcom = oid AS self_commutator, oprrest, oprjoin FROM pg_operator
WHERE oprleft = 'halfvec'::regtype AND oprname IN ('<->', '<#>', '<=>', '<+>') ORDER BY oprname::text COLLATE "C";

-- values with a short header, inline, and out of line
CREATE TABLE toasted (id int, val halfvec);
INSERT INTO toasted SELECT n, array_agg(i % 10 ORDER BY i)::halfvec
FROM (VALUES (3), (59), (60), (61), (500), (3000), (16000)) t(n), generate_series(1, n) i GROUP BY n;
SELECT id, pg_column_size(val) AS stored, vector_dims(val), (val <-> val) = 0 AS l2, (val <=> val) < 1e-6 AS cosine,
	(val <+> val) = 0 AS l1, inner_product(val, val) = round(l2_norm(val) * l2_norm(val)) AS ip,
	length(val::text) = 2 * id + 1 AS text, length(halfvec_send(val)) = 4 + 2 * id AS send,
	val = val::real[]::halfvec AS cast, vector_dims(l2_normalize(val)) AS normalized, vector_dims(val::vector) AS widened,
	vector_dims(subvector(val, 2, id)) AS sub, length(binary_quantize(val)) AS bits, vector_dims(val + val) AS sum
FROM toasted ORDER BY id;
-- stored out of line, and never compressed
SELECT reltoastrelid <> 0 AND pg_relation_size(reltoastrelid) > 3000 * 2 + 16000 * 2 AS out_of_line
FROM pg_class WHERE oid = 'toasted'::regclass;
DROP TABLE toasted;

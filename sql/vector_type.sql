-- vector: text, binary, type modifier, functions, operators.

-- the extension: library and script agree, every object is explained
SELECT omendb_version() = extversion AS same_version FROM pg_extension WHERE extname = 'omendb';
SELECT omendb_isa() IS NOT NULL AS has_kernels;
SELECT pg_describe_object(classid, objid, objsubid) AS without_comment
FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'omendb')
	AND obj_description(objid, classid::regclass::name) IS NULL;
SELECT typlen, typbyval, typalign, typstorage, typcategory FROM pg_type WHERE oid = 'vector'::regtype;
SELECT proname FROM pg_proc
WHERE proname LIKE '%vector%' AND pronamespace = 'public'::regnamespace
	AND NOT ('internal'::regtype = ANY (proargtypes::oid[]) AND prorettype = 'internal'::regtype)
	AND NOT (provolatile = 'i' AND proisstrict AND proparallel = 's');

-- text
SELECT '[1,2,3]'::vector;
SELECT '[-1,-2,-3]'::vector;
SELECT '[1.,.5,+2.5,-.25]'::vector;
SELECT E' \t\n\r\x0b\f[ \t\n\r\x0b\f1 \t\n\r\x0b\f,\t2 ] \n'::vector;
SELECT '[0,-0,0.0,-0.0e5]'::vector;
SELECT '[1.23456,123456.789,0.1,1e10,1e-10,16777217]'::vector;
SELECT '[1e2,1E2,1e+2,1e-2,1.5e+38,-1.5e-38]'::vector;
SELECT '[0x10,0x1p-3]'::vector;
-- the largest and the smallest float4; a little more still rounds to the largest
SELECT '[3.4028235e38,-3.4028235e38,3.40282356e38]'::vector;
SELECT '[1.1754944e-38,1.17549421e-38,1.4e-45,-1.4e-45]'::vector;
SELECT '[7.1e-46,7e-46,1e-46,-1e-46,1e-400]'::vector;
-- numbers halfway between two float4 go to the even one; just beside go to the nearest
SELECT '[16777217,16777219,16777217.00000000000001,16777216.99999999999999]'::vector;
SELECT '[1.000000059604644775390625,1.0000000596046447753906251,1.0000000596046447753906249]'::vector;
SELECT '[9007199254740993,12345678901234567890123,0.00000000000000000000000012345678]'::vector;
-- what is written reads back equal
SELECT count(*) FROM generate_series(1, 2000) i,
	LATERAL (SELECT ARRAY[sin(i), exp(i % 80), -exp(-(i % 80)), i / 7.0, 1e7 * i]::vector AS v) s
WHERE v <> v::text::vector OR v::real[] <> ARRAY[sin(i), exp(i % 80), -exp(-(i % 80)), i / 7.0, 1e7 * i]::real[];
-- white space within a literal of many elements, and the limit
SELECT vector_dims(('[' || repeat('1 , ', 15999) || '2]')::vector);
SELECT vector_dims(array_fill(1, ARRAY[16000])::vector::text::vector);

-- type modifier
SELECT '[1,2,3]'::vector(3);
SELECT '[1,2,3]'::vector(2);
SELECT '{"[1,2,3]"}'::vector(3)[];
SELECT '{"[1,2,3]"}'::vector(2)[];
SELECT unnest('{"[1,2,3]", "[4,5,6]"}'::vector[]);
CREATE TABLE typed (val vector(3), any_val vector, max_val vector(16000));
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = 'typed'::regclass AND attnum > 0 ORDER BY attnum;
INSERT INTO typed (val) VALUES ('[1,2]');
INSERT INTO typed (val) SELECT '[1,2]'::vector;
INSERT INTO typed (any_val) VALUES ('[1]'), ('[1,2]'), (NULL);
ALTER TABLE typed ALTER any_val TYPE vector(2);
DELETE FROM typed WHERE vector_dims(any_val) = 1;
ALTER TABLE typed ALTER any_val TYPE vector(2);
SELECT any_val FROM typed ORDER BY any_val;
DROP TABLE typed;

-- binary
SELECT vector_send('[1,-2,0.5]');
SELECT vector_send('[-0,1e-45,3.4028235e38]');
CREATE TABLE sent (id int, val vector);
INSERT INTO sent VALUES (1, '[1,2,3]'), (2, '[-0,1e-45,-3.4028235e38]'), (3, NULL),
	(4, array_fill(0.1, ARRAY[16000])::vector);
\copy sent TO 'results/vector_type.bin' WITH (FORMAT binary)
CREATE TABLE received (id int, val vector);
\copy received FROM 'results/vector_type.bin' WITH (FORMAT binary)
SELECT s.id, vector_send(s.val) IS NOT DISTINCT FROM vector_send(r.val) AS same
FROM sent s JOIN received r USING (id) ORDER BY id;
DROP TABLE sent, received;

-- dimensions and norm
SELECT vector_dims('[1,2,3]'::vector);
SELECT vector_norm('[3,4]'), vector_norm('[0,0]'), vector_norm('[-2]'), vector_norm('[1,1,1,1,1,1,1,1,1]');
SELECT vector_norm('[3e37,4e37]')::real, vector_norm('[3e-45,4e-45]')::real, vector_norm('[3.4e38,3.4e38]') > 4.8e38;
SELECT vector_norm(NULL::vector);

-- l2_normalize
SELECT l2_normalize('[3,4]'::vector), l2_normalize('[0,-2]'::vector), l2_normalize('[0,0]'::vector), l2_normalize('[-0]'::vector);
SELECT l2_normalize('[3e38]'::vector), l2_normalize('[3e38,0,-4e37]'::vector), l2_normalize('[1e-45]'::vector);
SELECT round(vector_norm(l2_normalize(array_fill(0.1, ARRAY[1000])::vector))::numeric, 5);

-- l2_distance
SELECT l2_distance('[0,0]'::vector, '[3,4]');
SELECT l2_distance('[1,1,1,1,1,1,1,1,1]'::vector, '[1,1,1,1,1,1,1,4,5]');
SELECT l2_distance('[3e38]'::vector, '[-3e38]'), l2_distance('[1e-45]'::vector, '[0]');
SELECT vector_l2_squared_distance('[0,0]', '[3,4]'), vector_l2_squared_distance('[3e38]', '[-3e38]');
SELECT '[0,0]'::vector <-> '[3,4]', pg_typeof('[0,0]'::vector <-> '[3,4]');
SELECT l2_distance('[1,2]'::vector, '[3]');
SELECT vector_l2_squared_distance('[1,2]'::vector, '[3]');

-- inner_product
SELECT inner_product('[1,2]'::vector, '[3,4]');
SELECT inner_product('[1,1,1,1,1,1,1,1,1]'::vector, '[1,2,3,4,5,6,7,8,9]');
SELECT inner_product('[3e38]'::vector, '[3e38]'), inner_product('[3e38]'::vector, '[-3e38]');
SELECT vector_negative_inner_product('[1,2]', '[3,4]'), '[1,2]'::vector <#> '[3,4]';
SELECT inner_product('[1,2]'::vector, '[3]');
SELECT '[1,2]'::vector <#> '[3]';

-- cosine_distance: NaN when an argument has no direction, or one too long to tell
SELECT cosine_distance('[1,2]'::vector, '[2,4]'), cosine_distance('[1,0]'::vector, '[0,2]'),
	cosine_distance('[1,1]'::vector, '[-1,-1]');
SELECT round(cosine_distance('[1,1]'::vector, '[1.1,1.1]')::numeric, 6), round(cosine_distance('[1,1]'::vector, '[-1.1,-1.1]')::numeric, 6);
SELECT cosine_distance('[1,2]'::vector, '[0,0]'), cosine_distance('[0]'::vector, '[0]'),
	cosine_distance('[3e38]'::vector, '[3e38]'), cosine_distance('[1e-45]'::vector, '[1e-45]');
SELECT cosine_distance('[1,2,3,4,5,6,7,8,9]'::vector, '[1,2,3,4,5,6,7,8,9]'),
	cosine_distance('[1,2,3,4,5,6,7,8,9]'::vector, '[-1,-2,-3,-4,-5,-6,-7,-8,-9]');
SELECT '[1,2]'::vector <=> '[2,4]';
SELECT cosine_distance('[1,2]'::vector, '[3]');
-- it never leaves [0, 2], whatever rounding does
SELECT count(*) FROM generate_series(1, 1000) i,
	LATERAL (SELECT ARRAY[sin(i), cos(3 * i), sin(7 * i)]::vector AS v, ARRAY[-3 * sin(i), -3 * cos(3 * i), -3 * sin(7 * i)]::vector AS w) s
WHERE NOT (v <=> v BETWEEN 0 AND 1e-6) OR NOT (v <=> w BETWEEN 2 - 1e-6 AND 2);

-- l1_distance
SELECT l1_distance('[0,0]'::vector, '[3,4]'), l1_distance('[0,0]'::vector, '[0,-1]');
SELECT l1_distance('[1,2,3,4,5,6,7,8,9]'::vector, '[0,3,2,5,4,7,6,9,8]');
SELECT l1_distance('[3e38]'::vector, '[-3e38]');
SELECT '[0,0]'::vector <+> '[3,4]';
SELECT l1_distance('[1,2]'::vector, '[3]');

-- every length up to 200, so that every tail of a kernel is met; small integers, so that sums are exact
SELECT count(*) AS wrong FROM (
	SELECT n, array_agg(i * 7 % 11 - 5 ORDER BY i)::vector AS a, array_agg(i * 5 % 13 - 6 ORDER BY i)::vector AS b,
		sum(power((i * 7 % 11 - 5) - (i * 5 % 13 - 6), 2)) AS l2, sum((i * 7 % 11 - 5) * (i * 5 % 13 - 6)) AS ip,
		sum(abs((i * 7 % 11 - 5) - (i * 5 % 13 - 6))) AS l1,
		sum(power(i * 7 % 11 - 5, 2)) AS aa, sum(power(i * 5 % 13 - 6, 2)) AS bb
	FROM generate_series(1, 200) n, generate_series(1, n) i GROUP BY n) s
WHERE vector_dims(a) <> n OR vector_l2_squared_distance(a, b) <> l2 OR inner_product(a, b) <> ip
	OR l1_distance(a, b) <> l1 OR a <-> b <> sqrt(l2) OR a <#> b <> -ip
	OR abs((a <=> b) - (1 - ip / sqrt(aa * bb))) > 1e-12 OR abs(vector_norm(a) - sqrt(aa)) > 1e-12;

-- NULL gives NULL
SELECT l2_distance(NULL::vector, '[1]'), '[1]'::vector <=> NULL, vector_dims(NULL::vector), l2_normalize(NULL::vector);

-- the commutator serves constants on the left
SELECT oprname, oprcom = oid AS self_commutator, oprrest, oprjoin FROM pg_operator
WHERE oprleft = 'vector'::regtype AND oprname IN ('<->', '<#>', '<=>', '<+>') ORDER BY oprname::text COLLATE "C";

-- values with a short header, inline, and out of line
CREATE TABLE toasted (id int, val vector);
INSERT INTO toasted SELECT n, array_agg(i % 10 ORDER BY i)::vector
FROM (VALUES (3), (29), (30), (31), (500), (3000), (16000)) t(n), generate_series(1, n) i GROUP BY n;
SELECT id, pg_column_size(val) AS stored, vector_dims(val), (val <-> val) = 0 AS l2, (val <=> val) < 1e-6 AS cosine,
	(val <+> val) = 0 AS l1,
	inner_product(val, val) = round(vector_norm(val) * vector_norm(val)) AS ip,
	length(val::text) = 2 * id + 1 AS text, length(vector_send(val)) = 4 + 4 * id AS send,
	val = val::real[]::vector AS cast, vector_dims(l2_normalize(val)) AS normalized
FROM toasted ORDER BY id;
-- stored out of line, and never compressed
SELECT reltoastrelid <> 0 AND pg_relation_size(reltoastrelid) > 3000 * 4 + 16000 * 4 AS out_of_line
FROM pg_class WHERE oid = 'toasted'::regclass;
DROP TABLE toasted;

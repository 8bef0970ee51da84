-- vector: casts and when they apply.

-- arrays
SELECT ARRAY[1,2,3]::vector;
SELECT ARRAY[1.0,2.5,-3.25]::vector;
SELECT ARRAY[1,2.5,3]::real[]::vector, ARRAY[1,2.5,3]::float8[]::vector, ARRAY[1,2.5,3]::numeric[]::vector;
SELECT '{1,2,3}'::real[]::vector(3);
-- the bounds of an array do not matter, nor a null bitmap without nulls
SELECT '[-2:0]={1,2,3}'::int[]::vector;
SELECT array_replace(ARRAY[1,NULL,3], NULL, 2)::vector, (ARRAY[1,2,NULL]::float8[])[1:2]::vector, (ARRAY[1,2,NULL]::numeric[])[1:2]::vector;

-- limits of the element types
SELECT ARRAY[-2147483648, 2147483647, 16777217, -16777217, 0]::vector;
SELECT '{3.4028234e38,-3.4028234e38,1e-45,-0}'::real[]::vector;
SELECT '{3.4028235e38,1.4e-45,1e-46,-1e-46,0.1}'::float8[]::vector;
SELECT '{340282346638528859811704183484516925440,0.1,-0.000000000000000000000000000000000000000000001}'::numeric[]::vector;
SELECT '{1e-46}'::numeric[]::vector;
SELECT vector_dims(array_fill(1, ARRAY[16000])::vector), vector_dims(array_fill(1::numeric, ARRAY[16000])::vector);

-- to an array
SELECT '[1,2.5,-0]'::vector::real[];
SELECT array_ndims(a), array_lower(a, 1), array_upper(a, 1), a = ARRAY[1,2,3]::real[], array_append(a, 4::real)
FROM (SELECT '[1,2,3]'::vector::real[] AS a) s;
SELECT unnest('[1,2,3]'::vector::real[]);
SELECT vector_to_float4('[1,2,3]', 2, true), vector_to_float4('[1,2,3]', -1, false);
-- implicitly: a function of real[] takes a vector; polymorphic ones do not
CREATE FUNCTION last_of(real[]) RETURNS real LANGUAGE sql AS 'SELECT $1[array_upper($1, 1)]';
SELECT last_of('[1,2,3]'::vector);
SELECT ARRAY[1,2,3]::real[] = '[1,2,3]'::vector;
DROP FUNCTION last_of;
SELECT '[1,2,3]'::vector::real[]::float8[];

-- length coercion
SELECT vector('[1,2,3]', 3, true), vector('[1,2,3]', -1, false), '[1,2,3]'::vector::vector(3);

-- contexts: to a vector on assignment only, from a vector implicitly
SELECT castsource::regtype, casttarget::regtype, castfunc::regprocedure, castcontext, castmethod
FROM pg_cast WHERE 'vector'::regtype IN (castsource, casttarget)
	AND castsource IN ('vector'::regtype, 'int[]'::regtype, 'real[]'::regtype, 'float8[]'::regtype, 'numeric[]'::regtype)
	AND casttarget IN ('vector'::regtype, 'real[]'::regtype)
ORDER BY castsource::regtype::text COLLATE "C", casttarget::regtype::text COLLATE "C";
CREATE TABLE t (val vector(3));
INSERT INTO t VALUES (ARRAY[1,2,3]), (ARRAY[1.5,2,3]), ('{1,2,4}'::real[]), ('{1,2,5}'::float8[]);
INSERT INTO t VALUES (ARRAY[1,2]);
INSERT INTO t VALUES (ARRAY['1','2','3']::text[]);
SELECT * FROM t ORDER BY val;
SELECT vector_norm(ARRAY[1,2,3]);
SELECT ARRAY[1,2,3]::vector <-> ARRAY[1,2,3];
-- comparisons of other types are not disturbed
SELECT ARRAY[1,2,3] = ARRAY[1,2,3], ARRAY[1,2,3]::real[] < ARRAY[1,2,4]::real[];
-- a prepared parameter gets the type
PREPARE nearest AS SELECT val FROM t ORDER BY val <-> $1, val LIMIT 2;
EXECUTE nearest('[1,2,4.4]');
EXECUTE nearest(ARRAY[1,2,3]);
DEALLOCATE nearest;
DROP TABLE t;

-- domains
CREATE DOMAIN unit AS vector(2) CHECK (abs(vector_norm(VALUE) - 1) < 1e-6);
SELECT '[0.6,0.8]'::unit, vector_dims('[0.6,0.8]'::unit), '[0.6,0.8]'::unit <-> '[0,0]';
SELECT '[1,1]'::unit;
SELECT '[1]'::unit;
DROP DOMAIN unit;

-- toasted on both sides
CREATE TABLE wide (id int, val vector, elements real[]);
INSERT INTO wide SELECT n, array_agg(i)::vector, array_agg(i) FROM unnest(ARRAY[1, 25, 600, 16000]) n, generate_series(1, n) i GROUP BY n;
SELECT id, val::real[] = elements AS to_array, elements::vector = val AS from_array,
	elements::float8[]::vector = val AS from_float8, elements::numeric[]::vector = val OR id > 600 AS from_numeric
FROM wide ORDER BY id;
UPDATE wide SET val = elements::vector, elements = val;
SELECT id, val::real[] = elements FROM wide ORDER BY id;
DROP TABLE wide;

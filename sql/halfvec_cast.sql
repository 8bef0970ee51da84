-- halfvec: casts and when they apply.

-- arrays
SELECT ARRAY[1,2,3]::halfvec;
SELECT ARRAY[1.0,2.5,-3.25]::halfvec;
SELECT ARRAY[1,2.5,3]::real[]::halfvec, ARRAY[1,2.5,3]::float8[]::halfvec, ARRAY[1,2.5,3]::numeric[]::halfvec;
SELECT '{1,2,3}'::real[]::halfvec(3);
-- the bounds of an array do not matter, nor a null bitmap without nulls
SELECT '[-2:0]={1,2,3}'::int[]::halfvec;
SELECT array_replace(ARRAY[1,NULL,3], NULL, 2)::halfvec, (ARRAY[1,2,NULL]::float8[])[1:2]::halfvec, (ARRAY[1,2,NULL]::numeric[])[1:2]::halfvec;

-- limits of the element types
SELECT ARRAY[-65504, 65519, 2049, -2049, 0]::halfvec;
SELECT '{65504,-65519.996,6e-8,-0,1e-45}'::real[]::halfvec;
SELECT '{65504,6e-8,1e-46,-1e-300,0.1}'::float8[]::halfvec;
SELECT '{65504,0.1,-0.000000000000000000000000000000000000000000001}'::numeric[]::halfvec;
SELECT vector_dims(array_fill(1, ARRAY[16000])::halfvec), vector_dims(array_fill(1::numeric, ARRAY[16000])::halfvec);

-- to an array
SELECT '[1,2.5,-0,0.1]'::halfvec::real[];
SELECT array_ndims(a), array_lower(a, 1), array_upper(a, 1), a = ARRAY[1,2,3]::real[], array_append(a, 4::real)
FROM (SELECT '[1,2,3]'::halfvec::real[] AS a) s;
SELECT halfvec_to_float4('[1,2,3]', 2, true), halfvec_to_float4('[1,2,3]', -1, false);
-- not implicitly
CREATE FUNCTION last_of(real[]) RETURNS real LANGUAGE sql AS 'SELECT $1[array_upper($1, 1)]';
SELECT last_of('[1,2,3]'::halfvec);
DROP FUNCTION last_of;

-- vector: to halfvec implicitly, back on assignment
SELECT '[1,2.5,0.1,65519]'::vector::halfvec, '[1,2.5,0.1,65504]'::halfvec::vector;
SELECT '[1,2,3]'::vector::halfvec(3), '[1,2,3]'::halfvec::vector(3);
SELECT '[1,2]'::vector <-> '[0,0]'::halfvec, pg_typeof('[1,2]'::vector || '[3]'::halfvec);
SELECT halfvec_l2_squared_distance('[1,2]'::vector, '[3,4]'::vector);
SELECT vector_l2_squared_distance('[1,2]'::halfvec, '[3,4]'::halfvec);
SELECT halfvec_to_vector('[1,2,3]', 3, true), vector_to_halfvec('[1,2,3]', -1, false);

-- length coercion
SELECT halfvec('[1,2,3]'::halfvec, 3, true), halfvec('[1,2,3]'::halfvec, -1, false), '[1,2,3]'::halfvec::halfvec(3);

SELECT castsource::regtype, casttarget::regtype, castfunc::regprocedure, castcontext, castmethod
FROM pg_cast WHERE 'halfvec'::regtype IN (castsource, casttarget)
	AND castsource IN ('halfvec'::regtype, 'vector'::regtype, 'int[]'::regtype, 'real[]'::regtype, 'float8[]'::regtype, 'numeric[]'::regtype, 'bytea'::regtype)
	AND casttarget IN ('halfvec'::regtype, 'vector'::regtype, 'real[]'::regtype)
ORDER BY castsource::regtype::text COLLATE "C", casttarget::regtype::text COLLATE "C";
CREATE TABLE t (val halfvec(3));
INSERT INTO t VALUES (ARRAY[1,2,3]), (ARRAY[1.5,2,3]), ('{1,2,4}'::real[]), ('{1,2,5}'::float8[]);
INSERT INTO t VALUES (ARRAY[1,2]);
INSERT INTO t VALUES (ARRAY['1','2','3']::text[]);
INSERT INTO t VALUES ('\x010203040506'::bytea);
SELECT * FROM t ORDER BY val;
SELECT l2_norm(ARRAY[1,2,3]);
SELECT ARRAY[1,2,3]::halfvec <-> ARRAY[1,2,3];
-- a prepared parameter gets the type
PREPARE nearest AS SELECT val FROM t ORDER BY val <-> $1, val LIMIT 2;
EXECUTE nearest('[1,2,4.4]');
EXECUTE nearest(ARRAY[1,2,3]);
EXECUTE nearest('[1,2,3]'::vector);
DEALLOCATE nearest;
DROP TABLE t;

-- domains
CREATE DOMAIN unit AS halfvec(2) CHECK (abs(l2_norm(VALUE) - 1) < 1e-3);
SELECT '[0.6,0.8]'::unit, vector_dims('[0.6,0.8]'::unit), '[1,0]'::unit <-> '[0,0]';
SELECT '[1,1]'::unit;
SELECT '[1]'::unit;
DROP DOMAIN unit;

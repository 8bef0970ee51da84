-- sparsevec: casts and when they apply.

-- arrays
SELECT ARRAY[1,0,2,0,3,0]::sparsevec, ARRAY[1.0,0.0,2.5,0.0,-3.25,0.0]::sparsevec, ARRAY[0]::sparsevec;
SELECT ARRAY[1,0,2.5]::real[]::sparsevec, ARRAY[1,0,2.5]::float8[]::sparsevec, ARRAY[1,0,2.5]::numeric[]::sparsevec;
SELECT '{1,0,3}'::real[]::sparsevec(3);
-- the bounds of an array do not matter, nor a null bitmap without nulls
SELECT '[-2:0]={1,0,3}'::int[]::sparsevec;
SELECT array_replace(ARRAY[1,NULL,3], NULL, 0)::sparsevec, (ARRAY[1,0,NULL]::float8[])[1:2]::sparsevec, (ARRAY[0,2,NULL]::numeric[])[1:2]::sparsevec;
-- limits of the element types; what becomes 0 is no element
SELECT ARRAY[-2147483648, 2147483647, 16777217, 0]::sparsevec, '{3.4028234e38,-3.4028234e38,1e-45,-0}'::real[]::sparsevec;
SELECT '{3.4028235e38,1.4e-45,1e-46,-1e-46,0.1}'::float8[]::sparsevec, '{340282346638528859811704183484516925440,0.1}'::numeric[]::sparsevec;
SELECT '{1e-46}'::numeric[]::sparsevec;
-- longer than a vector
SELECT array_fill(0, ARRAY[100000])::sparsevec, (array_fill(0, ARRAY[50000]) || ARRAY[7])::sparsevec, array_fill(0.0, ARRAY[20000])::sparsevec,
	(array_fill(0::real, ARRAY[50000]) || array_fill(1::real, ARRAY[16000]))::sparsevec <-> '{}/66000';

-- vectors, both ways
SELECT '[0,1.5,0,3.5,0]'::vector::sparsevec, '[0,-0]'::vector::sparsevec, '[0,1.5,0,3.5,0]'::vector::sparsevec(5);
SELECT '{2:1.5,4:3.5}/5'::sparsevec::vector, '{}/3'::sparsevec::vector, '{2:1.5,4:3.5}/5'::sparsevec::vector(5);
SELECT vector_dims('{16000:1}/16000'::sparsevec::vector), l2_norm(array_fill(1, ARRAY[16000])::vector::sparsevec) ^ 2;
SELECT count(*) FROM generate_series(1, 500) n,
	LATERAL (SELECT array_agg(CASE WHEN i % (n % 7 + 1) = 0 THEN sin(i + n) ELSE 0 END)::vector AS v FROM generate_series(1, n) i) s
WHERE v::sparsevec::vector <> v OR v::sparsevec <> v::real[]::sparsevec OR v::sparsevec <> v::real[]::numeric[]::sparsevec;

-- halfvecs, both ways: rounded on the way there
SELECT '[0,1.5,0,-3.5,0,6e-8]'::halfvec::sparsevec, '[0,-0]'::halfvec::sparsevec, '[0,1.5]'::halfvec::sparsevec(2);
SELECT '{2:1.5,4:-3.5}/5'::sparsevec::halfvec, '{}/3'::sparsevec::halfvec(3), '{1:1e-8,2:65519,3:0.1,4:2.98e-8,5:2.99e-8}/5'::sparsevec::halfvec;
SELECT vector_dims('{16000:1}/16000'::sparsevec::halfvec), l2_norm(array_fill(1, ARRAY[16000])::halfvec::sparsevec) ^ 2;
SELECT count(*) FROM generate_series(1, 300) n,
	LATERAL (SELECT array_agg(CASE WHEN i % (n % 7 + 1) = 0 THEN sin(i + n) ELSE 0 END)::halfvec AS v FROM generate_series(1, n) i) s
WHERE v::sparsevec::halfvec <> v OR v::sparsevec::vector <> v::vector OR v::sparsevec::halfvec <> v::vector::sparsevec::halfvec;

-- length coercion
SELECT sparsevec('{}/3', 3, true), sparsevec('{}/3', -1, false), '{1:1}/3'::sparsevec::sparsevec(3);

-- contexts: from vector implicitly, the others on assignment only
SELECT castsource::regtype, casttarget::regtype, castfunc::regprocedure, castcontext, castmethod
FROM pg_cast WHERE 'sparsevec'::regtype IN (castsource, casttarget)
ORDER BY castsource::regtype::text COLLATE "C", casttarget::regtype::text COLLATE "C";
CREATE TABLE t (val sparsevec(3), dense vector(3));
INSERT INTO t (val) VALUES (ARRAY[1,0,3]), (ARRAY[1.5,0,3]), ('{1,0,4}'::real[]), ('{0,0,5}'::float8[]), ('[0,1,0]'::vector);
UPDATE t SET dense = val;
INSERT INTO t (val) VALUES (ARRAY[1,2]);
INSERT INTO t (val) VALUES ('[1,2]'::vector);
INSERT INTO t (dense) VALUES ('{}/4'::sparsevec);
INSERT INTO t (val) VALUES (ARRAY['1','2','3']::text[]);
SELECT * FROM t ORDER BY val;
SELECT '{1:1}/3'::sparsevec <-> '[0,1,0]'::vector, '[0,1,0]'::vector <#> '{2:3}/3'::sparsevec, '{2:3}/3'::sparsevec = '[0,3,0]'::vector;
-- a prepared parameter gets the type
PREPARE nearest AS SELECT val FROM t ORDER BY val <-> $1, val LIMIT 2;
EXECUTE nearest('{1:1,3:3.4}/3');
EXECUTE nearest('[1,0,3]'::vector);
DEALLOCATE nearest;
DROP TABLE t;

-- domains
CREATE DOMAIN terms AS sparsevec(100) CHECK (l2_norm(VALUE) > 0);
SELECT '{1:0.6}/100'::terms, '{1:0.6}/100'::terms <-> '{}/100';
SELECT '{}/100'::terms;
SELECT '{1:1}/99'::terms;
DROP DOMAIN terms;

-- toasted on both sides
CREATE TABLE wide (id int, val sparsevec, dense vector, elements real[]);
INSERT INTO wide SELECT n, array_agg(i % 3)::sparsevec, array_agg(i % 3)::vector, array_agg(i % 3) FROM unnest(ARRAY[1, 25, 600, 16000]) n, generate_series(1, n) i GROUP BY n;
SELECT id, dense::sparsevec = val AS from_vector, val::vector = dense AS to_vector, elements::sparsevec = val AS from_array,
	elements::float8[]::sparsevec = val AS from_float8, elements::numeric[]::sparsevec = val AS from_numeric
FROM wide ORDER BY id;
DROP TABLE wide;

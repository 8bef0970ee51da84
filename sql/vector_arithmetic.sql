-- vector: arithmetic, parts, bits, aggregates.

CREATE FUNCTION error_of(statement text)
RETURNS TABLE (state text, message text) LANGUAGE plpgsql AS
$$
BEGIN
	EXECUTE statement;
	state := 'no error';
	RETURN NEXT;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
	RETURN NEXT;
END
$$;

-- element by element
SELECT '[1,2,3]'::vector + '[4,5,-6]', '[1,2,3]'::vector - '[4,5,-6]', '[1,2,3]'::vector * '[4,5,-6]';
SELECT '[1,2]'::vector || '[3]', '[1]'::vector || '[2,3]' || '[4]';
SELECT '[1]'::vector + NULL, NULL::vector || '[1]';
-- what stays in range: denormals, zero factors, the largest value
SELECT '[3e-45]'::vector - '[1e-45]', '[1e-38]'::vector * '[0.001]', '[0,-1e-40]'::vector * '[1e-40,0]', '[3.4028235e38]'::vector + '[1e30]';
SELECT expression, state, message FROM unnest(ARRAY[
	'''[3e38]''::vector + ''[3e38]''', '''[-3e38]''::vector - ''[3e38]''', '''[1e37]''::vector * ''[-1e37]''', '''[1e-37]''::vector * ''[1e-37]''',
	'''[1e-37,1e37]''::vector * ''[1e-37,1e37]''', '''[1e37,1e-37]''::vector * ''[1e37,1e-37]''',
	'''[1,2]''::vector + ''[3]''', '''[1,2]''::vector - ''[3]''', '''[1,2]''::vector * ''[3]''',
	'array_fill(0, ARRAY[16000])::vector || ''[1]''', 'array_fill(0, ARRAY[8000])::vector || array_fill(0, ARRAY[8000])::vector']) expression,
	error_of('SELECT ' || expression);
SELECT oprname, oprcode, oprcom <> 0 AS commutes FROM pg_operator
WHERE oprleft = 'vector'::regtype AND oprresult = 'vector'::regtype ORDER BY oprname::text COLLATE "C";

-- subvector
SELECT start, count, e.state, e.message, CASE WHEN e.state = 'no error' THEN subvector('[1,2,3,4,5]'::vector, start, count) END AS part
FROM (VALUES (1, 3), (3, 2), (5, 1), (1, 5), (3, 9), (-1, 3), (0, 6), (-1, 9), (1, 0), (3, -1), (-1, 2), (6, 1),
	(2147483647, 10), (3, 2147483647), (2147483647, 2147483647), (-2147483648, 2147483647), (-2147483644, 2147483647),
	(1, -2147483648), (-2147483648, -2147483648)) t(start, count),
	error_of(format('SELECT subvector(''[1,2,3,4,5]''::vector, %s, %s)', start, count)) e;

-- binary_quantize: positive or not
SELECT binary_quantize('[1,0,-1]'::vector), binary_quantize('[-0,1e-45,-1e-45,3.4028235e38]'::vector);
SELECT binary_quantize('[1,1,1,1,1,1,1,1]'::vector), binary_quantize('[0,0,0,0,0,0,0,0,1]'::vector);
SELECT count(*) AS wrong FROM generate_series(1, 100) n,
	LATERAL (SELECT array_agg((i * 7 % 5) - 2 ORDER BY i)::vector AS v, string_agg(CASE WHEN i * 7 % 5 > 2 THEN '1' ELSE '0' END, '' ORDER BY i) AS bits
		FROM generate_series(1, n) i) s
WHERE binary_quantize(v)::text <> bits OR length(binary_quantize(v)) <> n;

-- vector_spherical_distance: of unit vectors
SELECT vector_spherical_distance('[1,0]', '[1,0]'), vector_spherical_distance('[1,0]', '[0,1]'),
	vector_spherical_distance('[1,0]', '[-1,0]'), vector_spherical_distance('[2]', '[3]'), vector_spherical_distance('[2]', '[-3]');
SELECT vector_spherical_distance('[1,2]', '[3]');

-- avg, sum
SELECT avg(v), sum(v), count(v) FROM unnest(ARRAY['[1,2,3]', '[3,5,7]', NULL]::vector[]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY[]::vector[]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY[NULL]::vector[]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY['[0.1,-0]']::vector[]) v;
-- avg adds in float8, sum in float4
SELECT avg(v) FROM unnest(ARRAY['[3e38]', '[3e38]']::vector[]) v;
SELECT sum(v) FROM unnest(ARRAY['[3e38]', '[3e38]']::vector[]) v;
SELECT avg(v) FROM unnest(ARRAY['[16777216]', '[1]', '[1]']::vector[]) v;
SELECT sum(v) FROM unnest(ARRAY['[16777216]', '[1]', '[1]']::vector[]) v;
SELECT avg(v) FROM unnest(ARRAY['[1,2]', '[3]']::vector[]) v;
SELECT sum(v) FROM unnest(ARRAY['[1,2]', '[3]']::vector[]) v;
SELECT i % 2 AS odd, avg(v), sum(v) FROM (SELECT i, ARRAY[i, -i]::vector AS v FROM generate_series(1, 5) i) s GROUP BY 1 ORDER BY 1;
SELECT avg(ARRAY[i, 2 * i]::vector) OVER (ORDER BY i ROWS 1 PRECEDING) FROM generate_series(1, 3) i;

-- the same in parallel
CREATE TABLE many AS SELECT ARRAY[i, 1]::vector AS v FROM generate_series(1, 1000) i;
ALTER TABLE many SET (parallel_workers = 2);
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT avg(v), sum(v) FROM many;
SELECT avg(v), sum(v) FROM many;
SELECT avg(v), sum(v) FROM many WHERE v <-> '[1,1]' < 0;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
DROP TABLE many;

-- state functions, called with anything
SELECT vector_accum('{0}', '[1,2,3]'), vector_accum('{1,1,1,1}', '[1,2,3]'), vector_accum('[5:6]={1,2}', '[3]');
SELECT vector_combine('{1,2}', '{3,4}'), vector_combine('{0}', '{1,2}'), vector_combine('{1,2}', '{0}'), vector_combine('{0}', '{0}');
SELECT vector_avg('{2,2,4,6}'), vector_avg('{0}'), vector_avg('{0,1}');
SELECT call, state, message FROM unnest(ARRAY[
	'vector_accum(''{}'', ''[1]'')', 'vector_accum(''{NULL}'', ''[1]'')', 'vector_accum(''{{0}}'', ''[1]'')',
	'vector_accum(''{0,0}'', ''[1,2,3]'')', 'vector_accum(''{1,1.7e308}'', ''[1]'')', 'vector_accum(''{1,Infinity}'', ''[1]'')',
	'vector_combine(''{}'', ''{0}'')', 'vector_combine(''{0}'', ''{}'')', 'vector_combine(''{{1,2}}'', ''{3,4}'')', 'vector_combine(''{1,2}'', ''{3,NULL}'')',
	'vector_combine(''{1,2}'', ''{3,4,5}'')', 'vector_combine(''{1,1.7e308}'', ''{1,1.7e308}'')',
	'vector_combine(''{0}'', array_fill(1::float8, ARRAY[16002]))', 'vector_combine(array_fill(1::float8, ARRAY[16002]), ''{0}'')',
	'vector_combine(array_fill(1::float8, ARRAY[16002]), array_fill(1::float8, ARRAY[16002]))',
	'vector_avg(''{}'')', 'vector_avg(''{NULL,2}'')', 'vector_avg(''{{2,2}}'')', 'vector_avg(''{1}'')', 'vector_avg(''{1,NaN}'')', 'vector_avg(''{1,1e300}'')', 'vector_avg(''{NaN,1}'')',
	'vector_avg(array_fill(1::float8, ARRAY[16002]))']) call,
	error_of('SELECT ' || call);

-- toasted values
CREATE TABLE wide AS SELECT k, array_fill(k, ARRAY[16000])::vector AS v FROM generate_series(1, 3) k;
SELECT sum(v) = array_fill(6, ARRAY[16000])::vector AS sum, avg(v) = array_fill(2, ARRAY[16000])::vector AS avg FROM wide;
SELECT k, vector_dims(v + v), vector_norm(v - v), subvector(v, 15999, 9), length(binary_quantize(v)) FROM wide ORDER BY k;
DROP TABLE wide;
DROP FUNCTION error_of;

-- halfvec: arithmetic, parts, bits, aggregates.

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
SELECT '[1,2,3]'::halfvec + '[4,5,-6]', '[1,2,3]'::halfvec - '[4,5,-6]', '[1,2,3]'::halfvec * '[4,5,-6]';
SELECT '[1,2]'::halfvec || '[3]', '[1]'::halfvec || '[2,3]' || '[4]';
SELECT '[1]'::halfvec + NULL, NULL::halfvec || '[1]';
-- rounding to even, once; denormals, zero factors, the largest value
SELECT '[2048,2048,0.1]'::halfvec + '[1,3,0.2]', '[6e-8]'::halfvec - '[6e-8]', '[0.01]'::halfvec * '[0.001]', '[0,-6e-5]'::halfvec * '[6e-5,0]', '[65504]'::halfvec + '[15]';
SELECT expression, state, message FROM unnest(ARRAY[
	'''[65504]''::halfvec + ''[16]''', '''[-65504]''::halfvec - ''[65504]''', '''[300]''::halfvec * ''[-300]''', '''[1e-4]''::halfvec * ''[1e-4]''',
	'''[1e-4,300]''::halfvec * ''[1e-4,300]''', '''[300,1e-4]''::halfvec * ''[300,1e-4]''',
	'''[1,2]''::halfvec + ''[3]''', '''[1,2]''::halfvec - ''[3]''', '''[1,2]''::halfvec * ''[3]''',
	'array_fill(0, ARRAY[16000])::halfvec || ''[1]''', 'array_fill(0, ARRAY[8000])::halfvec || array_fill(0, ARRAY[8000])::halfvec']) expression,
	error_of('SELECT ' || expression);
SELECT oprname, oprcode, oprcom <> 0 AS commutes FROM pg_operator
WHERE oprleft = 'halfvec'::regtype AND oprresult = 'halfvec'::regtype ORDER BY oprname::text COLLATE "C";
-- lengths around the pieces they are computed in
SELECT count(*) AS wrong FROM unnest(ARRAY[1, 15, 511, 512, 513, 1023, 1024, 1025, 16000]) n,
	LATERAL (SELECT array_agg(i % 100 ORDER BY i)::halfvec AS v, array_agg(2 * (i % 100) ORDER BY i)::halfvec AS twice FROM generate_series(1, n) i) s
WHERE v + v <> twice OR twice - v <> v OR v * array_fill(2, ARRAY[n])::halfvec <> twice OR v + v = v;

-- subvector
SELECT start, count, e.state, e.message, CASE WHEN e.state = 'no error' THEN subvector('[1,2,3,4,5]'::halfvec, start, count) END AS part
FROM (VALUES (1, 3), (3, 2), (5, 1), (1, 5), (3, 9), (-1, 3), (0, 6), (-1, 9), (1, 0), (3, -1), (-1, 2), (6, 1),
	(2147483647, 10), (3, 2147483647), (2147483647, 2147483647), (-2147483648, 2147483647), (-2147483644, 2147483647),
	(1, -2147483648), (-2147483648, -2147483648)) t(start, count),
	error_of(format('SELECT subvector(''[1,2,3,4,5]''::halfvec, %s, %s)', start, count)) e;

-- binary_quantize: positive or not
SELECT binary_quantize('[1,0,-1]'::halfvec), binary_quantize('[-0,6e-8,-6e-8,65504]'::halfvec);
SELECT binary_quantize('[1,1,1,1,1,1,1,1]'::halfvec), binary_quantize('[0,0,0,0,0,0,0,0,1]'::halfvec);
SELECT count(*) AS wrong FROM generate_series(1, 100) n,
	LATERAL (SELECT array_agg((i * 7 % 5) - 2 ORDER BY i)::halfvec AS v, string_agg(CASE WHEN i * 7 % 5 > 2 THEN '1' ELSE '0' END, '' ORDER BY i) AS bits
		FROM generate_series(1, n) i) s
WHERE binary_quantize(v)::text <> bits OR length(binary_quantize(v)) <> n;

-- halfvec_spherical_distance: of unit vectors
SELECT halfvec_spherical_distance('[1,0]', '[1,0]'), halfvec_spherical_distance('[1,0]', '[0,1]'),
	halfvec_spherical_distance('[1,0]', '[-1,0]'), halfvec_spherical_distance('[2]', '[3]'), halfvec_spherical_distance('[2]', '[-3]');
SELECT halfvec_spherical_distance('[1,2]', '[3]');

-- avg, sum
SELECT avg(v), sum(v), count(v) FROM unnest(ARRAY['[1,2,3]', '[3,5,7]', NULL]::halfvec[]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY[]::halfvec[]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY[NULL]::halfvec[]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY['[0.1,-0]']::halfvec[]) v;
-- avg adds in float8, sum in halves
SELECT avg(v) FROM unnest(ARRAY['[65504]', '[65504]']::halfvec[]) v;
SELECT sum(v) FROM unnest(ARRAY['[65504]', '[65504]']::halfvec[]) v;
SELECT avg(v) FROM unnest(ARRAY['[2048]', '[1]', '[1]']::halfvec[]) v;
SELECT sum(v) FROM unnest(ARRAY['[2048]', '[1]', '[1]']::halfvec[]) v;
SELECT avg(v) FROM unnest(ARRAY['[1,2]', '[3]']::halfvec[]) v;
SELECT sum(v) FROM unnest(ARRAY['[1,2]', '[3]']::halfvec[]) v;
SELECT i % 2 AS odd, avg(v), sum(v) FROM (SELECT i, ARRAY[i, -i]::halfvec AS v FROM generate_series(1, 5) i) s GROUP BY 1 ORDER BY 1;

-- states changed in place are seen by nobody else: windows, grouping sets, the same state for two aggregates
SELECT i, avg(v) OVER w, sum(v) OVER w, avg(v) OVER (ORDER BY i ROWS 1 PRECEDING), sum(v) OVER (ORDER BY i ROWS 1 PRECEDING)
FROM (SELECT i, ARRAY[i, 2 * i]::halfvec AS v FROM generate_series(1, 4) i) s WINDOW w AS (ORDER BY i) ORDER BY i;
SELECT a, b, avg(v), sum(v), sum(v) FILTER (WHERE a = 1) FROM (SELECT i % 2 AS a, i % 3 AS b, ARRAY[i]::halfvec AS v FROM generate_series(1, 6) i) s
GROUP BY CUBE (a, b) ORDER BY a, b;
CREATE TABLE source AS SELECT i, ARRAY[i, i]::halfvec AS v FROM generate_series(1, 3) i;
SELECT sum(v), avg(v) FROM source;
SELECT * FROM source ORDER BY i;
DROP TABLE source;

-- the same in parallel
CREATE TABLE many AS SELECT ARRAY[i % 4, 1]::halfvec AS v FROM generate_series(1, 1000) i;
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
SELECT halfvec_accum('{0}', '[1,2,3]'), halfvec_accum('{1,1,1,1}', '[1,2,3]'), halfvec_accum('[5:6]={1,2}', '[3]');
SELECT halfvec_combine('{1,2}', '{3,4}'), halfvec_combine('{0}', '{1,2}'), halfvec_combine('{1,2}', '{0}'), halfvec_combine('{0}', '{0}');
SELECT halfvec_avg('{2,2,4,6}'), halfvec_avg('{0}'), halfvec_avg('{0,1}');
SELECT call, state, message FROM unnest(ARRAY[
	'halfvec_accum(''{}'', ''[1]'')', 'halfvec_accum(''{NULL}'', ''[1]'')', 'halfvec_accum(''{{0}}'', ''[1]'')',
	'halfvec_accum(''{0,0}'', ''[1,2,3]'')', 'halfvec_accum(''{1,Infinity}'', ''[1]'')',
	'halfvec_combine(''{}'', ''{0}'')', 'halfvec_combine(''{1,2}'', ''{3,NULL}'')',
	'halfvec_combine(''{1,2}'', ''{3,4,5}'')', 'halfvec_combine(''{1,1.7e308}'', ''{1,1.7e308}'')',
	'halfvec_avg(''{}'')', 'halfvec_avg(''{NULL,2}'')', 'halfvec_avg(''{1}'')', 'halfvec_avg(''{1,NaN}'')', 'halfvec_avg(''{1,1e300}'')', 'halfvec_avg(''{1,65520}'')',
	'halfvec_avg(array_fill(1::float8, ARRAY[16002]))']) call,
	error_of('SELECT ' || call);

-- toasted values
CREATE TABLE wide AS SELECT k, array_fill(k, ARRAY[16000])::halfvec AS v FROM generate_series(1, 3) k;
SELECT sum(v) = array_fill(6, ARRAY[16000])::halfvec AS sum, avg(v) = array_fill(2, ARRAY[16000])::halfvec AS avg FROM wide;
SELECT k, vector_dims(v + v), l2_norm(v - v), subvector(v, 15999, 9), length(binary_quantize(v)) FROM wide ORDER BY k;
DROP TABLE wide;
DROP FUNCTION error_of;

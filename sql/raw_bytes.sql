-- vector and halfvec from raw bytes: little-endian elements behind one another.

CREATE FUNCTION error_of(statement text)
RETURNS TABLE (state text, message text, detail text) LANGUAGE plpgsql AS
$$
BEGIN
	EXECUTE statement;
	state := 'no error';
	RETURN NEXT;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
	RETURN NEXT;
END
$$;

SELECT '\x0000803f000000c00000003f'::bytea::vector, '\x003c00c00038'::bytea::halfvec;
SELECT '\x0000803f000000c0'::bytea::vector(2), '\x003c00c0'::bytea::halfvec(2);
-- -0, the smallest and the largest
SELECT '\x0000008001000000ffff7f7fffff7fff'::bytea::vector, '\x00800100ff7bfffb'::bytea::halfvec;
SELECT bytea_to_vector('\x0000803f', 1, true), bytea_to_vector('\x0000803f', -1, false), bytea_to_halfvec('\x003c', 1, true);
SELECT NULL::bytea::vector, NULL::bytea::halfvec;

-- the bytes of an array of float4, turned round, are those of the vector
SELECT count(*) AS wrong FROM generate_series(1, 300) n,
	LATERAL (SELECT array_agg(sin(i * n)::real ORDER BY i)::vector AS v,
		string_agg((SELECT string_agg(set_byte('\x00', 0, get_byte(float4send(sin(i * n)::real), b)), '' ORDER BY b DESC) FROM generate_series(0, 3) b), '' ORDER BY i) AS raw
	FROM generate_series(1, n) i) s
WHERE raw::vector <> v OR vector_dims(raw::vector) <> n;

SELECT expression, state, message, detail FROM unnest(ARRAY[
	'''''::bytea::vector', '''''::bytea::halfvec', '''\x00''::bytea::vector', '''\x000000''::bytea::vector', '''\x0000803f00''::bytea::vector',
	'''\x00''::bytea::halfvec', '''\x003c00''::bytea::halfvec',
	'''\x0000c07f''::bytea::vector', '''\x0000803f0000807f''::bytea::vector', '''\x000080ff''::bytea::vector',
	'''\x007e''::bytea::halfvec', '''\x003c007c''::bytea::halfvec', '''\x00fc''::bytea::halfvec', '''\x01fc''::bytea::halfvec',
	'''\x0000803f''::bytea::vector(2)', '''\x0000803f00''::bytea::vector(2)', '''\x003c''::bytea::halfvec(3)',
	'bytea_to_vector(''\x0000803f'', -2147483648, true)', 'bytea_to_vector(''\x0000803f'', 2147483647, false)', 'bytea_to_halfvec(''\x003c'', 0, false)',
	'convert_to(repeat(''a'', 64000), ''UTF8'')::vector IS NOT NULL', 'convert_to(repeat(''a'', 64004), ''UTF8'')::vector', 'convert_to(repeat(''a'', 32002), ''UTF8'')::halfvec',
	'convert_to(repeat(''a'', 32000), ''UTF8'')::halfvec IS NOT NULL', 'convert_to(repeat(''a'', 10000001), ''UTF8'')::vector']) expression,
	error_of('SELECT ' || expression);

-- toasted, compressed and short values; only when asked for
CREATE TABLE raw (val bytea);
INSERT INTO raw SELECT convert_to(repeat('abc0', n), 'UTF8') FROM unnest(ARRAY[1, 30, 32, 5000, 8000]) n;
SELECT pg_column_size(val) AS stored, vector_dims(val::vector), vector_dims(val::halfvec), subvector(val::vector, 1, 1) FROM raw ORDER BY octet_length(val);
CREATE TABLE items (v vector, h halfvec);
INSERT INTO items (v) SELECT val FROM raw;
INSERT INTO items (h) SELECT val FROM raw;
INSERT INTO items (v) SELECT val::vector FROM raw;
SELECT count(v), count(h) FROM items;
DROP TABLE raw, items;
DROP FUNCTION error_of;

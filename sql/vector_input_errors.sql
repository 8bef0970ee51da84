-- vector: every error, with its SQLSTATE; messages are what clients match.

CREATE FUNCTION error_of(statement text)
RETURNS TABLE (state text, message text, detail text, hint text) LANGUAGE plpgsql AS
$$
BEGIN
	EXECUTE statement;
	state := 'no error';
	RETURN NEXT;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
		detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN NEXT;
END
$$;

-- text: what starts, ends and separates
SELECT literal, state, message, detail FROM unnest(ARRAY[
	'', ' ', '1,2,3', '{1,2}', '(1)', '[', '[ ', '[1,2,3', '[1,2,3 ', '[1,2,', '[1 2]', '[1;2]', '[1,2,3)',
	'[,', '[,]', '[1,]', '[1,,3]', '[1, ,3]', '[ ,1]', '[[1]]', '[1,[2]]',
	'[1,2,3]9', '[1,2,3] x', '[1]]', '[1][2]', '[1],', '[]', '[ ]', ' [] ', '[]9']) literal,
	error_of(format('SELECT %L::vector', literal));

-- text: numbers
SELECT literal, state, message, detail FROM unnest(ARRAY[
	'[hello,1]', '[1a]', '[1e]', '[1e+]', '[e1]', '[.]', '[-]', '[+]', '[--1]', '[+-1]', '[- 1]', '[1.2.3]',
	'[1_000]', '[0x]', '[0xg]', '[1f]', '["1"]', '[null]', '[1,NULL]',
	'[NaN,1]', '[nan]', '[-NaN]', '[Infinity,1]', '[-Infinity,1]', '[inf]', '[-inf]', '[1,2,infinity]',
	'[4e38,1]', '[-4e38,1]', '[1,  3.5e38 ]', '[3.4028236e38]', '[1e39]', '[1e400]', '[-1e99999999999]',
	'[400000000000000000000000000000000000000]']) literal,
	error_of(format('SELECT %L::vector', literal));
-- an infinity is refused for what it is, before the syntax error behind it
SELECT message FROM error_of($$SELECT '[inf,x'::vector$$);
SELECT message FROM error_of($$SELECT '[x,inf]'::vector$$);

-- text: dimensions; a syntax error behind the limit is not reached
SELECT state, message FROM error_of(format('SELECT %L::vector', '[' || repeat('1,', 16000) || '1]'));
SELECT state, message FROM error_of(format('SELECT %L::vector', '[' || repeat('1,', 16000) || 'x'));
SELECT state, left(message, 60) FROM error_of(format('SELECT %L::vector', '[' || repeat('1,', 15999) || 'x'));
SELECT state, left(message, 60) FROM error_of(format('SELECT %L::vector', '[1' || repeat(',', 100000)));

-- errors in constants are pointed at, wrong dimensions are not
SELECT '[hello,1]'::vector;
SELECT '[1,2,3]'::vector(2);

-- type modifier
SELECT modifier, state, message FROM unnest(ARRAY[
	'0', '-1', '16001', '2147483647', '-2147483648', '2147483648', '3, 2', '1, 2, 3', '''a''', 'NULL', '1.5', '''3''']) modifier,
	error_of(format('SELECT ''[1,2,3]''::vector(%s)', modifier));
SELECT state, message FROM error_of('CREATE TABLE t (val vector())');
SELECT state, message FROM error_of('SELECT vector_typmod_in(''{}'')');
SELECT state, message FROM error_of('SELECT vector_typmod_in(''{NULL}'')');
SELECT vector_typmod_in('{1}'), vector_typmod_in('{16000}');

-- functions
SELECT call, state, message FROM unnest(ARRAY[
	'l2_distance(''[1,2]''::vector, ''[3]'')',
	'vector_l2_squared_distance(''[1,2]''::vector, ''[3]'')',
	'inner_product(''[1,2]''::vector, ''[3]'')',
	'vector_negative_inner_product(''[1,2]''::vector, ''[3]'')',
	'cosine_distance(''[1,2]''::vector, ''[3]'')',
	'l1_distance(''[1]''::vector, ''[2,3]'')',
	'''[1,2]''::vector <-> ''[3]''', '''[1,2]''::vector <#> ''[3]''', '''[1,2]''::vector <=> ''[3]''', '''[1]''::vector <+> ''[2,3]''',
	'vector_cmp(''[1,2]''::vector, ''[3]'')']) call,
	error_of('SELECT ' || call);

-- casts; the order of the checks is ndim, nulls, dimensions, modifier, elements
SELECT expression, state, message FROM unnest(ARRAY[
	'''{}''::real[]::vector', '''{}''::int[]::vector', '''{}''::numeric[]::vector',
	'''{{1}}''::real[]::vector', '''{{1,NULL}}''::real[]::vector', '''{{1,2},{3,4}}''::int[]::vector',
	'''{NULL}''::real[]::vector', '''{1,NULL}''::int[]::vector(3)', '''{NULL,1}''::float8[]::vector', '''{1,NULL}''::numeric[]::vector',
	'''{NaN}''::real[]::vector', '''{NaN}''::float8[]::vector', '''{NaN}''::numeric[]::vector',
	'''{Infinity}''::real[]::vector', '''{-Infinity}''::real[]::vector', '''{1,Infinity}''::float8[]::vector',
	'''{4e38,-4e38}''::float8[]::vector', '''{-1e300}''::float8[]::vector', '''{4e38}''::numeric[]::vector',
	'''{1,2,3}''::real[]::vector(2)', '''{NaN,1}''::real[]::vector(1)', '''{1,2,3}''::int[]::vector(4)',
	'array_fill(1, ARRAY[16001])::vector', 'array_fill(1, ARRAY[16001])::vector(3)',
	'array_to_vector(array_fill(1, ARRAY[16001]), 16001, false)',
	'array_to_vector(ARRAY[1,2,3], 2, false)', 'array_to_vector(ARRAY[1,2,3], 0, true)',
	'array_to_vector(ARRAY[1,2,3], -2147483648, false)', 'array_to_vector(ARRAY[1,2,3], 2147483647, false)',
	'vector(''[1,2,3]'', 2, true)', 'vector(''[1,2,3]'', 0, false)',
	'vector(''[1,2,3]'', -2147483648, false)', 'vector(''[1,2,3]'', 2147483647, true)',
	'vector_in(''[1,2,3]'', 0, 2)', 'vector_in(''[1,2,3]'', 0, -2147483648)',
	'''[1]''::vector::int[]', '''[1]''::vector::halfreal']) expression,
	error_of('SELECT ' || expression);

-- binary: a bytea column makes any message; in order dimensions, modifier, unused, elements
CREATE TABLE message (val bytea);
CREATE TABLE received (val vector(2));
CREATE TABLE received_any (val vector);
TRUNCATE message; INSERT INTO message VALUES ('\x000200003f80000040000000');
\copy message TO 'results/vector_message.bin' WITH (FORMAT binary)
\copy received FROM 'results/vector_message.bin' WITH (FORMAT binary)
SELECT * FROM received;
-- no dimension; -1; 16001
TRUNCATE message; INSERT INTO message VALUES ('\x00000000');
\copy message TO 'results/vector_message.bin' WITH (FORMAT binary)
\copy received FROM 'results/vector_message.bin' WITH (FORMAT binary)
TRUNCATE message; INSERT INTO message VALUES ('\xffff0000');
\copy message TO 'results/vector_message.bin' WITH (FORMAT binary)
\copy received_any FROM 'results/vector_message.bin' WITH (FORMAT binary)
TRUNCATE message; INSERT INTO message VALUES ('\x3e810000');
\copy message TO 'results/vector_message.bin' WITH (FORMAT binary)
\copy received_any FROM 'results/vector_message.bin' WITH (FORMAT binary)
-- too many for the column, which is seen before the elements are missed
TRUNCATE message; INSERT INTO message VALUES ('\x00030001');
\copy message TO 'results/vector_message.bin' WITH (FORMAT binary)
\copy received FROM 'results/vector_message.bin' WITH (FORMAT binary)
-- unused
TRUNCATE message; INSERT INTO message VALUES ('\x000200013f80000040000000');
\copy message TO 'results/vector_message.bin' WITH (FORMAT binary)
\copy received FROM 'results/vector_message.bin' WITH (FORMAT binary)
TRUNCATE message; INSERT INTO message VALUES ('\x0002ffff3f80000040000000');
\copy message TO 'results/vector_message.bin' WITH (FORMAT binary)
\copy received FROM 'results/vector_message.bin' WITH (FORMAT binary)
-- NaN, infinities; NaN is seen before the missing second element
TRUNCATE message; INSERT INTO message VALUES ('\x000200007fc00000');
\copy message TO 'results/vector_message.bin' WITH (FORMAT binary)
\copy received FROM 'results/vector_message.bin' WITH (FORMAT binary)
TRUNCATE message; INSERT INTO message VALUES ('\x000200003f8000007f800000');
\copy message TO 'results/vector_message.bin' WITH (FORMAT binary)
\copy received FROM 'results/vector_message.bin' WITH (FORMAT binary)
TRUNCATE message; INSERT INTO message VALUES ('\x000200003f800000ff800000');
\copy message TO 'results/vector_message.bin' WITH (FORMAT binary)
\copy received FROM 'results/vector_message.bin' WITH (FORMAT binary)
-- too short, too long, empty
TRUNCATE message; INSERT INTO message VALUES ('\x000200003f800000');
\copy message TO 'results/vector_message.bin' WITH (FORMAT binary)
\copy received FROM 'results/vector_message.bin' WITH (FORMAT binary)
TRUNCATE message; INSERT INTO message VALUES ('\x000200003f8000004000000000');
\copy message TO 'results/vector_message.bin' WITH (FORMAT binary)
\copy received FROM 'results/vector_message.bin' WITH (FORMAT binary)
TRUNCATE message; INSERT INTO message VALUES ('\x');
\copy message TO 'results/vector_message.bin' WITH (FORMAT binary)
\copy received FROM 'results/vector_message.bin' WITH (FORMAT binary)
SELECT * FROM received, received_any;
DROP TABLE message, received, received_any;
DROP FUNCTION error_of;

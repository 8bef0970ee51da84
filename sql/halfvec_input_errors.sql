-- halfvec: every error, with its SQLSTATE; messages are what clients match.

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
	error_of(format('SELECT %L::halfvec', literal));

-- text: numbers
SELECT literal, state, message, detail FROM unnest(ARRAY[
	'[hello,1]', '[1a]', '[1e]', '[1e+]', '[e1]', '[.]', '[-]', '[+]', '[--1]', '[+-1]', '[- 1]', '[1.2.3]',
	'[1_000]', '[0x]', '[0xg]', '[1f]', '["1"]', '[null]', '[1,NULL]',
	'[NaN,1]', '[nan]', '[-NaN]', '[Infinity,1]', '[-Infinity,1]', '[inf]', '[-inf]', '[1,2,infinity]',
	'[65520,1]', '[-65520,1]', '[1,  7e4 ]', '[65519.999]', '[1e5]', '[4e38]', '[1e400]', '[-1e99999999999]',
	'[400000000000000000000000000000000000000]', '[0x10000]']) literal,
	error_of(format('SELECT %L::halfvec', literal));
-- an infinity is refused for what it is, before the syntax error behind it
SELECT message FROM error_of($$SELECT '[inf,x'::halfvec$$);
SELECT message FROM error_of($$SELECT '[x,inf]'::halfvec$$);

-- text: dimensions; a syntax error behind the limit is not reached
SELECT state, message FROM error_of(format('SELECT %L::halfvec', '[' || repeat('1,', 16000) || '1]'));
SELECT state, message FROM error_of(format('SELECT %L::halfvec', '[' || repeat('1,', 16000) || 'x'));
SELECT state, left(message, 60) FROM error_of(format('SELECT %L::halfvec', '[' || repeat('1,', 15999) || 'x'));
SELECT state, left(message, 60) FROM error_of(format('SELECT %L::halfvec', '[1' || repeat(',', 100000)));

-- errors in constants are pointed at, wrong dimensions are not
SELECT '[hello,1]'::halfvec;
SELECT '[1,2,3]'::halfvec(2);

-- type modifier
SELECT modifier, state, message FROM unnest(ARRAY[
	'0', '-1', '16001', '2147483647', '-2147483648', '2147483648', '3, 2', '1, 2, 3', '''a''', 'NULL', '1.5', '''3''']) modifier,
	error_of(format('SELECT ''[1,2,3]''::halfvec(%s)', modifier));
SELECT state, message FROM error_of('CREATE TABLE t (val halfvec())');
SELECT state, message FROM error_of('SELECT halfvec_typmod_in(''{}'')');
SELECT state, message FROM error_of('SELECT halfvec_typmod_in(''{NULL}'')');
SELECT halfvec_typmod_in('{1}'), halfvec_typmod_in('{16000}');

-- functions
SELECT call, state, message FROM unnest(ARRAY[
	'l2_distance(''[1,2]''::halfvec, ''[3]'')',
	'halfvec_l2_squared_distance(''[1,2]''::halfvec, ''[3]'')',
	'inner_product(''[1,2]''::halfvec, ''[3]'')',
	'halfvec_negative_inner_product(''[1,2]''::halfvec, ''[3]'')',
	'cosine_distance(''[1,2]''::halfvec, ''[3]'')',
	'l1_distance(''[1]''::halfvec, ''[2,3]'')',
	'''[1,2]''::halfvec <-> ''[3]''', '''[1,2]''::halfvec <#> ''[3]''', '''[1,2]''::halfvec <=> ''[3]''', '''[1]''::halfvec <+> ''[2,3]''',
	'halfvec_cmp(''[1,2]''::halfvec, ''[3]'')']) call,
	error_of('SELECT ' || call);

-- casts; the order of the checks is ndim, nulls, dimensions, modifier, elements
SELECT expression, state, message FROM unnest(ARRAY[
	'''{}''::real[]::halfvec', '''{}''::int[]::halfvec', '''{}''::numeric[]::halfvec',
	'''{{1}}''::real[]::halfvec', '''{{1,NULL}}''::real[]::halfvec', '''{{1,2},{3,4}}''::int[]::halfvec',
	'''{NULL}''::real[]::halfvec', '''{1,NULL}''::int[]::halfvec(3)', '''{NULL,1}''::float8[]::halfvec', '''{1,NULL}''::numeric[]::halfvec',
	'''{NaN}''::real[]::halfvec', '''{NaN}''::float8[]::halfvec', '''{NaN}''::numeric[]::halfvec',
	'''{Infinity}''::real[]::halfvec', '''{-Infinity}''::real[]::halfvec', '''{1,Infinity}''::float8[]::halfvec',
	'''{65520,-65520}''::float8[]::halfvec', '''{-1e300}''::float8[]::halfvec', '''{65520}''::numeric[]::halfvec', '''{4e38}''::numeric[]::halfvec',
	'''{NaN,65520}''::real[]::halfvec', '''{Infinity,-70000}''::real[]::halfvec', '''{2147483647}''::int[]::halfvec', '''{-2147483648}''::int[]::halfvec',
	'''{1,2,3}''::real[]::halfvec(2)', '''{NaN,1}''::real[]::halfvec(1)', '''{1,2,3}''::int[]::halfvec(4)',
	'array_fill(1, ARRAY[16001])::halfvec', 'array_fill(1, ARRAY[16001])::halfvec(3)',
	'array_to_halfvec(array_fill(1, ARRAY[16001]), 16001, false)',
	'array_to_halfvec(ARRAY[1,2,3], 2, false)', 'array_to_halfvec(ARRAY[1,2,3], 0, true)',
	'array_to_halfvec(ARRAY[1,2,3], -2147483648, false)', 'array_to_halfvec(ARRAY[1,2,3], 2147483647, false)',
	'halfvec(''[1,2,3]'', 2, true)', 'halfvec(''[1,2,3]'', 0, false)',
	'halfvec(''[1,2,3]'', -2147483648, false)', 'halfvec(''[1,2,3]'', 2147483647, true)',
	'halfvec_in(''[1,2,3]'', 0, 2)', 'halfvec_in(''[1,2,3]'', 0, -2147483648)',
	'''[1]''::halfvec::int[]',
	'''[65520]''::vector::halfvec', '''[1,-1e38]''::vector::halfvec', '''[1,2,65520]''::vector::halfvec(2)', 'vector_to_halfvec(''[1,2]'', 3, true)',
	'vector_to_halfvec(''[1,2]'', 3, false)', 'vector_to_halfvec(''[1,2]'', -2147483648, false)']) expression,
	error_of('SELECT ' || expression);

-- binary: a bytea column makes any message; in order dimensions, modifier, unused, elements
CREATE TABLE message (val bytea);
CREATE TABLE received (val halfvec(2));
CREATE TABLE received_any (val halfvec);
TRUNCATE message; INSERT INTO message VALUES ('\x000200003c004000');
\copy message TO 'results/halfvec_message.bin' WITH (FORMAT binary)
\copy received FROM 'results/halfvec_message.bin' WITH (FORMAT binary)
SELECT * FROM received;
-- no dimension; -1; 16001
TRUNCATE message; INSERT INTO message VALUES ('\x00000000');
\copy message TO 'results/halfvec_message.bin' WITH (FORMAT binary)
\copy received FROM 'results/halfvec_message.bin' WITH (FORMAT binary)
TRUNCATE message; INSERT INTO message VALUES ('\xffff0000');
\copy message TO 'results/halfvec_message.bin' WITH (FORMAT binary)
\copy received_any FROM 'results/halfvec_message.bin' WITH (FORMAT binary)
TRUNCATE message; INSERT INTO message VALUES ('\x3e810000');
\copy message TO 'results/halfvec_message.bin' WITH (FORMAT binary)
\copy received_any FROM 'results/halfvec_message.bin' WITH (FORMAT binary)
-- too many for the column, which is seen before the elements are missed
TRUNCATE message; INSERT INTO message VALUES ('\x00030001');
\copy message TO 'results/halfvec_message.bin' WITH (FORMAT binary)
\copy received FROM 'results/halfvec_message.bin' WITH (FORMAT binary)
-- unused
TRUNCATE message; INSERT INTO message VALUES ('\x000200013c004000');
\copy message TO 'results/halfvec_message.bin' WITH (FORMAT binary)
\copy received FROM 'results/halfvec_message.bin' WITH (FORMAT binary)
TRUNCATE message; INSERT INTO message VALUES ('\x0002ffff3c004000');
\copy message TO 'results/halfvec_message.bin' WITH (FORMAT binary)
\copy received FROM 'results/halfvec_message.bin' WITH (FORMAT binary)
-- NaN, infinities; NaN is seen before the missing second element
TRUNCATE message; INSERT INTO message VALUES ('\x000200007e00');
\copy message TO 'results/halfvec_message.bin' WITH (FORMAT binary)
\copy received FROM 'results/halfvec_message.bin' WITH (FORMAT binary)
TRUNCATE message; INSERT INTO message VALUES ('\x000200003c007c00');
\copy message TO 'results/halfvec_message.bin' WITH (FORMAT binary)
\copy received FROM 'results/halfvec_message.bin' WITH (FORMAT binary)
TRUNCATE message; INSERT INTO message VALUES ('\x000200003c00fc00');
\copy message TO 'results/halfvec_message.bin' WITH (FORMAT binary)
\copy received FROM 'results/halfvec_message.bin' WITH (FORMAT binary)
-- too short, too long, empty
TRUNCATE message; INSERT INTO message VALUES ('\x000200003c00');
\copy message TO 'results/halfvec_message.bin' WITH (FORMAT binary)
\copy received FROM 'results/halfvec_message.bin' WITH (FORMAT binary)
TRUNCATE message; INSERT INTO message VALUES ('\x000200003c00400000');
\copy message TO 'results/halfvec_message.bin' WITH (FORMAT binary)
\copy received FROM 'results/halfvec_message.bin' WITH (FORMAT binary)
TRUNCATE message; INSERT INTO message VALUES ('\x');
\copy message TO 'results/halfvec_message.bin' WITH (FORMAT binary)
\copy received FROM 'results/halfvec_message.bin' WITH (FORMAT binary)
SELECT * FROM received, received_any;
DROP TABLE message, received, received_any;
DROP FUNCTION error_of;

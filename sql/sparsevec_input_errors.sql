-- sparsevec: every error, with its SQLSTATE; messages are what clients match.

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
	'', ' ', '[1,2]', '1:1', '(1:1)/1', '{', '{ ', '{:', '{,', '{1', '{1:', '{1:1', '{1:1 ', '{1:1,', '{1:1}', '{1:1} ', '{1:1}/', '{1:1}/ ',
	'{}', '{}/', '{}x', '{}/a', '{}/1a', '{}/1 a', '{}/1}', '{}/1/1', '{}//1', '{}1', '{}/1.5', '{}/1e3', '{}/0x10', '{}/-', '{}/+', '{}/--1',
	'{1:1 2:2}/2', '{1:1;2:2}/2', '{1:1]/2', '{1:1)/2', '{,}/1', '{:}/1', '{1,}/1', '{:1}/1', '{1:}/1', '{1:,2:1}/2', '{1:1,}/1', '{1:1,,2:1}/2',
	'{1:1:1}/1', '{1::1}/1', '{{1:1}}/1', '{1:{1}}/1', '{1:1}{}/1', '{}{}/1']) literal,
	error_of(format('SELECT %L::sparsevec', literal));

-- text: indices and dimensions
SELECT literal, state, message, detail FROM unnest(ARRAY[
	'{a:1}/1', '{1a:1}/1', '{1.0:1}/1', '{1e0:1}/1', '{0x1:1}/1', '{-:1}/1', '{- 1:1}/1', '{+-1:1}/1', '{"1":1}/1', '{NaN:1}/1', '{1 1:1}/1',
	'{0:1}/1', '{-1:1}/1', '{2:1}/1', '{2147483646:1}/1', '{2147483647:1}/1', '{2147483648:1}/1', '{-2147483648:1}/1', '{-2147483649:1}/1',
	'{4294967297:1}/1', '{-4294967295:1}/1', '{9223372036854775808:1}/1', '{18446744073709551617:1}/1', '{-18446744073709551615:1}/1', '{1000000001:1}/1000000000',
	'{99999999999999999999999999999999999999:1}/1',
	'{}/0', '{}/-0', '{}/-1', '{}/1000000001', '{}/2147483647', '{}/2147483648', '{}/-2147483648', '{}/-2147483649', '{}/4294967297',
	'{}/9223372036854775808', '{}/-9223372036854775809', '{}/18446744073709551617', '{0:1}/0', '{1:1}/2147483648',
	'{1:1,1:1}/2', '{1:1,2:1,1:1}/2', '{2:1,1:1,2:3}/2', '{1:1,1:2,3:1}/2', '{0:1,1:1,1:1}/2', '{3:1,1:1,1:1}/2']) literal,
	error_of(format('SELECT %L::sparsevec', literal));

-- text: values; what underflows to 0 is refused, for it would vanish
SELECT literal, state, message, detail FROM unnest(ARRAY[
	'{1:hello,2:1}/2', '{1:1a}/1', '{1:1e}/1', '{1:1e+}/1', '{1:e1}/1', '{1:.}/1', '{1:-}/1', '{1:+}/1', '{1:--1}/1', '{1:- 1}/1', '{1:1.2.3}/1',
	'{1:1_000}/1', '{1:0x}/1', '{1:1f}/1', '{1:"1"}/1', '{1:null}/1',
	'{1:NaN,2:1}/2', '{1:nan}/1', '{1:-NaN}/1', '{1:Infinity,2:1}/2', '{1:-Infinity}/1', '{1:inf}/1', '{1:-inf}/1', '{9:NaN}/1', '{1:inf,x',
	'{1:4e38,2:1}/2', '{1:-4e38}/1', '{1:  3.5e38 }/1', '{1:3.4028236e38}/1', '{1:1e39}/1', '{1:1e400}/1', '{1:-1e99999999999}/1',
	'{1:1e-46,2:1}/2', '{1:-1e-46}/1', '{1:1e-400}/1', '{1:7e-46}/1', '{1:0.0000000000000000000000000000000000000000000000001}/1']) literal,
	error_of(format('SELECT %L::sparsevec', literal));

-- text: elements are counted by their commas, before anything else is read
SELECT state, message FROM error_of(format('SELECT %L::sparsevec', '{' || repeat('1:0,', 16000) || '1:1}/1'));
SELECT state, message FROM error_of(format('SELECT %L::sparsevec', repeat(',', 16000)));
SELECT state, left(message, 60) FROM error_of(format('SELECT %L::sparsevec', '{' || repeat('1:0,', 15999) || 'x'));
SELECT state, message FROM error_of(format('SELECT %L::sparsevec', '{' || repeat('1:0,', 15999) || '1:1}/1'));

-- errors in constants are pointed at, wrong dimensions are not
SELECT '{1:hello}/2'::sparsevec;
SELECT '{1:1}/3'::sparsevec(2);

-- type modifier
SELECT modifier, state, message FROM unnest(ARRAY[
	'0', '-1', '1000000001', '2147483647', '-2147483648', '2147483648', '3, 2', '1, 2, 3', '''a''', 'NULL', '1.5', '''3''']) modifier,
	error_of(format('SELECT ''{}/3''::sparsevec(%s)', modifier));
SELECT state, message FROM error_of('CREATE TABLE t (val sparsevec())');
SELECT state, message FROM error_of('SELECT sparsevec_typmod_in(''{}'')');
SELECT state, message FROM error_of('SELECT sparsevec_typmod_in(''{NULL}'')');
SELECT sparsevec_typmod_in('{1}'), sparsevec_typmod_in('{1000000000}');

-- casts and direct calls; the order of the checks is ndim, nulls, dimensions, modifier, number of elements, elements
SELECT expression, state, message FROM unnest(ARRAY[
	'''{}''::real[]::sparsevec', '''{}''::int[]::sparsevec', '''{}''::numeric[]::sparsevec',
	'''{{1}}''::real[]::sparsevec', '''{{1,NULL}}''::real[]::sparsevec', '''{{1,2},{3,4}}''::int[]::sparsevec',
	'''{NULL}''::real[]::sparsevec', '''{1,NULL}''::int[]::sparsevec(3)', '''{NULL,1}''::float8[]::sparsevec', '''{1,NULL}''::numeric[]::sparsevec',
	'''{NaN}''::real[]::sparsevec', '''{0,NaN}''::float8[]::sparsevec', '''{NaN}''::numeric[]::sparsevec',
	'''{Infinity}''::real[]::sparsevec', '''{0,-Infinity}''::real[]::sparsevec', '''{1,Infinity}''::float8[]::sparsevec',
	'''{4e38,-4e38}''::float8[]::sparsevec', '''{-1e300}''::float8[]::sparsevec', '''{4e38}''::numeric[]::sparsevec',
	'''{1,2,3}''::real[]::sparsevec(2)', '''{NaN,1}''::real[]::sparsevec(1)', '''{1,2,3}''::int[]::sparsevec(4)',
	'array_fill(1, ARRAY[16001])::sparsevec', 'array_fill(1, ARRAY[16001])::sparsevec(3)', 'array_fill(''NaN''::float8, ARRAY[16001])::sparsevec',
	'array_fill(1.5::numeric, ARRAY[16001])::sparsevec',
	'array_to_sparsevec(ARRAY[1,2,3], 2, false)', 'array_to_sparsevec(ARRAY[1,2,3], 0, true)',
	'array_to_sparsevec(ARRAY[1,2,3], -2147483648, false)', 'array_to_sparsevec(ARRAY[1,2,3], 2147483647, false)',
	'sparsevec(''{}/3'', 2, true)', 'sparsevec(''{}/3'', 0, false)', 'sparsevec(''{}/3'', -2147483648, false)', 'sparsevec(''{}/3'', 2147483647, true)',
	'sparsevec_in(''{}/3'', 0, 2)', 'sparsevec_in(''{}/3'', 0, -2147483648)', 'sparsevec_in(''{}/3'', 0, 2147483647)',
	'vector_to_sparsevec(''[1,2]'', 3, true)', 'vector_to_sparsevec(''[1,2]'', -2147483648, true)', '''[1,2]''::vector::sparsevec(3)',
	'sparsevec_to_vector(''{}/2'', 3, true)', 'sparsevec_to_vector(''{}/2'', 2147483647, true)', '''{}/2''::sparsevec::vector(3)',
	'''{}/16001''::sparsevec::vector', '''{1000000000:1}/1000000000''::sparsevec::vector', '''{}/16001''::sparsevec::vector(3)',
	'''[1,2]''::halfvec::sparsevec(3)', '''{}/2''::sparsevec::halfvec(3)', '''{}/16001''::sparsevec::halfvec', 'sparsevec_to_halfvec(''{}/2'', 2147483647, true)',
	'halfvec_to_sparsevec(''[1]'', -2147483648, true)', '''{1:65520}/1''::sparsevec::halfvec', '''{2:-1e38}/2''::sparsevec::halfvec',
	'''{}/3''::sparsevec::real[]', '''{}/3''::sparsevec::int[]']) expression,
	error_of('SELECT ' || expression);

-- binary: a bytea column makes any message; in order dimensions, number of elements, modifier, unused, indices, values
CREATE TABLE message (id int, val bytea);
INSERT INTO message VALUES
	(1, '\x00000002 00000001 00000000 00000001 3f800000'),
	(2, '\x00000002 00000000 00000000'),
	-- dimensions: none; -1; 1000000001; INT_MIN
	(10, '\x00000000 00000000 00000000'), (11, '\xffffffff 00000000 00000000'), (12, '\x3b9aca01 00000000 00000000'), (13, '\x80000000 00000000 00000000'),
	-- elements: -1; INT_MIN; 16001; INT_MAX; more than dimensions
	(20, '\x00000002 ffffffff 00000000'), (21, '\x00000002 80000000 00000000'), (22, '\x00000002 00003e81 00000000'), (23, '\x3b9aca00 7fffffff 00000000'),
	(24, '\x00000002 00000003 00000000'), (25, '\x00000003 ffffffff 00000001'),
	-- not what the column takes, which is seen before unused
	(30, '\x00000003 00000000 00000001'),
	-- unused
	(40, '\x00000002 00000000 00000001'), (41, '\x00000002 00000000 ffffffff'),
	-- indices: too large, negative, not ascending, twice; seen before the missing values
	(50, '\x00000002 00000001 00000000 00000002'), (51, '\x00000002 00000001 00000000 ffffffff'), (52, '\x00000002 00000001 00000000 80000000'),
	(53, '\x00000002 00000002 00000000 00000001 00000000'), (54, '\x00000002 00000002 00000000 00000001 00000001'),
	(55, '\x00000002 00000002 00000000 00000000 7fffffff'),
	-- values: NaN, infinities, 0, -0
	(60, '\x00000002 00000001 00000000 00000001 7fc00000'), (61, '\x00000002 00000001 00000000 00000001 7f800000'),
	(62, '\x00000002 00000001 00000000 00000001 ff800000'), (63, '\x00000002 00000001 00000000 00000001 00000000'),
	(64, '\x00000002 00000001 00000000 00000001 80000000'), (65, '\x00000002 00000001 00000000 00000001 ff800001'),
	-- too short, too long, empty
	(70, '\x'), (71, '\x000000'), (72, '\x00000002 00000001'), (73, '\x00000002 00000002 00000000 00000000'),
	(74, '\x00000002 00000001 00000000 00000001'), (75, '\x00000002 00000001 00000000 00000001 3f8000'),
	(76, '\x00000002 00000001 00000000 00000001 3f800000 00'), (77, '\x00000002 00000000 00000000 00000000');
CREATE TABLE received (val sparsevec(2));
-- one field of one row in COPY's binary format, written by the shell
CREATE FUNCTION receive(message bytea) RETURNS void LANGUAGE plpgsql AS
$$
DECLARE
	file bytea := '\x5047434f50590aff0d0a00 0000000000000000 0001'::bytea || int4send(length(message)) || message || '\xffff'::bytea;
	escaped text;
BEGIN
	SELECT string_agg(format('\0%s%s%s', b >> 6, b >> 3 & 7, b & 7), '' ORDER BY i) INTO escaped
	FROM generate_series(0, length(file) - 1) i, LATERAL (SELECT get_byte(file, i) AS b) s;
	EXECUTE format('COPY received FROM PROGRAM %L (FORMAT binary)', 'printf %b ''' || escaped || '''');
END
$$;
SELECT id, state, message.message FROM (SELECT id, error_of(format('SELECT receive(%L)', val)) AS e FROM message OFFSET 0) s, LATERAL (SELECT (e).*) message ORDER BY id;
SELECT * FROM received;
DROP TABLE message, received;
DROP FUNCTION receive, error_of;

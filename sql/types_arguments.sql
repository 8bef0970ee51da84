-- Every function of the types, called with every combination of awkward
-- arguments of its types: it returns or raises an error a user can act on.

CREATE TABLE argument (type regtype, value text);
INSERT INTO argument
SELECT t::regtype, v FROM (VALUES
	('vector', ARRAY['''[1,2,3]''', '''[0,-0,0]''', '''[3.4028235e38,-3.4028235e38,1e-45]''', '''[1]''', 'array_fill(0.5, ARRAY[16000])', '(SELECT v FROM stored WHERE id = 1)', '(SELECT v FROM stored WHERE id = 2)', 'NULL']),
	('halfvec', ARRAY['''[1,2,3]''', '''[0,-0,0]''', '''[65504,-65504,6e-8]''', '''[1]''', 'array_fill(0.5, ARRAY[16000])', '(SELECT h FROM stored WHERE id = 1)', '(SELECT h FROM stored WHERE id = 2)', 'NULL']),
	('sparsevec', ARRAY['''{1:1,3:3}/3''', '''{}/3''', '''{1:3.4028235e38,2:-3.4028235e38,3:1e-45}/3''', '''{1:1}/1''', '''{1000000000:1}/1000000000''', 'array_fill(0.5, ARRAY[16000])', '(SELECT s FROM stored WHERE id = 1)', '(SELECT s FROM stored WHERE id = 2)', 'NULL']),
	('bit', ARRAY['B''101''', 'B''''', 'B''111000111''', '(SELECT b FROM stored WHERE id = 1)', '(SELECT b FROM stored WHERE id = 2)', 'NULL']),
	('bytea', ARRAY['''\x0000803f''', '''\x''', '''\x00''', '''\x0000c07f''', 'convert_to(repeat(''a'', 64000), ''UTF8'')', 'convert_to(repeat(''a'', 64004), ''UTF8'')', '(SELECT y FROM stored WHERE id = 2)', 'NULL']),
	('int', ARRAY['-2147483648', '-1', '0', '1', '3', '15999', '16000', '16001', '1000000000', '2147483647', 'NULL']),
	('boolean', ARRAY['true', 'NULL']),
	('oid', ARRAY['0', 'NULL']),
	('cstring', ARRAY['''[1,2,3]''', '''''', '''[''', '''[1e39]''', '''[nan]''', '''[1,2,3]x''', '''{1:1}/3''', '''{''', '''{0:1}/1''', '''{1:1e39}/1''', '''{}/2147483648''', 'textout(''{'' || repeat(''1:0,'', 16000) || ''1:1}/3'')', 'repeat(''['', 100000)::cstring', 'textout(''['' || repeat(''1,'', 16000) || ''1]'')', 'NULL']),
	('cstring[]', ARRAY['''{3}''', '''{}''', '''{NULL}''', '''{1,2}''', '''{{1}}''', '''{a}''', '''{-2147483648}''', '''{99999999999}''', 'NULL']),
	('int[]', ARRAY['''{1,2,3}''', '''{}''', '''{NULL}''', '''{{1}}''', '''{2147483647,-2147483648,0}''', 'array_fill(1, ARRAY[16001])', 'NULL']),
	('real[]', ARRAY['''{1,2,3}''', '''{}''', '''{1,NULL}''', '''{{1},{2}}''', '''{NaN}''', '''{Infinity}''', '''{3.4e38,1e-45,-0}''', 'NULL']),
	('float8[]', ARRAY['''{1,2,3}''', '''{}''', '''{0}''', '''{NULL}''', '''{{1,2}}''', '''{NaN,NaN}''', '''{1,1e308}''', '''{-1,-Infinity,1e-320,1}''', 'array_fill(1::float8, ARRAY[16001])', 'array_fill(1::float8, ARRAY[16002])', 'NULL']),
	('numeric[]', ARRAY['''{1,2,3}''', '''{}''', '''{NULL}''', '''{NaN}''', '''{1e131071}''', '''{1e-16383}''', 'NULL'])) s(t, vs),
	unnest(vs) v;
-- a short header, and out of line
CREATE TABLE stored (id int, v vector, h halfvec, b varbit, y bytea, s sparsevec);
ALTER TABLE stored ALTER y SET STORAGE external;
INSERT INTO stored VALUES (1, '[1,2,3]', '[1,2,3]', B'101', '\x00', '{1:1,2:2}/3'),
	(2, array_fill(2, ARRAY[16000])::vector, array_fill(2, ARRAY[16000])::halfvec, repeat('10', 8000)::varbit, decode(repeat('0000803f', 16000), 'hex'), array_fill(2, ARRAY[16000])::sparsevec);

-- NULL stands for itself, so that its type must be said
UPDATE argument SET value = format('%s::%s', CASE WHEN value LIKE '(%' THEN value ELSE '(' || value || ')' END, CASE WHEN type = 'bit'::regtype THEN 'varbit' ELSE type::text END)
WHERE type <> 'cstring'::regtype OR value = 'NULL';

CREATE FUNCTION state_of(call text) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	message text;
BEGIN
	EXECUTE 'SELECT ' || call;
	RETURN '00000';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
	RETURN SQLSTATE || CASE WHEN SQLSTATE = 'XX000' THEN ' ' || message ELSE '' END;
END
$$;

CREATE FUNCTION calls_of(function oid) RETURNS SETOF text LANGUAGE plpgsql AS
$$
DECLARE
	types oid[] := (SELECT proargtypes::oid[] FROM pg_proc WHERE oid = function);
	name text := (SELECT format('%I.%I', nspname, proname) FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace WHERE pg_proc.oid = function);
	lists text[] := ARRAY[''];
BEGIN
	FOR i IN array_lower(types, 1)..array_upper(types, 1) LOOP
		lists := ARRAY(SELECT l || CASE WHEN i > array_lower(types, 1) THEN ', ' ELSE '' END || value FROM unnest(lists) l, argument WHERE type = types[i]);
	END LOOP;
	RETURN QUERY SELECT format('%s(%s)', name, l) FROM unnest(lists) l;
END
$$;

SELECT p.oid::regprocedure AS function, count(*) AS calls, array_agg(DISTINCT state ORDER BY state) AS states
FROM pg_depend d JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid,
	LATERAL calls_of(p.oid) call, LATERAL state_of(call) state
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'omendb')
	AND p.prokind = 'f' AND pronargs > 0
	AND NOT EXISTS (SELECT FROM unnest(proargtypes) a WHERE a NOT IN (SELECT type FROM argument))
	AND (prorettype IN (SELECT type FROM argument) OR prorettype IN ('float8'::regtype))
	AND proname NOT LIKE 'omen%'
GROUP BY p.oid ORDER BY p.oid::regprocedure::text COLLATE "C";
DROP TABLE argument, stored;
DROP FUNCTION state_of, calls_of;

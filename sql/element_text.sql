-- The text of vector and halfvec is read as float4in reads a number, which calls
-- strtof: correctly rounded, whatever the number of digits and the exponent.

-- decimal numbers of every length and exponent, many of them halfway between two float4 or beside
CREATE TABLE number (text text);
SELECT setseed(0.25);
INSERT INTO number
SELECT CASE WHEN random() < 0.5 THEN '-' WHEN random() < 0.1 THEN '+' ELSE '' END || whole
	|| CASE WHEN fraction <> '' OR random() < 0.1 THEN '.' ELSE '' END || fraction
	|| CASE WHEN exponent IS NULL OR random() < 0.5 THEN '' ELSE (ARRAY['e', 'E', 'e+', 'E+'])[1 + floor(random() * 4)] || abs(exponent) END
FROM (SELECT lpad(floor(random() * 1e9)::text, 1 + floor(random() * 10)::int, '0') AS whole,
		left(translate(md5(i::text), 'abcdef', '012345'), floor(random() * 24)::int) AS fraction,
		CASE WHEN random() < 0.3 THEN floor(random() * 25) END AS exponent
	FROM generate_series(1, 60000) i) s;
INSERT INTO number
SELECT (random() * 10)::numeric(12, 9) || 'e-' || floor(random() * 50) FROM generate_series(1, 20000);
-- every float4 is drawn: its shortest text, and the middle between it and the next, exactly, with one digit more and one less
INSERT INTO number
SELECT t FROM (SELECT floor(random() * 2139095039)::int8 AS bits FROM generate_series(1, 20000)) s,
	LATERAL (SELECT ('\x' || lpad(to_hex(bits), 8, '0'))::bytea AS raw) r,
	LATERAL (SELECT set_byte(set_byte(set_byte(set_byte(raw, 0, get_byte(raw, 3)), 1, get_byte(raw, 2)), 2, get_byte(raw, 1)), 3, get_byte(raw, 0))::vector::real[] AS v) q,
	LATERAL (SELECT v[1] AS x) f,
	LATERAL (VALUES (x::text), (x::float8::text), ((x::float8 * 1.00000002980232)::text)) u(t)
WHERE x::float8 < 3.4e38;
INSERT INTO number
SELECT t FROM generate_series(16777217, 16787217, 2) i, LATERAL (VALUES (i::text), (i || '.0'), (i || '.00000000001'), ((i - 1) || '.99999999999'), (i || '0e-1'), ('0.' || i || 'e8')) u(t);
SELECT count(*) > 150000 AS many FROM number;

SELECT count(*) AS different FROM number
WHERE abs(text::float8) < 3.4e38 AND (abs(text::float8) > 1.5e-45 OR text::float8 = 0)
	AND vector_send(('[' || text || ']')::vector) <> '\x00010000'::bytea || float4send(text::real);
-- in the middle of others, where the reader may look further ahead
SELECT count(*) AS different FROM number
WHERE abs(text::float8) < 3.4e38 AND (abs(text::float8) > 1.5e-45 OR text::float8 = 0)
	AND vector_send(('[1.5,' || text || ' ,-12345678,' || text || ']')::vector)
		<> '\x000400003fc00000'::bytea || float4send(text::real) || float4send(-12345678::real) || float4send(text::real);
-- halves are those float4 rounded; 65520 and more are refused
SELECT count(*) AS different FROM number
WHERE abs(text::float8) < 65519 AND (abs(text::float8) > 1.5e-45 OR text::float8 = 0)
	AND halfvec_send(('[' || text || ']')::halfvec) <> halfvec_send(ARRAY[text::real]::halfvec);

-- what is written reads back equal, and is what float4 writes
SELECT count(*) AS different FROM (SELECT text::real AS x FROM number WHERE abs(text::float8) < 3.4e38 AND (abs(text::float8) > 1.5e-45 OR text::float8 = 0)) s
WHERE ARRAY[x]::vector::text <> '[' || x || ']' OR vector_send(ARRAY[x]::vector::text::vector) <> '\x00010000'::bytea || float4send(x);
DROP TABLE number;

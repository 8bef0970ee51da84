-- bit: Hamming and Jaccard distance.

SELECT hamming_distance('111', '111'), hamming_distance('111', '110'), hamming_distance('111', '100'), hamming_distance('111', '000');
SELECT hamming_distance('10101010', '01010101'), hamming_distance('101010101', '010101010'), hamming_distance('', '');
SELECT jaccard_distance('1111', '1111'), jaccard_distance('1111', '1110'), jaccard_distance('1111', '1100'), jaccard_distance('1111', '1000');
SELECT jaccard_distance('1010', '0101'), jaccard_distance('1000', '0100');
-- nothing in common, even when there is nothing: 1, as in pgvector
SELECT jaccard_distance('0000', '0000'), jaccard_distance('', ''), jaccard_distance('1000', '0000');
SELECT '111' <~> '100'::bit(3), '1111' <%> '1100'::bit(4), pg_typeof('1'::bit <~> '0'), pg_typeof('1'::bit <%> '0');
SELECT hamming_distance(NULL, '1'::bit), '1'::bit <%> NULL;

\set VERBOSITY sqlstate
SELECT hamming_distance('111', '00');
\set VERBOSITY default
SELECT jaccard_distance('111', '00');
SELECT '1'::bit(1) <~> '00'::bit(2);
SELECT B'1' <%> B'';

-- bit varying comes as bit; numbers do not
SELECT hamming_distance('111'::varbit, '100'::varbit), '110'::varbit <~> '011'::bit(3);
SELECT hamming_distance(1, 2);

-- operators
SELECT oprname, oprcode, oprcom = oid AS self_commutator, oprrest, oprjoin FROM pg_operator
WHERE oprleft = 'bit'::regtype AND oprname IN ('<~>', '<%>') ORDER BY oprname::text COLLATE "C";
SELECT proname, provolatile, proisstrict, proparallel, procost FROM pg_proc
WHERE proname IN ('hamming_distance', 'jaccard_distance') ORDER BY 1;

-- every length up to 1200 bits, so that every tail of a kernel is met, against counts of characters
SELECT count(*) AS wrong FROM (
	SELECT n, string_agg((i * i % 7 % 2)::text, '' ORDER BY i) AS a, string_agg((i % 5 % 2)::text, '' ORDER BY i) AS b,
		count(*) FILTER (WHERE i * i % 7 % 2 <> i % 5 % 2) AS different,
		count(*) FILTER (WHERE i * i % 7 % 2 = 1 AND i % 5 % 2 = 1) AS common,
		count(*) FILTER (WHERE i * i % 7 % 2 = 1 OR i % 5 % 2 = 1) AS united
	FROM generate_series(1, 1200) n, generate_series(1, n) i GROUP BY n) s
WHERE hamming_distance(a::varbit, b::varbit) <> different
	OR jaccard_distance(a::varbit, b::varbit) <> CASE WHEN common = 0 THEN 1 ELSE 1 - common::float8 / united END;

-- toasted, compressed and short values
CREATE TABLE t (id int, val varbit);
INSERT INTO t SELECT n, repeat('1', n)::varbit FROM unnest(ARRAY[1, 8, 900, 1100, 64000, 1000000]) n;
INSERT INTO t SELECT 64001, string_agg((hashint4(i) & 1)::text, '')::varbit || '1' FROM generate_series(1, 64000) i;
SELECT id, pg_column_size(val) < id / 8 AS compressed, hamming_distance(val, ~val) = id AS hamming, val <~> val AS same,
	val <%> val = 0 AS jaccard, jaccard_distance(val, ~val) AS disjoint FROM t ORDER BY id;
DROP TABLE t;

-- quantised vectors
SELECT binary_quantize('[1,-1,1,1]'::vector)::bit(4) <~> binary_quantize('[1,1,1,-1]'::halfvec)::bit(4);
CREATE TABLE items (id int, val bit(64));
INSERT INTO items SELECT i, (i * 7919 * 104729)::int8::bit(64) FROM generate_series(1::int8, 100) i;
SELECT id FROM items ORDER BY val <~> (SELECT val FROM items WHERE id = 42), id LIMIT 1;
SELECT id FROM items ORDER BY val <%> (SELECT val FROM items WHERE id = 17), id LIMIT 1;
DROP TABLE items;

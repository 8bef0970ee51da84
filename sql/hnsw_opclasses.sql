-- Every operator class: built, searched against exact answers, written to,
-- vacuumed, checked.
SET client_min_messages = warning;
SELECT opcname, opcintype::regtype, opcdefault, amvalidate(c.oid)
FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod WHERE amname = 'omen_hnsw' ORDER BY 2, 1;

-- Clusters: 2000 rows of 64 numbers around 20 centres; the same on every server.
CREATE FUNCTION noise(a int, b int) RETURNS float8 LANGUAGE sql IMMUTABLE AS
	$$ SELECT (hashint8(a::int8 * 1000003 + b)::float8 / 2147483648) $$;
CREATE TABLE numbers AS
	SELECT i AS id, (SELECT array_agg((noise(i % 20, j) + 0.3 * noise(i + 100, j))::float4 ORDER BY j)
		FROM generate_series(1, 64) j) AS a
	FROM generate_series(1, 2000) i;
CREATE FUNCTION bits(a float4[]) RETURNS bit LANGUAGE sql IMMUTABLE AS
	$$ SELECT binary_quantize(a::vector) $$;
CREATE FUNCTION sparse(a float4[], dim int) RETURNS sparsevec LANGUAGE sql IMMUTABLE AS
	$$ SELECT ('{' || string_agg((i * 7) || ':' || x, ',' ORDER BY i) || '}/' || dim)::sparsevec
	   FROM unnest(a) WITH ORDINALITY u(x, i) WHERE x > 0.3 $$;

-- Recall@10 of 50 queries, at ef_search 40.
CREATE FUNCTION recall(op text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	r float8;
BEGIN
	PERFORM set_config('enable_seqscan', 'off', true);
	EXECUTE format($q$
		SELECT avg((SELECT count(*) FROM (SELECT v %1$s q.v AS d FROM t ORDER BY v %1$s q.v LIMIT 10) found
			WHERE d <= (SELECT max(d) FROM (SELECT (t.v %1$s q.v) AS d FROM t
				ORDER BY (t.v %1$s q.v) + 0 LIMIT 10) exact)) / 10.0)
		FROM (SELECT v FROM t WHERE id %% 40 = 7) q $q$, op) INTO r;
	RETURN r;
END $$;

-- Half of the rows are there when the index is made; then the others come, a
-- third goes, and comes again.
CREATE PROCEDURE prepare(type text, opclass text, value text) LANGUAGE plpgsql AS $$
BEGIN
	DROP TABLE IF EXISTS t;
	EXECUTE format('CREATE TABLE t (id int, v %s) WITH (autovacuum_enabled = off)', type);
	EXECUTE format('INSERT INTO t SELECT id, %s FROM numbers WHERE id <= 1000', value);
	EXECUTE format('CREATE INDEX t_index ON t USING omen_hnsw (v %s)', opclass);
	EXECUTE format('INSERT INTO t SELECT id, %s FROM numbers WHERE id > 1000', value);
	DELETE FROM t WHERE id % 3 = 0;
END $$;
CREATE FUNCTION outcome(op text, value text) RETURNS TABLE (vacuumed bool, written bool, problems bigint)
LANGUAGE plpgsql AS $$
BEGIN
	vacuumed := recall(op) >= 0.99;
	EXECUTE format('INSERT INTO t SELECT id, %s FROM numbers WHERE id %% 3 = 0', value);
	written := recall(op) >= 0.99;
	SELECT count(*) INTO problems FROM omen_hnsw_check('t_index') WHERE severity = 'ERROR';
	RETURN NEXT;
END $$;

CALL prepare('vector(64)', 'vector_l1_ops', 'a::vector');
VACUUM t;
SELECT * FROM outcome('<+>', 'a::vector');
CALL prepare('halfvec(64)', 'halfvec_l2_ops', 'a::halfvec');
VACUUM t;
SELECT * FROM outcome('<->', 'a::halfvec');
CALL prepare('halfvec(64)', 'halfvec_ip_ops', 'a::halfvec');
VACUUM t;
SELECT * FROM outcome('<#>', 'a::halfvec');
CALL prepare('halfvec(64)', 'halfvec_cosine_ops', 'a::halfvec');
VACUUM t;
SELECT * FROM outcome('<=>', 'a::halfvec');
CALL prepare('halfvec(64)', 'halfvec_l1_ops', 'a::halfvec');
VACUUM t;
SELECT * FROM outcome('<+>', 'a::halfvec');
CALL prepare('bit(64)', 'bit_hamming_ops', 'bits(a)');
VACUUM t;
SELECT * FROM outcome('<~>', 'bits(a)');
CALL prepare('bit(64)', 'bit_jaccard_ops', 'bits(a)');
VACUUM t;
SELECT * FROM outcome('<%>', 'bits(a)');
CALL prepare('sparsevec(500)', 'sparsevec_l2_ops', 'sparse(a, 500)');
VACUUM t;
SELECT * FROM outcome('<->', 'sparse(a, 500)');
CALL prepare('sparsevec(500)', 'sparsevec_ip_ops', 'sparse(a, 500)');
VACUUM t;
SELECT * FROM outcome('<#>', 'sparse(a, 500)');
CALL prepare('sparsevec(500)', 'sparsevec_cosine_ops', 'sparse(a, 500)');
VACUUM t;
SELECT * FROM outcome('<=>', 'sparse(a, 500)');
CALL prepare('sparsevec(500)', 'sparsevec_l1_ops', 'sparse(a, 500)');
VACUUM t;
SELECT * FROM outcome('<+>', 'sparse(a, 500)');
DROP TABLE t;

-- Distances come out exact and in order, equal ones too.
CREATE TABLE t (id int, v bit(8));
INSERT INTO t VALUES (1, B'00000000'), (2, B'00000001'), (3, B'00000011'), (4, B'11111111'), (5, NULL), (6, B'00000001');
CREATE INDEX t_index ON t USING omen_hnsw (v bit_hamming_ops);
SET enable_seqscan = off;
SELECT v, v <~> B'00000001' AS d FROM t ORDER BY v <~> B'00000001';
SELECT id FROM t ORDER BY v <~> B'1';
DROP TABLE t;

-- Under cosine a vector without elements has no place; asked for, all are as far.
CREATE TABLE t (id int, v sparsevec(3));
INSERT INTO t VALUES (1, '{1:1}/3'), (2, '{2:1}/3'), (3, '{}/3'), (4, '{1:1,2:1}/3');
CREATE INDEX t_index ON t USING omen_hnsw (v sparsevec_cosine_ops);
SELECT id FROM t ORDER BY v <=> '{1:3}/3';
SELECT count(*) FROM (SELECT id FROM t ORDER BY v <=> '{}/3') x;
INSERT INTO t VALUES (5, '{}/3'), (6, '{1:2}/3');
SELECT id FROM t ORDER BY v <=> '{1:3}/3';
SELECT id FROM t ORDER BY v <=> '{1:3}/4';
SELECT * FROM omen_hnsw_check('t_index');
DROP TABLE t;
CREATE TABLE t (id int, v halfvec(3));
INSERT INTO t VALUES (1, '[0,0,0]'), (2, '[1,1,1]'), (3, '[1,2,4]');
CREATE INDEX t_index ON t USING omen_hnsw (v halfvec_cosine_ops);
SELECT id FROM t ORDER BY v <=> '[3,3,3]';
SELECT id FROM t ORDER BY v <=> '[3,3]';
DROP TABLE t;

-- Limits.
CREATE TABLE t (a bit(64000), b bit(64001), c varbit(3), d halfvec, e sparsevec(2000), f vector(16000));
CREATE INDEX ON t USING omen_hnsw (a bit_hamming_ops);
CREATE INDEX ON t USING omen_hnsw (b bit_hamming_ops);
CREATE INDEX ON t USING omen_hnsw (c bit_hamming_ops);
CREATE INDEX ON t USING omen_hnsw ((c::bit(3)) bit_hamming_ops);
CREATE INDEX ON t USING omen_hnsw (d halfvec_l2_ops);
CREATE INDEX ON t USING omen_hnsw (f vector_l2_ops);
INSERT INTO t (e) VALUES (array_fill(1, ARRAY[1001])::sparsevec(2000));
INSERT INTO t (e) SELECT ('{' || string_agg(i || ':1', ',') || '}/2000')::sparsevec FROM generate_series(1, 1001) i;
CREATE INDEX ON t USING omen_hnsw (e sparsevec_l2_ops);
TRUNCATE t;
CREATE INDEX ON t USING omen_hnsw (e sparsevec_l2_ops);
INSERT INTO t (e) SELECT ('{' || string_agg(i || ':1', ',') || '}/2000')::sparsevec FROM generate_series(1, 1001) i;
DROP TABLE t;

-- Values of several pages: built, inserted, found, freed, the room used again.
CREATE TABLE t (id int, v vector(4500)) WITH (autovacuum_enabled = off);
CREATE FUNCTION long(i int) RETURNS vector LANGUAGE sql IMMUTABLE AS
	$$ SELECT array_agg(noise(i, j)::float4 ORDER BY j)::vector FROM generate_series(1, 4500) j $$;
INSERT INTO t SELECT i, long(i) FROM generate_series(1, 40) i;
CREATE INDEX t_l1 ON t USING omen_hnsw (v vector_l1_ops);
CREATE INDEX t_l2 ON t USING omen_hnsw (v vector_l2_ops) WITH (storage = full);
INSERT INTO t SELECT i, long(i) FROM generate_series(41, 60) i;
SELECT id FROM t ORDER BY v <+> long(7) LIMIT 1;
SELECT id FROM t ORDER BY v <+> long(57) LIMIT 1;
SELECT id FROM t ORDER BY v <-> long(57) LIMIT 1;
SELECT * FROM omen_hnsw_check('t_l1') UNION ALL SELECT * FROM omen_hnsw_check('t_l2');
CREATE TABLE size AS SELECT pg_relation_size('t_l1') AS l1, pg_relation_size('t_l2') AS l2;
DELETE FROM t WHERE id % 2 = 0;
VACUUM t;
INSERT INTO t SELECT i, long(i) FROM generate_series(100, 125) i;
SELECT id FROM t ORDER BY v <+> long(120) LIMIT 1;
SELECT id FROM t ORDER BY v <-> long(121) LIMIT 1;
SELECT * FROM omen_hnsw_check('t_l1') UNION ALL SELECT * FROM omen_hnsw_check('t_l2');
SELECT pg_relation_size('t_l1') <= l1 AS l1_reused, pg_relation_size('t_l2') <= l2 AS l2_reused FROM size;
DROP TABLE t, size, numbers;
DROP PROCEDURE prepare;
DROP FUNCTION outcome, recall, sparse, bits, long, noise;

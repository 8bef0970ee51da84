-- Inner product of rows whose lengths differ: what is long is asked for most, and
-- is near to nothing.
SET client_min_messages = warning;
CREATE FUNCTION noise(a int, b int) RETURNS float8 LANGUAGE sql IMMUTABLE AS
	$$ SELECT (hashint8(a::int8 * 1000003 + b)::float8 / 2147483648) $$;
-- 32 numbers around 20 centres; lengths over a factor of 30, whatever the direction.
CREATE TABLE numbers AS
	SELECT i AS id, (SELECT array_agg((exp(1.7 * noise(i, -1)) * (noise(i % 20, j) + noise(i + 100, j)))::float4
		ORDER BY j) FROM generate_series(1, 32) j) AS a
	FROM generate_series(1, 4000) i;

-- Recall@10 of 100 queries that are no rows, at ef_search 40.
CREATE FUNCTION recall() RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	r float8;
BEGIN
	PERFORM set_config('enable_seqscan', 'off', true);
	SELECT avg((SELECT count(*) FROM (SELECT v <#> q.v AS d FROM t ORDER BY v <#> q.v LIMIT 10) found
		WHERE d <= (SELECT max(d) FROM (SELECT (t.v <#> q.v) AS d FROM t
			ORDER BY (t.v <#> q.v) + 0 LIMIT 10) exact)) / 10.0)
	FROM (SELECT (SELECT array_agg((noise(i % 20, j) + noise(i + 9000, j))::float4 ORDER BY j)
		FROM generate_series(1, 32) j)::vector AS v FROM generate_series(1, 100) i) q INTO r;
	RETURN r;
END $$;
CREATE PROCEDURE prepare(before text) LANGUAGE plpgsql AS $$
BEGIN
	DROP TABLE IF EXISTS t;
	CREATE TABLE t (id int, v vector(32)) WITH (autovacuum_enabled = off);
	EXECUTE 'INSERT INTO t SELECT id, a::vector FROM numbers WHERE ' || before;
	CREATE INDEX t_index ON t USING omen_hnsw (v vector_ip_ops);
	EXECUTE 'INSERT INTO t SELECT id, a::vector FROM numbers WHERE NOT ' || before;
END $$;

-- All rows there; half of them; none; the short ones, so that all others are longer
-- than the index expects.
CALL prepare('true');
SELECT recall() >= 0.98 AS built;
CALL prepare('id % 2 = 0');
SELECT recall() >= 0.97 AS half_inserted;
CALL prepare('false');
SELECT recall() >= 0.95 AS all_inserted;
SELECT count(*) FROM omen_hnsw_check('t_index') WHERE severity = 'ERROR';
CALL prepare('vector_norm(a::vector) < 2');
SELECT recall() >= 0.95 AS grown;
DELETE FROM t WHERE id % 3 = 0;
VACUUM t;
SELECT recall() >= 0.95 AS vacuumed;
SELECT count(*) FROM omen_hnsw_check('t_index') WHERE severity = 'ERROR';

-- Lengths that floats can hardly hold, and none: every row is found.
DROP TABLE t;
CREATE TABLE t (id int, v vector(3));
CREATE INDEX t_index ON t USING omen_hnsw (v vector_ip_ops);
INSERT INTO t VALUES (1, '[1e-30,0,0]'), (2, '[0,0,0]'), (3, '[1,2,3]'), (4, '[1e18,0,0]'), (5, '[3e38,0,0]'),
	(6, '[-3e38,1,0]'), (7, '[1e19,1e19,1e19]');
SET enable_seqscan = off;
SELECT id FROM t ORDER BY v <#> '[1,0.5,0.25]';
SELECT count(*) FROM (SELECT id FROM t ORDER BY v <#> '[0,0,0]') found;
SELECT count(*) FROM omen_hnsw_check('t_index') WHERE severity = 'ERROR';

DROP TABLE t, numbers;
DROP PROCEDURE prepare;
DROP FUNCTION recall, noise;

# 024_relations.pl - what is done to tables of every kind, and the ways their rows change:
# partitions, tablespaces, rewrites, TRUNCATE, temporary and unlogged tables, materialised
# views, HOT, ON CONFLICT, subtransactions, two-phase commit across a crash. After each the
# index answers as the table and passes the check.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Omendb;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('relations', conf => <<'CONF');
cluster_name = 'relations'
allow_in_place_tablespaces = on
max_prepared_transactions = 8
deadlock_timeout = 200ms
max_parallel_maintenance_workers = 0
CONF

sub sql { return $node->safe_psql('postgres', join ";\n", @_) }

# A table, or a tree of partitions, of up to 1000 rows: answers, and what the check finds in
# its omen_hnsw indexes, which are as many as told.
sub verify
{
	my ($table, $label, %options) = @_;
	my $dim = $options{dim} // 8;
	my $check = "SELECT count(DISTINCT i.oid), string_agg(i.relname || f::text, ',') FROM pg_index
		JOIN pg_class i ON i.oid = indexrelid JOIN pg_am a ON a.oid = i.relam
		LEFT JOIN omen_hnsw_check(indexrelid) f ON true
		WHERE amname = 'omen_hnsw' AND i.relkind = 'i' AND indisvalid
			AND (indrelid = '$table'::regclass OR indrelid IN (SELECT relid FROM pg_partition_tree('$table')))";
	return same_answers($node, $table, "vec(3, $dim)", $label, $check, ($options{indexes} // 1) . '|');
}

sub stat_of
{
	my ($index, $name) = @_;
	return sql("SELECT value FROM omen_hnsw_stats('$index') WHERE name = '$name'");
}

# 400 rows, 60 of them equal; what an UPDATE, a DELETE and a VACUUM leave of them.
sub make_table
{
	my ($table, $what) = @_;
	sql("CREATE $what $table (id int PRIMARY KEY, note int DEFAULT 0, v vector(8))",
		"INSERT INTO $table SELECT i, 0, vec(CASE WHEN i % 7 = 0 THEN 7 ELSE i END, 8) FROM generate_series(1, 400) i",
		"CREATE INDEX ${table}_v ON $table USING omen_hnsw (v)");
	return;
}

# Every kind of change at once; the index is in use before and after.
sub change
{
	my ($table, $from) = @_;
	sql("INSERT INTO $table (id, v) SELECT i, vec(i % 97, 8) FROM generate_series($from, $from + 150) i",
		"UPDATE $table SET v = vec(-id, 8) WHERE id % 5 = 1", "UPDATE $table SET note = note + 1 WHERE id % 3 = 1",
		"DELETE FROM $table WHERE id % 4 = 2");
	sql("VACUUM (INDEX_CLEANUP on) $table");
	sql("INSERT INTO $table (id, v) SELECT $from + 1000 + i, vec(i, 8) FROM generate_series(1, 40) i");
	return;
}

# ---- partitions ----

sql('CREATE TABLE p (id int, note int DEFAULT 0, v vector(8)) PARTITION BY RANGE (id)',
	'CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100)',
	'CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (300) PARTITION BY HASH (id)',
	(map { "CREATE TABLE p2_$_ PARTITION OF p2 FOR VALUES WITH (MODULUS 2, REMAINDER $_)" } 0, 1),
	'CREATE TABLE p_rest PARTITION OF p DEFAULT',
	'INSERT INTO p SELECT i, 0, vec(i, 8) FROM generate_series(1, 400) i',
	# A child's index of its own is taken for the parent's.
	'CREATE INDEX own ON p1 USING omen_hnsw (v) WITH (m = 8)',
	'CREATE INDEX p_v ON p USING omen_hnsw (v)');
is(sql("SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = 'own'::regclass"), 'p_v', 'an index was attached');
like(sql("SET enable_seqscan = off; EXPLAIN SELECT * FROM p ORDER BY v <-> vec(3, 8) LIMIT 5"),
	qr/Merge Append.*Index Scan.*Index Scan.*Index Scan.*Index Scan/s, 'partitions are merged');
verify('p', 'partitions', indexes => 4);
is(sql("SET enable_seqscan = off; SELECT (SELECT array_agg(d)
		FROM (SELECT v <-> vec(9, 8) AS d FROM p ORDER BY v <-> vec(9, 8) LIMIT 30) s)
		= (SELECT (array_agg(v <-> vec(9, 8) ORDER BY v <-> vec(9, 8)))[:30] FROM p)"), 't', 'a LIMIT over partitions');
sql('UPDATE p SET id = id + 150 WHERE id BETWEEN 50 AND 80', 'DELETE FROM p WHERE id % 3 = 0',
	'UPDATE p SET v = vec(-id, 8) WHERE id % 4 = 1');
verify('p', 'rows move between partitions', indexes => 4);
sql('CREATE TABLE late (id int, note int, v vector(8))',
	'INSERT INTO late SELECT i, 0, vec(i, 8) FROM generate_series(1000, 1200) i',
	'CREATE TABLE indexed (LIKE late)', 'CREATE INDEX indexed_v ON indexed USING omen_hnsw (v)',
	'INSERT INTO indexed SELECT i, 0, vec(i, 8) FROM generate_series(2000, 2100) i',
	'ALTER TABLE p ATTACH PARTITION late FOR VALUES FROM (1000) TO (2000)',
	'ALTER TABLE p ATTACH PARTITION indexed FOR VALUES FROM (2000) TO (3000)');
verify('p', 'attached partitions', indexes => 6);
sql('VACUUM (INDEX_CLEANUP on) p');
sql('REINDEX INDEX p_v');
sql('REINDEX TABLE CONCURRENTLY p');
verify('p', 'partitions vacuumed, reindexed', indexes => 6);
sql('ALTER TABLE p DETACH PARTITION p_rest');
sql('ALTER TABLE p DETACH PARTITION p2 CONCURRENTLY');
sql('DROP TABLE p1', 'TRUNCATE p_rest', 'ALTER TABLE p ATTACH PARTITION p_rest DEFAULT');
verify($_->[0], "$_->[0] after DETACH", indexes => $_->[1]) for ([ 'p', 3 ], [ 'p2', 2 ], [ 'p2_0', 1 ]);
# An index made piece by piece, as one is on large tables.
sql('CREATE TABLE q (id int, v vector(8)) PARTITION BY LIST (id)',
	(map { "CREATE TABLE q_$_ PARTITION OF q FOR VALUES IN ($_)" } 1, 2),
	'INSERT INTO q SELECT 1 + i % 2, vec(i, 8) FROM generate_series(1, 200) i',
	'CREATE INDEX q_v ON ONLY q USING omen_hnsw (v)');
sql("CREATE INDEX CONCURRENTLY q_v$_ ON q_$_ USING omen_hnsw (v)") for (1, 2);
sql("ALTER INDEX q_v ATTACH PARTITION q_v$_") for (1, 2);
is(sql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'q_v'::regclass"), 't', 'an index of parts is valid');
verify('q', 'an index of parts', indexes => 2);
sql('DROP TABLE p, p2, q');

# ---- another place, another file ----

sql("CREATE TABLESPACE elsewhere LOCATION ''");
make_table('t', 'TABLE');
sql('ALTER INDEX t_v SET TABLESPACE elsewhere');
verify('t', 'ALTER INDEX SET TABLESPACE');
change('t', 1000);
verify('t', 'changed there');
sql('ALTER TABLE t SET TABLESPACE elsewhere');
verify('t', 'ALTER TABLE SET TABLESPACE');
kill_server($node);
$node->start;
verify('t', 'a crash after a move');
sql('REINDEX (TABLESPACE pg_default) INDEX t_v');
sql('REINDEX (TABLESPACE elsewhere, CONCURRENTLY) INDEX t_v');
sql('BEGIN; ALTER INDEX t_v SET TABLESPACE pg_default; ROLLBACK');
verify('t', 'moves taken back');
change('t', 3000);
verify('t', 'changed again');
sql("UPDATE t SET id = id + 10000 WHERE id % 2 = 0");
for my $rewrite ('VACUUM FULL t', 'CLUSTER t USING t_pkey', 'VACUUM (FULL, FREEZE) t',
	'ALTER TABLE t ALTER note TYPE bigint', 'ALTER TABLE t ADD r float8 DEFAULT random()', 'ALTER TABLE t DROP r',
	'ALTER TABLE t SET UNLOGGED', 'ALTER TABLE t SET LOGGED',
	'ALTER TABLE t ALTER v TYPE vector(4) USING subvector(v, 1, 4)', 'ALTER TABLE t ALTER v TYPE vector',
	'ALTER TABLE t ALTER v TYPE vector(4)')
{
	my $dim = $rewrite =~ /vector/ ? 4 : 8;
	sql($rewrite);
	sql("DELETE FROM t WHERE id = (SELECT min(id) FROM t)",
		"INSERT INTO t (id, v) SELECT 20000 + max(id), vec(max(id), $dim) FROM t",
		"UPDATE t SET v = vec(id + 1, $dim) WHERE id % 11 = 2");
	verify('t', "changed after $rewrite", dim => $dim);
}
# Neither the old type's operator class nor an index of other dimensions is lost for what is refused.
my ($status, $out, $err) = $node->psql('postgres', 'ALTER TABLE t ALTER v TYPE halfvec(4)');
like($err, qr/ERROR:.*operator class/, 'no class, no new type');
verify('t', 'a type without a class', dim => 4);
sql('BEGIN', 'DROP INDEX t_v', 'ALTER TABLE t ALTER v TYPE halfvec(4)',
	'CREATE INDEX t_v ON t USING omen_hnsw (v halfvec_l2_ops)', 'COMMIT');
same_answers($node, 't', 'vec(3, 4)::halfvec', 'half precision');
check_index($node, 't_v', 'half precision');
sql('DROP TABLE t');

# ---- TRUNCATE ----

make_table('t', 'TABLE');
sql('BEGIN', 'TRUNCATE t', "INSERT INTO t (id, v) SELECT i, vec(-i, 8) FROM generate_series(1, 50) i", 'ROLLBACK');
is(sql('SELECT count(*) FROM t'), 400, 'TRUNCATE taken back');
verify('t', 'TRUNCATE taken back');
sql('BEGIN', 'SAVEPOINT a', 'TRUNCATE t', 'INSERT INTO t (id, v) SELECT i, vec(i, 8) FROM generate_series(1, 50) i',
	'ROLLBACK TO a',
	'DELETE FROM t WHERE id > 300', 'SAVEPOINT b', 'TRUNCATE t',
	'INSERT INTO t (id, v) SELECT i, vec(i, 8) FROM generate_series(500, 800) i', 'RELEASE b', 'COMMIT');
is(sql('SELECT count(*), min(id) FROM t'), '301|500', 'the second of two');
verify('t', 'TRUNCATE in a subtransaction');
sql('BEGIN', 'TRUNCATE t', 'INSERT INTO t (id, v) SELECT i, vec(i, 8) FROM generate_series(1, 300) i', 'COMMIT');
kill_server($node);
$node->start;
is(sql('SELECT count(*), max(id) FROM t'), '300|300', 'a crash after TRUNCATE');
verify('t', 'a crash after TRUNCATE');
sql('TRUNCATE t');
verify('t', 'an empty table');
change('t', 1);
verify('t', 'filled anew');
sql('DROP TABLE t');

# ---- unlogged, temporary, materialised ----

make_table('u', 'UNLOGGED TABLE');
sql('ALTER TABLE u SET TABLESPACE elsewhere', 'ALTER INDEX u_v SET TABLESPACE elsewhere');
change('u', 1000);
verify('u', 'unlogged');
$node->restart;
is(sql('SELECT count(*) > 300 FROM u'), 't', 'a clean stop keeps unlogged rows');
verify('u', 'unlogged, after a clean stop');
sql('CHECKPOINT');
kill_server($node);
$node->start;
is(sql('SELECT count(*) FROM u'), 0, 'a crash does not');
verify('u', 'unlogged, after a crash');
change('u', 1);
verify('u', 'unlogged, after a crash and on');
sql('REINDEX INDEX CONCURRENTLY u_v', 'DROP TABLE u');

# Buffers for a part of the index only.
my $temporary = sql(<<'SQL');
SET temp_buffers = '800kB';
CREATE TEMP TABLE tt (id int, v vector(128)) ON COMMIT PRESERVE ROWS;
CREATE INDEX tt_v ON tt USING omen_hnsw (v);
INSERT INTO tt SELECT i, vec(i, 128) FROM generate_series(1, 900) i;
DELETE FROM tt WHERE id % 3 = 0;
VACUUM (INDEX_CLEANUP on) tt;
INSERT INTO tt SELECT i, vec(i, 128) FROM generate_series(1001, 1200) i;
UPDATE tt SET v = vec(-id, 128) WHERE id % 5 = 0;
SELECT pg_relation_size('tt_v') > 900000;
SELECT * FROM omen_hnsw_check('tt_v');
SET omen_hnsw.ef_search = 1000;
SET enable_seqscan = off;
SELECT array_agg(id ORDER BY n) = (SELECT array_agg(id ORDER BY v <-> vec(7, 128), id) FROM tt)
	FROM (SELECT id, row_number() OVER () AS n FROM (SELECT id FROM tt ORDER BY v <-> vec(7, 128)) s) s;
BEGIN;
DROP TABLE tt;
ROLLBACK;
TRUNCATE tt;
INSERT INTO tt SELECT i, vec(i, 128) FROM generate_series(1, 5) i;
SELECT array_agg(id) FROM (SELECT id FROM tt ORDER BY v <-> vec(3, 128) LIMIT 1) s;
SELECT * FROM omen_hnsw_check('tt_v');
SQL
is($temporary, "t\nt\n{3}", 'a temporary table larger than its buffers');

make_table('t', 'TABLE');
sql('CREATE MATERIALIZED VIEW m AS SELECT * FROM t WHERE id % 3 > 0', 'CREATE UNIQUE INDEX m_id ON m (id)',
	'CREATE INDEX m_v ON m USING omen_hnsw (v)');
verify('m', 'a materialised view');
change('t', 1000);
sql('REFRESH MATERIALIZED VIEW CONCURRENTLY m');
verify('m', 'refreshed row by row');
change('t', 5000);
sql('REFRESH MATERIALIZED VIEW m');
verify('m', 'refreshed as a whole');
sql('DROP TABLE t CASCADE');

# ---- HOT: an entry leads to the root of a chain ----

make_table('t', 'TABLE');
sql('ALTER TABLE t SET (fillfactor = 40)');
sql('VACUUM FULL t');
for (1 .. 3)
{
	sql('UPDATE t SET note = note + 1');
	verify('t', 'HOT updates');
}
is(sql("SELECT pg_stat_force_next_flush(), pg_stat_get_tuples_hot_updated('t'::regclass) > 300"), '|t',
	'they were HOT');
is(stat_of('t_v', 'tids'), 400, 'the index has no new entries');
sql('VACUUM t');
verify('t', 'chains vacuumed');
# An index made over chains, some of them broken for it by an old snapshot.
my $reader = start_psql($node, 'BEGIN ISOLATION LEVEL REPEATABLE READ', 'SELECT 1',
	'SELECT pg_sleep(600) /* reader */');
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%/* reader */'
	AND pid <> pg_backend_pid()") or die('no reader');
sql('DROP INDEX t_v');
sql('UPDATE t SET v = vec(id + 3, 8) WHERE id % 2 = 0', 'UPDATE t SET v = vec(id + 4, 8) WHERE id % 4 = 0');
sql('CREATE INDEX t_v ON t USING omen_hnsw (v)');
is(sql("SELECT indcheckxmin FROM pg_index WHERE indexrelid = 't_v'::regclass"), 't', 'chains are broken');
is(sql("SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE query LIKE '%/* reader */'
	AND pid <> pg_backend_pid()"), 1, 'the old snapshot was there until now');
finish_psql($reader);
verify('t', 'an index over chains');
change('t', 1000);
verify('t', 'and on');
sql('DROP TABLE t');

# ---- subtransactions ----

make_table('t', 'TABLE');
sql(<<'SQL');
DO $$
BEGIN
	FOR i IN 1..120 LOOP
		BEGIN
			INSERT INTO t VALUES (5000 + i, 0, vec(i % 30, 8));
			IF i % 3 = 0 THEN UPDATE t SET v = vec(-i, 8) WHERE id = i; END IF;
			IF i % 4 = 0 THEN RAISE EXCEPTION 'back'; END IF;
			IF i % 5 = 0 THEN DELETE FROM t WHERE id = 5000 + i - 1; END IF;
		EXCEPTION WHEN raise_exception THEN
			UPDATE t SET v = vec(-i, 8) WHERE id = 200 + i;
		END;
	END LOOP;
END $$
SQL
is(sql('SELECT count(*) FROM t'), 400 + 90 - 12, 'subtransactions');
verify('t', 'subtransactions');
sql('VACUUM (INDEX_CLEANUP on) t');
verify('t', 'subtransactions vacuumed');
is(stat_of('t_v', 'tids'), 478, 'nothing of those that ended badly is left');

# ---- ON CONFLICT, many at once: rows that lose the race leave entries, for VACUUM ----

my $dir = PostgreSQL::Test::Utils::tempdir();
sql('CREATE TABLE wide (id int PRIMARY KEY, n int DEFAULT 0, v vector(600))',
	'CREATE INDEX wide_v ON wide USING omen_hnsw (v)',
	'CREATE TABLE source AS SELECT i AS id, vec(i, 600)::vector(600) AS v FROM generate_series(0, 60) i');
append_to_file("$dir/update.sql", "\\set id random(1, 8)\nINSERT INTO wide SELECT :id, 0, v FROM source
	WHERE id = :id * 5 + :client_id ON CONFLICT (id) DO UPDATE SET v = excluded.v, n = wide.n + 1;\n");
append_to_file("$dir/nothing.sql", "\\set id random(1, 8)\nINSERT INTO wide SELECT :id, 0, v FROM source
	WHERE id = :id ON CONFLICT DO NOTHING;\n");
append_to_file("$dir/delete.sql", "\\set id random(1, 8)\nDELETE FROM wide WHERE id = :id;\n");
command_ok([ 'pgbench', '-n', '-c', 8, '-t', 150, '-h', $node->host, '-p', $node->port,
		map { ('-f', "$dir/$_.sql") } ('update', 'nothing', 'delete', 'delete') ], 'rows race for their keys');
sql("INSERT INTO wide SELECT id, 0, v FROM source ON CONFLICT DO NOTHING", 'REINDEX TABLE CONCURRENTLY source');
verify('wide', 'ON CONFLICT', dim => 600);
sql('VACUUM (INDEX_CLEANUP on) wide');
verify('wide', 'ON CONFLICT, vacuumed', dim => 600);
is(stat_of('wide_v', 'tids'), sql('SELECT count(*) FROM wide'), 'an entry for each row');

# ---- SERIALIZABLE ----

# Of two transactions that search where the other inserts, one has to go; the first is
# prepared, so it is the second. Who does not search is in nobody's way.
my $search = sub { return "SELECT count(*) FROM (SELECT id FROM t ORDER BY v <-> vec($_[0], 8) LIMIT 3) s" };
for my $round ([ 'both search', $search->(602), '40001' ], [ 'one searches', 'SELECT 1', '' ])
{
	my ($label, $second, $state) = @$round;
	sql('SET enable_seqscan = off; BEGIN ISOLATION LEVEL SERIALIZABLE', $search->(601),
		'INSERT INTO t VALUES (9002, 0, vec(602, 8))', "PREPARE TRANSACTION 'first'");
	my (undef, undef, $problem) = $node->psql('postgres', "\\set VERBOSITY sqlstate\nSET enable_seqscan = off;
		BEGIN ISOLATION LEVEL SERIALIZABLE; $second; INSERT INTO t VALUES (9001, 0, vec(601, 8)); COMMIT");
	is($problem =~ /ERROR:\s+(\w+)/ ? $1 : $problem, $state, "SERIALIZABLE, $label");
	sql("COMMIT PREPARED 'first'");
	is(sql('SELECT string_agg(id::text, \',\' ORDER BY id) FROM t WHERE id > 9000'), $state ? '9002' : '9001,9002',
		"SERIALIZABLE, $label: rows");
	verify('t', "SERIALIZABLE, $label");
	sql('DELETE FROM t WHERE id > 9000');
}

# ---- two phases, a crash between them ----

sql('VACUUM (INDEX_CLEANUP on) t');
make_table('k', 'TABLE');
make_table('g', 'TABLE');
my %prepared = (
	kept_rows => 'INSERT INTO t (id, v) SELECT i, vec(i % 50, 8) FROM generate_series(6000, 6060) i;
		SAVEPOINT a; DELETE FROM t WHERE id < 10; ROLLBACK TO a; DELETE FROM t WHERE id BETWEEN 20 AND 29',
	lost_rows => 'INSERT INTO t (id, v) SELECT i, vec(i % 50, 8) FROM generate_series(7000, 7060) i;
		DELETE FROM t WHERE id BETWEEN 30 AND 39; UPDATE t SET v = vec(id * 2, 8) WHERE id BETWEEN 40 AND 49',
	kept_change => 'UPDATE t SET v = vec(id * 3, 8), note = 1 WHERE id BETWEEN 50 AND 69',
	kept_table => 'CREATE TABLE made (id int, v vector(8)); CREATE INDEX made_v ON made USING omen_hnsw (v);
		INSERT INTO made SELECT i, vec(i, 8) FROM generate_series(1, 200) i',
	lost_table => 'CREATE TABLE unmade (id int, v vector(8)); CREATE INDEX unmade_v ON unmade USING omen_hnsw (v);
		INSERT INTO unmade SELECT i, vec(i, 8) FROM generate_series(1, 200) i',
	kept_truncate => 'TRUNCATE k; INSERT INTO k (id, v) SELECT i, vec(i, 8) FROM generate_series(1, 90) i',
	lost_truncate => 'TRUNCATE g; INSERT INTO g (id, v) SELECT i, vec(i, 8) FROM generate_series(1, 90) i');
my $written = 0;
for my $name (sort keys %prepared)
{
	sql('BEGIN', $prepared{$name}, "PREPARE TRANSACTION '$name'");
	sql('CHECKPOINT') if ++$written == 3;
}
verify('t', 'prepared');
sql('DELETE FROM t WHERE id BETWEEN 100 AND 140');
sql('VACUUM (INDEX_CLEANUP on) t');
verify('t', 'prepared, vacuumed');
kill_server($node);
$node->start;
is(sql('SELECT count(*) FROM pg_prepared_xacts'), scalar keys %prepared, 'prepared transactions outlive a crash');
verify('t', 'prepared, after a crash');
sql('INSERT INTO t (id, v) SELECT i, vec(i % 50, 8) FROM generate_series(100, 140) i');
sql('VACUUM (INDEX_CLEANUP on) t');
sql((/^kept/ ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$_'") for sort keys %prepared;
is(sql('SELECT count(*) FROM t WHERE id BETWEEN 6000 AND 6060 OR id BETWEEN 20 AND 29'), 61, 'what was kept');
is(sql('SELECT count(*) FROM t WHERE id BETWEEN 7000 AND 7060'), 0, 'what was not');
is(sql('SELECT count(*) FROM k'), 90, 'a kept TRUNCATE');
is(sql('SELECT count(*) FROM g'), 400, 'one that was not');
is(sql("SELECT to_regclass('unmade') IS NULL"), 't', 'a table that was not');
for my $round ('prepared transactions ended', 'and vacuumed')
{
	for my $table ('t', 'k', 'g', 'made')
	{
		verify($table, "$round, $table");
		sql("VACUUM (INDEX_CLEANUP on) $table");
	}
}
is(stat_of('t_v', 'tids'), sql('SELECT count(*) FROM t'), 'an entry for each row that is left');

server_is_quiet($node, 'at the end');
$node->stop;
command_ok([ 'pg_checksums', '--check', '-D', $node->data_dir ], 'checksums are right');
done_testing();

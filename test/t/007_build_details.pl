# 007_build_details.pl - progress shown while building, dead and recently dead
# rows with TOAST, dump and restore.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Omendb;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = new_node('main');

# ---- progress ----

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE t (id int, v vector(64));
INSERT INTO t SELECT i, spread(i, 64) FROM generate_series(1, 15000) i;
-- What is seen is kept by the one who looks.
CREATE FUNCTION watch() RETURNS TABLE (phase text, done bigint, total bigint) LANGUAGE plpgsql AS $$
DECLARE r record; seen bool := false; until timestamptz := clock_timestamp() + '60 s';
BEGIN
	WHILE clock_timestamp() < until LOOP
		SELECT p.phase, tuples_done, tuples_total INTO r FROM pg_stat_progress_create_index p WHERE
			relid = 't'::regclass;
		IF FOUND THEN
			seen := true;
			phase := r.phase; done := r.tuples_done; total := r.tuples_total;
			RETURN NEXT;
		ELSIF seen THEN
			RETURN;
		END IF;
		PERFORM pg_sleep(0.002), pg_stat_clear_snapshot();
	END LOOP;
END $$;
SQL
for my $workers (0, 2)
{
	$node->safe_psql('postgres', "ALTER TABLE t SET (parallel_workers = $workers)");
	my $watch = start_psql($node, 'SELECT DISTINCT * FROM watch()');
	usleep(200_000);
	my ($status, $out, $err) = $node->psql('postgres', 'CREATE INDEX t_v ON t USING omen_hnsw (v)');
	is("$status$err", '0', "$workers workers: built");
	my ($ended, $seen, $problems) = finish_psql($watch);
	is($ended, 0, "$workers workers: watched") || diag($problems);
	my @rows = map { [ split /\|/ ] } split /\n/, $seen;
	my %phases = map { $_->[0] => 1 } @rows;
	note("$workers workers: " . join(', ', sort keys %phases));
	ok($phases{'building index: loading tuples'}, "$workers workers: loading tuples is a phase");
	my @loading = grep { $_->[0] eq 'building index: loading tuples' } @rows;
	my %done = map { $_->[1] => 1 } @loading;
	ok(!(grep { $_->[2] < 10000 || $_->[2] > 22000 } @loading), "$workers workers: the total is told, about");
	cmp_ok(scalar(keys %done), '>', 4, "$workers workers: tuples done grow");
	is(scalar(grep { !/^(initializing|building[ ]index(:[ ]
		(initializing|sampling[ ]table|loading[ ]tuples|comparing[ ]vectors|linking[ ]nodes|writing[ ]pages))?)$/x }
			keys %phases), 0, "$workers workers: no phase without a name") || diag(join ', ', keys %phases);
	$node->safe_psql('postgres', 'DROP INDEX t_v');
}

# ---- dead and recently dead rows, whose vectors lie in TOAST ----

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE toasted (id int, v vector(700)) WITH (fillfactor = 50);
INSERT INTO toasted SELECT i, spread(i, 700) FROM generate_series(1, 500) i;
SQL
for my $workers (0, 2)
{
	$node->safe_psql('postgres', "ALTER TABLE toasted SET (parallel_workers = $workers)");
	# An old snapshot keeps what is deleted now alive, for itself.
	my $holder = start_psql($node, 'BEGIN ISOLATION LEVEL REPEATABLE READ', 'SELECT count(*) FROM toasted',
		"SELECT pg_sleep(600) /* holder */");
	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%/* holder */'
		AND pid <> pg_backend_pid() AND state = 'active'")
	  or die('the snapshot was never taken');
	$node->safe_psql('postgres', <<'SQL');
DELETE FROM toasted WHERE id % 4 = 1;
UPDATE toasted SET v = spread(id + 1000, 700) WHERE id % 4 = 2;
UPDATE toasted SET id = id WHERE id % 4 = 3;
BEGIN;
INSERT INTO toasted SELECT 5000 + i, spread(i, 700) FROM generate_series(1, 50) i;
ROLLBACK;
SQL
	my $build = start_psql($node, 'CREATE INDEX toasted_v ON toasted USING omen_hnsw (v)');
	# VACUUM of the TOAST table alone does not wait for the build's lock.
	my $toast = $node->safe_psql('postgres', "SELECT reltoastrelid::regclass FROM pg_class WHERE relname = 'toasted'");
	$node->psql('postgres', "VACUUM $toast");
	my ($status, $out, $err) = finish_psql($build);
	is("$status$err", '0', "recently dead rows, $workers workers: built");
	same_answers($node, 'toasted', 'spread(9, 700)', "recently dead rows, $workers workers");
	check_index($node, 'toasted_v', "recently dead rows, $workers workers");
	is($node->safe_psql('postgres', "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity
		WHERE query LIKE '%/* holder */' AND pid <> pg_backend_pid()"), 1,
		"$workers workers: the old snapshot was there");
	finish_psql($holder);
	$node->safe_psql('postgres', 'VACUUM toasted');
	check_index($node, 'toasted_v', "vacuumed, $workers workers");
	same_answers($node, 'toasted', 'spread(9, 700)', "vacuumed, $workers workers");
	# Now they are dead to all, and their TOAST is gone.
	$node->safe_psql('postgres', 'DELETE FROM toasted WHERE id % 5 = 0; REINDEX INDEX toasted_v');
	same_answers($node, 'toasted', 'spread(9, 700)', "dead rows, $workers workers");
	check_index($node, 'toasted_v', "dead rows, $workers workers");
	$node->safe_psql('postgres', "DROP INDEX toasted_v; TRUNCATE toasted;
		INSERT INTO toasted SELECT i, spread(i, 700) FROM generate_series(1, 500) i");
}

# An updated row whose other version is of our own transaction.
$node->safe_psql('postgres', <<'SQL');
BEGIN;
UPDATE toasted SET v = spread(id + 9, 700) WHERE id % 3 = 0;
DELETE FROM toasted WHERE id % 3 = 1;
CREATE INDEX toasted_v ON toasted USING omen_hnsw (v);
COMMIT;
SQL
same_answers($node, 'toasted', 'spread(9, 700)', 'changed in the same transaction');
check_index($node, 'toasted_v', 'changed in the same transaction');

# ---- dump and restore ----

$node->safe_psql('postgres', <<'SQL');
DROP TABLE t;
CREATE SCHEMA other;
CREATE TABLE other.d (id int PRIMARY KEY, v vector(24), w vector);
INSERT INTO other.d SELECT i, spread(i, 24), vec(i, 1 + i % 3) FROM generate_series(1, 500) i;
CREATE INDEX d_v ON other.d USING omen_hnsw (v vector_ip_ops) WITH (m = 8, ef_construction = 40, storage = half);
CREATE INDEX d_w ON other.d USING omen_hnsw ((w::vector(2)) vector_cosine_ops) WHERE vector_dims(w) = 2;
SQL
my $dump = $node->basedir . '/dump';
command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
command_ok([ 'pg_restore', '-d', $node->connstr('restored'), $dump ], 'pg_restore');
for my $index ('other.d_v', 'other.d_w')
{
	is($node->safe_psql('restored', "SELECT pg_get_indexdef('$index'::regclass)"),
		$node->safe_psql('postgres', "SELECT pg_get_indexdef('$index'::regclass)"), "$index: the same definition");
	is($node->safe_psql('restored', "SELECT * FROM omen_hnsw_check('$index')"), '', "$index: restored and right");
}
my $query = "SET enable_seqscan = off; SET omen_hnsw.ef_search = 1000; SELECT v <#> spread(7,
	24) FROM other.d ORDER BY v <#> spread(7, 24) LIMIT 50";
$query =~ s/spread/public.spread/g;
is($node->safe_psql('restored', $query), $node->safe_psql('postgres', $query), 'and the same answers');

server_is_quiet($node, 'all');
done_testing();

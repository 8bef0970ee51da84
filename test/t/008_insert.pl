# 008_insert.pl - rows inserted by several sessions at once, on a standby that finds
# every replayed page identical, and after what kills the server meanwhile.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Omendb;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $primary = new_node('insert_primary', init => { allows_streaming => 1 },
	conf => <<'CONF');
cluster_name = 'insert_primary'
wal_consistency_checking = 'generic'
max_prepared_transactions = 2
restart_after_crash = on
CONF
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('insert_standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

sub catch_up { $primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert')); return; }

# Part of the exact 10 nearest rows that the index finds, over some queries.
sub recall
{
	my ($node, $table, $dim) = @_;
	return $node->safe_psql('postgres', <<"SQL");
SET max_parallel_workers_per_gather = 0;
CREATE TEMP TABLE exact AS SELECT q, (SELECT array_agg(d) FROM (SELECT v <-> spread(q, $dim) AS d
	FROM $table ORDER BY v <-> spread(q, $dim) LIMIT 10) s) AS d FROM generate_series(900001, 900040) q;
SET enable_seqscan = off;
SELECT sum((SELECT count(*) FROM (SELECT v <-> spread(q, $dim) AS near FROM $table
	ORDER BY v <-> spread(q, $dim) LIMIT 10) s WHERE near <= d[10])) / 400 FROM exact;
SQL
}

# ---- several sessions into an index that is empty at first ----

$primary->safe_psql('postgres', <<'SQL');
CREATE TABLE t (id int, v vector(24));
CREATE INDEX t_v ON t USING omen_hnsw (v);
CREATE TABLE wide (id int, v vector(900));
CREATE INDEX wide_v ON wide USING omen_hnsw (v vector_cosine_ops);
CREATE UNLOGGED TABLE u (id int, v vector(24));
CREATE INDEX u_v ON u USING omen_hnsw (v);
SQL
my @sessions = map {
	my $s = $_;
	start_psql($primary,
		# one row a statement, then many, equal ones among them
		(map { "INSERT INTO t SELECT $_, spread($_, 24)" } map { $s * 100000 + $_ } 1 .. 40),
		"INSERT INTO t SELECT $s * 100000 + i, spread($s * 100000 + i, 24) FROM generate_series(41, 900) i",
		"INSERT INTO t SELECT $s * 100000 + i, spread(i % 5, 24) FROM generate_series(1001, 1200) i",
		"INSERT INTO wide SELECT $s * 1000 + i, spread($s * 1000 + i, 900) FROM generate_series(1, 60) i",
		"INSERT INTO u SELECT i, spread(i, 24) FROM generate_series(1, 100) i")
} 1 .. 4;
for my $run (@sessions)
{
	my ($status, undef, $err) = finish_psql($run);
	is("$status$err", '0', 'a session has inserted');
}
is($primary->safe_psql('postgres', 'SELECT count(*) FROM t'), 4400, 'all rows are there');
is($primary->safe_psql('postgres', "SELECT value FROM omen_hnsw_stats('t_v') WHERE name = 'tids'"),
	4400, 'and in the index');
check_index($primary, $_, 'inserted at once') for 't_v', 'wide_v', 'u_v';
# 0.95 and more were measured with equal rows and without.
cmp_ok(recall($primary, 't', 24), '>=', 0.9, 'searches find them');
same_answers($primary, 'u', 'spread(5, 24)', 'an unlogged table');
catch_up();
check_index($standby, $_, 'standby') for 't_v', 'wide_v';
my $sql = "SET enable_seqscan = off; SET omen_hnsw.ef_search = 400;
	SELECT id, v <-> spread(77, 24) FROM t ORDER BY v <-> spread(77, 24) LIMIT 50";
is($standby->safe_psql('postgres', $sql), $primary->safe_psql('postgres', $sql),
	'the standby answers as the primary');

# ---- two phases ----

$primary->safe_psql('postgres', "BEGIN; INSERT INTO t SELECT 900000 + i, spread(900000 + i, 24)
	FROM generate_series(1, 50) i; PREPARE TRANSACTION 'p1'");
$primary->safe_psql('postgres', "BEGIN; INSERT INTO t SELECT 910000 + i, spread(910000 + i, 24)
	FROM generate_series(1, 50) i; PREPARE TRANSACTION 'p2'");
$primary->restart;
check_index($primary, 't_v', 'prepared');
$primary->safe_psql('postgres', "COMMIT PREPARED 'p1'");
$primary->safe_psql('postgres', "ROLLBACK PREPARED 'p2'");
is($primary->safe_psql('postgres', 'SELECT count(*) FROM t'), 4450, 'one of two prepared transactions');
check_index($primary, 't_v', 'prepared, then ended');

# ---- CREATE INDEX CONCURRENTLY while rows arrive, go and change ----

my @writers = map {
	my $s = $_;
	start_psql($primary, map {
		my $id = 2000000 + $s * 100000 + $_;
		("INSERT INTO t SELECT $id, spread($id, 24)", "UPDATE t SET v = spread(-$id, 24) WHERE id = $id",
			$_ % 3 ? () : "DELETE FROM t WHERE id = $id")
	} 1 .. 150)
} 1 .. 2;
for my $workers (0, 2)
{
	$primary->safe_psql('postgres', "ALTER TABLE t SET (parallel_workers = $workers)");
	my ($status, undef, $err) = $primary->psql('postgres',
		"CREATE INDEX CONCURRENTLY t_v$workers ON t USING omen_hnsw (v); REINDEX INDEX CONCURRENTLY t_v$workers");
	is("$status$err", '0', "built concurrently, $workers workers");
}
finish_psql($_) for @writers;
for my $index ('t_v', 't_v0', 't_v2')
{
	check_index($primary, $index, 'concurrently');
}

# ---- killed in the middle: rows that were reported committed are there ----

$standby->stop;
$primary->safe_psql('postgres', 'DROP INDEX t_v0, t_v2; TRUNCATE u');
for my $round (1 .. 3)
{
	my @runs = map {
		my $s = $round * 10 + $_;
		start_psql($primary, map {
			my $id = $s * 1000000 + $_;
			"INSERT INTO t SELECT $id * 10 + i, spread($id * 10 + i, 24) FROM generate_series(0, 4) i RETURNING id"
		} 1 .. 4000)
	} 1 .. 2;
	$primary->poll_query_until('postgres', "SELECT count(*) > 300 FROM t WHERE id >= $round * 100000000");
	$primary->safe_psql('postgres', 'CHECKPOINT') if $round == 2;
	usleep(300_000);
	if ($round == 3)
	{
		# One backend; the server restarts itself.
		my $pid = $primary->safe_psql('postgres',
			"SELECT pid FROM pg_stat_activity WHERE query LIKE 'INSERT%' AND pid <> pg_backend_pid() LIMIT 1");
		kill_backend($primary, $pid);
	}
	else
	{
		kill_server($primary);
	}
	my @told;
	for my $run (@runs)
	{
		eval { finish_psql($run) };
		push @told, grep { /^\d+$/ } split /\n/, $run->{out};
	}
	$primary->start if $round != 3;
	$primary->poll_query_until('postgres', 'SELECT 1', '1') or die('no restart');
	cmp_ok(scalar @told, '>', 300, "round $round: rows were reported");
	my $there = join(',', @told);
	is($primary->safe_psql('postgres', "SELECT count(*) FROM t WHERE id = ANY('{$there}')"),
		scalar @told, "round $round: and are there");
	check_index($primary, 't_v', "round $round: killed");
	cmp_ok(recall($primary, 't', 24), '>=', 0.9, "round $round: searches find them");
	$primary->safe_psql('postgres', "INSERT INTO t SELECT $round, spread(i, 24) FROM generate_series(5000, 5100) i");
	check_index($primary, 't_v', "round $round: and on");
}
is($primary->safe_psql('postgres', "INSERT INTO u SELECT i, spread(i, 24) FROM generate_series(1, 100) i;
	SELECT count(*) FROM u"), 100, 'the unlogged table is used again');
check_index($primary, 'u_v', 'after a crash');
same_answers($primary, 'u', 'spread(5, 24)', 'after a crash');

# Each replayed page was compared; the log of the recoveries says so too.
unlike(slurp_file($standby->logfile), qr/inconsistent page found|PANIC|TRAP/, 'no page differed');
unlike(slurp_file($primary->logfile), qr/inconsistent page found|PANIC|TRAP/, 'nor in recovery');
$primary->stop;
command_ok([ 'pg_checksums', '--check', '-D', $primary->data_dir ], 'checksums are right');

done_testing();

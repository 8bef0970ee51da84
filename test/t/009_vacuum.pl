# 009_vacuum.pl - VACUUM interrupted at any moment, by a cancel, a killed backend or a
# killed server, leaves an index that answers, passes the check, and that the next
# VACUUM completes; a standby follows, page by page.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Omendb;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $primary = new_node('primary', init => { allows_streaming => 1 },
	conf => "cluster_name = 'primary'\nwal_consistency_checking = 'generic'\nrestart_after_crash = on\n");
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

sub stat_of
{
	my ($node, $index, $name) = @_;
	return $node->safe_psql('postgres', "SELECT value FROM omen_hnsw_stats('$index') WHERE name = '$name'");
}

# No error; lists of 4 links on a level of few nodes may miss some, which is a warning.
sub no_error
{
	my ($node, $index, $label) = @_;
	my $found = $node->safe_psql('postgres',
		"SELECT * FROM omen_hnsw_check('$index', true)
			WHERE severity <> 'WARN' OR invariant <> 'R1' OR '$index' <> 'u_v'");
	return is($found, '', "$label: $index passes omen_hnsw_check");
}

# Every row of a table by its index, on any server.
sub finds_all
{
	my ($node, $table, $label) = @_;
	my $sql = "SET enable_seqscan = off; SET omen_hnsw.ef_search = 1000; SET omen_hnsw.max_scan_tuples = 10000000;
		SET omen_hnsw.scan_mem_multiplier = 1000; SET omen_hnsw.scan_order = relaxed;
		SELECT count(*) = (SELECT count(*) FROM $table WHERE v IS NOT NULL), count(*) = count(DISTINCT id)
		FROM (SELECT id FROM $table ORDER BY v <-> spread(3, 24)) s";
	return is($node->safe_psql('postgres', $sql), 't|t', "$label: every row of $table is found, once");
}

# Rows in clusters; many equal ones, so that TIDs go on in parts; short lists in u.
my $rows = long_tests() ? 20000 : 2500;
$primary->safe_psql('postgres', <<"SQL");
CREATE TABLE source AS SELECT i AS id, spread(i, 24)::vector(24) AS v FROM generate_series(1, $rows) i;
INSERT INTO source SELECT 1000000 + i, spread(i / 300, 24) FROM generate_series(1, 1500) i;
SQL

sub make_tables
{
	$primary->safe_psql('postgres', <<'SQL');
DROP TABLE IF EXISTS t, u;
CREATE TABLE t WITH (autovacuum_enabled = off) AS SELECT * FROM source;
ALTER TABLE t ALTER v TYPE vector(24);
CREATE INDEX t_v ON t USING omen_hnsw (v);
CREATE TABLE u WITH (autovacuum_enabled = off) AS SELECT * FROM source WHERE id < 1200 OR id > 1000000;
ALTER TABLE u ALTER v TYPE vector(24);
CREATE INDEX u_v ON u USING omen_hnsw (v) WITH (m = 2, ef_construction = 16);
SQL
	return;
}

# What each round deletes; the last leaves nothing.
my @deletions = ('id % 10 = 3',
	'v <-> spread(5, 24) < (SELECT percentile_cont(0.3) WITHIN GROUP (ORDER BY v <-> spread(5, 24)) FROM source)',
	'id % 3 = 0', 'id > 1000000 AND id % 50 <> 0', 'id % 17 <> 0', 'true');

make_tables();
my ($interrupted, $tries) = (0, 0);
for my $deletion (@deletions)
{
	for my $way ('cancel', 'cancel', 'kill -9 of the backend', 'kill -9 of the server')
	{
		my $label = "$deletion, $way";
		$label =~ s/v <->.*\)/near rows/;
		# Slices, so that every try has something to do.
		my $slice = $tries++ % 4;
		$primary->safe_psql('postgres', "DELETE FROM $_ WHERE ($deletion) AND id / 7 % 4 <= $slice")
		  for ('t', 'u');
		my $run = start_psql($primary, "SET vacuum_cost_delay = 4; SET vacuum_cost_limit = 100",
			'VACUUM (INDEX_CLEANUP on) t', 'VACUUM (INDEX_CLEANUP on) u');
		# It may be over before it is seen.
		for (1 .. 50)
		{
			$run->{h}->pump_nb;
			last if !$run->{h}->pumpable || $primary->safe_psql('postgres',
				"SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'VACUUM (INDEX%' AND state = 'active'");
			usleep(10000);
		}
		usleep(1000 * int(rand(1000)));
		if ($way eq 'kill -9 of the server')
		{
			kill_server($primary);
			$primary->start;
		}
		elsif ($way eq 'cancel')
		{
			$primary->safe_psql('postgres', "SELECT pg_cancel_backend(pid) FROM pg_stat_activity
				WHERE query LIKE 'VACUUM (INDEX%' AND pid <> pg_backend_pid()");
		}
		else
		{
			my $pid = $primary->safe_psql('postgres', "SELECT pid FROM pg_stat_activity
				WHERE query LIKE 'VACUUM (INDEX%' AND pid <> pg_backend_pid()");
			kill_backend($primary, $pid);
		}
		my ($status) = finish_psql($run);
		$interrupted++ if $status != 0;
		$primary->poll_query_until('postgres', 'SELECT 1', '1') or die("$label: no restart");
		for my $table ('t', 'u')
		{
			no_error($primary, "${table}_v", "$label, interrupted");
			finds_all($primary, $table, "$label, interrupted");
		}
	}
	$primary->safe_psql('postgres', "DELETE FROM $_ WHERE $deletion") for ('t', 'u');
	$primary->safe_psql('postgres', "VACUUM (INDEX_CLEANUP on) $_") for ('t', 'u');
	for my $table ('t', 'u')
	{
		my $label = $deletion =~ /^v/ ? 'near rows' : $deletion;
		no_error($primary, "${table}_v", "$label, completed");
		finds_all($primary, $table, "$label, completed");
		is(stat_of($primary, "${table}_v", 'dead_nodes'), 0, "$label: no dead node is left in $table");
		is(stat_of($primary, "${table}_v", 'tids'),
			$primary->safe_psql('postgres', "SELECT count(*) FROM $table"), "$label: TIDs of $table");
	}
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	for my $table ('t', 'u')
	{
		my $answer = "SET enable_seqscan = off;
			SELECT id, v <-> spread(9, 24) FROM $table ORDER BY v <-> spread(9, 24) LIMIT 50";
		is($standby->safe_psql('postgres', $answer), $primary->safe_psql('postgres', $answer),
			'the standby answers as the primary');
		no_error($standby, "${table}_v", 'the standby');
		finds_all($standby, $table, 'the standby');
	}
}
cmp_ok($interrupted, '>', 0, "$interrupted of $tries were interrupted");
for my $index ('t_v', 'u_v')
{
	is(stat_of($primary, $index, 'nodes_level_0'), 0, "$index is empty");
	is(stat_of($primary, $index, 'overflow_parts'), 0, "$index has no TID parts");
}

# Answers of a standby while VACUUM's records arrive.
make_tables();
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
$primary->safe_psql('postgres', 'DELETE FROM t WHERE id % 2 = 0');
my $run = start_psql($primary, 'SET vacuum_cost_delay = 2; SET vacuum_cost_limit = 100',
	'VACUUM (INDEX_CLEANUP on) t');
my $asked = 0;
while ($run->{h}->pumpable && $asked < 200)
{
	$run->{h}->pump_nb;
	finds_all($standby, 't', 'the standby meanwhile') if $asked++ < 5;
	usleep(20000);
}
finish_psql($run);
no_error($primary, 't_v', 'VACUUM with a standby that is asked');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
no_error($standby, 't_v', 'a standby that was asked');
unlike(slurp_file($standby->logfile), qr/inconsistent page found|PANIC|TRAP/, 'no page differed');
unlike(slurp_file($primary->logfile), qr/PANIC|TRAP|XX00/, 'no alarm on the primary');
$standby->stop;
$primary->stop;
done_testing();

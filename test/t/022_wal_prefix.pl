# 022_wal_prefix.pl - what a crash between any two WAL records leaves: a server is
# recovered up to one generic record after the other of a scripted workload
# (50 of them at random, all under --long) and must each time answer as
# a sequential scan does and pass the check. The indexes are empty at first; rows equal
# and different come and go, VACUUM frees slots that are used again, and in the end all
# rows go and others come.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Omendb;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $steps = long_tests() ? 0 : 50;
my $primary = new_node('prefix_primary', init => { allows_streaming => 1 });
# Values that go on in chunks; short lists, so that they are full soon.
$primary->safe_psql('postgres', <<'SQL');
CREATE TABLE t (id int, v vector(8), s sparsevec(1000));
CREATE INDEX t_v ON t USING omen_hnsw (v) WITH (m = 4, ef_construction = 16);
CREATE INDEX t_s ON t USING omen_hnsw (s sparsevec_l2_ops) WITH (m = 4, ef_construction = 16);
CREATE FUNCTION sparse(i int, n int) RETURNS sparsevec LANGUAGE sql IMMUTABLE AS $$
	SELECT ('{' || string_agg(k || ':' || (1 + abs(hashint4(k * 31 + i)) % 1000) / 100.0, ',' ORDER BY k)
		|| '}/1000')::sparsevec
	FROM generate_series(1, 1000) k WHERE abs(hashint4(k + i * 77)) % 1000 < n $$;
CREATE FUNCTION add(first int, last int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO t SELECT i, CASE WHEN i % 4 = 0 THEN vec(i % 3, 8) ELSE vec(i, 8) END,
		CASE WHEN i % 4 <> 1 THEN sparse(i, 20 + i % 7 * 25) END FROM generate_series(first, last) i $$;
SQL
$primary->backup('backup');
my $from = $primary->lsn('insert');
$primary->safe_psql('postgres', $_)
  for ('SELECT add(1, 90)', 'SELECT add(91, 130)', 'DELETE FROM t WHERE id % 3 = 1', 'VACUUM (INDEX_CLEANUP on) t',
	'SELECT add(201, 250)', 'UPDATE t SET v = vec(id + 1000, 8) WHERE id % 5 = 0', 'DELETE FROM t WHERE id < 60',
	'VACUUM (INDEX_CLEANUP on) t', 'BEGIN; SELECT add(301, 320); ROLLBACK', 'SELECT add(401, 460)',
	'DELETE FROM t WHERE id % 4 = 0 OR id % 7 = 0', 'CHECKPOINT', 'VACUUM (INDEX_CLEANUP on) t', 'DELETE FROM t',
	'VACUUM (INDEX_CLEANUP on) t', 'SELECT add(501, 540)');
my $to = $primary->lsn('insert');
$primary->safe_psql('postgres', 'SELECT pg_switch_wal()');
$primary->safe_psql('postgres', 'SELECT add(600, 600)');
$primary->stop;

# Where the generic records begin.
my ($dump, $error) = run_command(
	[ 'pg_waldump', '-p', $primary->data_dir . '/pg_wal', '-r', 'Generic', '-s', $from, '-e', $to ]);
my @records = $dump =~ /lsn: ([0-9A-F]+\/[0-9A-F]+),/g;
cmp_ok(scalar @records, '>', 500, scalar(@records) . ' generic records');
my $seed = $ENV{OMENDB_TEST_SEED} || (long_tests() ? (Time::HiRes::time() * 1000) % 1_000_000_000 : 1);
note("OMENDB_TEST_SEED=$seed");
srand($seed);
my %chosen = map { $_ => 1 } (0, $#records);
while ($steps && keys %chosen < $steps) { $chosen{ int(rand(@records)) } = 1; }
my @chosen = $steps ? sort { $a <=> $b } keys %chosen : (0 .. $#records);

my $node = PostgreSQL::Test::Cluster->new('prefix');
$node->init_from_backup($primary, 'backup', has_restoring => 1, standby => 0);
my $wal = $primary->data_dir . '/pg_wal';
$node->append_conf('postgresql.conf', <<"CONF");
cluster_name = 'prefix'
restore_command = 'cp "$wal/%f" "%p"'
recovery_target_action = pause
recovery_target_timeline = current
hot_standby = on
CONF

# One session, rows of all searches; each pair of lines must be the same.
my $script = 'SET omen_hnsw.ef_search = 1000; SET omen_hnsw.max_scan_tuples = 1000000;';
for my $order ("v <-> vec(3, 8)", "s <-> sparse(3, 60)")
{
	for my $way ('enable_seqscan', 'enable_indexscan')
	{
		$script .= "SET enable_seqscan = on; SET enable_indexscan = on; SET $way = off;
			SELECT coalesce(string_agg(d::text, ' ' ORDER BY n), '') || ':'
				|| coalesce(string_agg(id::text, ' ' ORDER BY id), '')
			FROM (SELECT id, d, row_number() OVER () AS n FROM
				(SELECT id, $order AS d FROM t WHERE $order IS NOT NULL ORDER BY $order) s) s;";
	}
}
$script .= "SELECT c, f.* FROM (VALUES ('t_v'), ('t_s')) i (c), omen_hnsw_check(c, true) f WHERE severity = 'ERROR';";

my @wrong;
my $reached = 0;
for my $number (@chosen)
{
	my $target = $records[$number];
	$node->append_conf('postgresql.conf', "recovery_target_lsn = '$target'");
	$node->start;
	$node->poll_query_until('postgres', "SELECT pg_get_wal_replay_pause_state() = 'paused'")
	  or die("record $number at $target was not reached");
	$reached++ if $node->safe_psql('postgres', "SELECT pg_last_wal_replay_lsn() > '$target'") eq 't';
	my ($status, $out, $err) = $node->psql('postgres', $script);
	my @lines = split /\n/, $out, -1;
	push @wrong, "record $number at $target: $err" if $status || $err ne '';
	push @wrong, "record $number at $target: $lines[0] is not $lines[1]" if $lines[0] ne $lines[1];
	push @wrong, "record $number at $target: $lines[2] is not $lines[3]" if $lines[2] ne $lines[3];
	push @wrong, "record $number at $target: " . join("\n", @lines[ 4 .. $#lines ]) if @lines > 4;
	$node->stop('immediate');
	last if @wrong > 5;
}
is($reached, scalar @chosen, "stopped behind $reached records");
is(join("\n", @wrong), '', 'every prefix answers as the table and passes the check');

# From there on as if nothing had been.
my $middle = PostgreSQL::Test::Cluster->new('prefix_middle');
$middle->init_from_backup($primary, 'backup', has_restoring => 1, standby => 0);
$middle->append_conf('postgresql.conf', <<"CONF");
restore_command = 'cp "$wal/%f" "%p"'
recovery_target_action = promote
recovery_target_timeline = current
recovery_target_lsn = '$records[ @records / 2 ]'
CONF
$middle->start;
$middle->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
$middle->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) t; SELECT add(700, 800); DELETE FROM t WHERE id % 2 = 0');
$middle->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) t');
# Lists of 4 links on a level of few nodes may miss some, which is a warning.
is($middle->safe_psql('postgres', "SELECT c, f.* FROM (VALUES ('t_v'), ('t_s')) i (c), omen_hnsw_check(c, true) f
	WHERE severity = 'ERROR' OR invariant <> 'R1'"),
	'', 'recovered half way, then used: the indexes pass omen_hnsw_check');
server_is_quiet($_, $_->name) for ($node, $middle);
$middle->stop;
done_testing();

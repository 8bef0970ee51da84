# Omendb.pm - what the TAP tests share: servers, vectors, checks.
package Omendb;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

our @EXPORT =
  qw(new_node start_psql finish_psql check_index same_answers segments wait_for_no_workers
  server_is_quiet kill_backend kill_server wait_for_restart
  long_tests);

# Tests too slow for every run.
sub long_tests
{
	return ($ENV{OMENDB_LONG} || $ENV{OMENDB_TEST_LONG}) ? 1 : 0;
}

# A running server with the extension and vec(i, d): d numbers of [-1, 1), the
# same on every machine; spread(i, d): such vectors in clusters. Options: initdb
# (list), conf (text), start (0 for not).
sub new_node
{
	my ($name, %options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(extra => $options{initdb} // ['--data-checksums'], %{ $options{init} // {} });
	# DSM in files of the server's own directory: leaks can be counted.
	$node->append_conf('postgresql.conf', <<"CONF");
shared_buffers = 128MB
max_worker_processes = 8
max_parallel_maintenance_workers = 2
min_parallel_table_scan_size = 64kB
maintenance_work_mem = 128MB
dynamic_shared_memory_type = mmap
autovacuum = off
fsync = off
CONF
	# A standby that falls behind still finds its WAL: these tests write more of it than
	# max_wal_size is in them.
	$node->append_conf('postgresql.conf', 'wal_keep_size = 4GB') if $options{init}{allows_streaming};
	$node->append_conf('postgresql.conf', $options{conf}) if $options{conf};
	return $node if defined $options{start} && !$options{start};
	$node->start;
	prepare($node);
	return $node;
}

sub prepare
{
	my ($node) = @_;
	$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION omendb;
CREATE FUNCTION vec(i int, d int) RETURNS vector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT array_agg((hashint4extended(j, i::bigint * 7919) >> 40) / 8388608.0 ORDER BY j)::real[]::vector
	FROM generate_series(1, d) j $$;
CREATE FUNCTION spread(i int, d int) RETURNS vector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT vec(-1 - abs(hashint4(i)) % 40, d) + vec(i, d) * array_fill(0.7, ARRAY[d])::vector $$;
SQL
	return;
}

# psql running commands beside us; finish_psql() returns (status, stdout, stderr).
sub start_psql
{
	my ($node, @commands) = @_;
	my %run = (out => '', err => '');
	my $connection = $node->connstr('postgres');
	$run{h} = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $connection, map { ('-c', $_) } @commands ],
		'>', \$run{out}, '2>', \$run{err},
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return \%run;
}

sub finish_psql
{
	my ($run) = @_;
	$run->{h}->finish;
	return ($run->{h}->result(0), $run->{out}, $run->{err});
}

sub check_index
{
	my ($node, $index, $label) = @_;
	my ($status, $out, $err) = $node->psql('postgres', "SELECT * FROM omen_hnsw_check('$index')");
	return is("$status:$out:$err", '0::', "$label: $index passes omen_hnsw_check");
}

# Rows of an index scan wide enough to be exact against those of a sequential
# scan: distances in order, so that ties do not matter. Tables of 1000 rows at most. In
# the same session a query of the caller's, with what it is to give.
sub same_answers
{
	my ($node, $table, $query, $label, $also, $wanted) = @_;
	my $sql = "SELECT v <-> $query FROM $table ORDER BY v <-> $query";
	my ($status, $out, $err) = $node->psql('postgres', <<"SQL");
SET omen_hnsw.ef_search = 1000;
SET omen_hnsw.max_scan_tuples = 1000000;
SET enable_seqscan = off;
EXPLAIN $sql;
\\echo index
$sql;
SET enable_seqscan = on;
SET enable_indexscan = off;
\\echo table
$sql;
\\echo also
@{[ $also // '' ]};
SQL
	my ($plan, $index, $table_itself, $rest) = "\n$out\n" =~ /^(.*)\nindex\n(.*)table\n(.*)also\n(.*)$/s;
	diag($err) if $status;
	is($rest, "$wanted\n", "$label: and what was asked besides") if defined $also;
	like($plan // '', qr/Index Scan using/, "$label: the index is used");
	return ok(!$status && defined $index && $index eq $table_itself, "$label: the index answers as the table");
}

# Dynamic shared memory the server has now.
sub segments
{
	my ($node) = @_;
	opendir(my $dir, $node->data_dir . '/pg_dynshmem') || die "pg_dynshmem: $!";
	my @files = sort grep { /^mmap\./ } readdir($dir);
	closedir($dir);
	return scalar @files;
}

sub wait_for_no_workers
{
	my ($node) = @_;
	return $node->poll_query_until('postgres',
		"SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'parallel worker'");
}

# Kill the postmaster, wait for the last of its children: those are known by the
# node's name, which has to be its cluster_name.
sub kill_server
{
	my ($node) = @_;
	my $pid = $node->{_pid};
	$node->kill9;
	for (1 .. 600)
	{
		# A zombie nobody collects is dead all the same.
		my @left = grep { /\Q${\$node->name}\E: / && !/^Z/ } split /\n/, `ps -e -o stat=,args=`;
		my $state = `ps -o stat= -p $pid`;
		last if !@left && $state !~ /^[^Z]/;
		usleep(100_000);
	}
	# A lock file names the process, which to the server may look alive.
	unlink $node->data_dir . '/postmaster.pid', glob($node->host . '/.s.PGSQL.' . $node->port . '*');
	return;
}

# After one process was killed the server stops all others and restarts itself; who
# connected before that began would be thrown out, so it is waited for: in the log, from
# offset on. A process that was ending anyway does not make it restart.
sub wait_for_restart
{
	my ($node, $offset) = @_;
	for (1 .. 300)
	{
		last if slurp_file($node->logfile, $offset) =~ /all server processes terminated; reinitializing/;
		usleep(50_000);
	}
	$node->poll_query_until('postgres', 'SELECT 1', '1') or die('the server did not come back');
	return;
}

# kill -9 of one process, which makes the server restart.
sub kill_backend
{
	my ($node, $pid) = @_;
	my $offset = -s $node->logfile;
	wait_for_restart($node, $offset) if $pid && kill('KILL', $pid);
	return;
}

# Nothing in the log that no client may cause.
sub server_is_quiet
{
	my ($node, $label, $offset) = @_;
	my $log = slurp_file($node->logfile, $offset // 0);
	my @lines = grep { /PANIC|TRAP|terminated by signal|XX000|wrong order|could not read block/ }
	  split /\n/, $log;
	return is(join("\n", @lines[ 0 .. ($#lines > 4 ? 4 : $#lines) ]), '', "$label: no alarm in the log");
}

1;

# 002_parallel_build.pl - parallel workers, memory limits, wrong statistics,
# builds at once, little shared memory, cancellation.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Omendb;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $node = new_node('main');
my ($status, $out, $err);

# small: answers can be compared with the table's. large: builds take about a second.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE small (id int, v vector(32));
INSERT INTO small SELECT i, spread(i, 32) FROM generate_series(1, 900) i;
INSERT INTO small SELECT 900 + i, spread(1, 32) FROM generate_series(1, 60) i;
CREATE TABLE large (id int, v vector(64));
INSERT INTO large SELECT i, spread(i, 64) FROM generate_series(1, 10000) i;
CREATE TABLE medium (id int, v vector(128));
INSERT INTO medium SELECT i, spread(i, 128) FROM generate_series(1, 2500) i;
ANALYZE;
SQL

sub build
{
	my ($table, $settings, $extra) = @_;
	return $node->psql('postgres',
		"SET client_min_messages = debug1; $settings; CREATE INDEX ${table}_v ON $table USING omen_hnsw (v);"
		  . ($extra // ''));
}

sub stat_of
{
	my ($index, $name) = @_;
	return $node->safe_psql('postgres', "SELECT value FROM omen_hnsw_stats('$index') WHERE name = '$name'");
}

# ---- workers by plan, and by request ----

($status, $out, $err) = build('large', 'SELECT 1');
is($status, 0, 'a parallel build');
like($err, qr/using [12] parallel workers/, 'workers are planned and launched');
like($err, qr/parallel workers/, 'told at DEBUG1');
check_index($node, 'large_v', 'planned workers');
is(stat_of('large_v', 'tids'), 10000, 'every row once');
is($node->safe_psql('postgres', "SELECT reltuples FROM pg_class WHERE relname = 'large_v'"),
	10000, 'tuples counted');
$node->safe_psql('postgres', 'DROP INDEX large_v');

for my $workers (0, 1, 2)
{
	($status, $out, $err) = build('small', "ALTER TABLE small SET (parallel_workers = $workers)");
	is($status, 0, "small table, $workers workers");
	$workers
	  ? like($err, qr/using $workers parallel workers/, "$workers workers launched")
	  : unlike($err, qr/parallel workers/, 'no workers launched');
	same_answers($node, 'small', "vec($_, 32)", "$workers workers, query $_") for (1, 5000);
	check_index($node, 'small_v', "$workers workers");
	$node->safe_psql('postgres', 'DROP INDEX small_v');
}

# No room for workers: the leader does it alone.
($status, $out, $err) = build('large', 'SET max_parallel_maintenance_workers = 0');
is($status, 0, 'workers not allowed');
unlike($err, qr/using \d parallel workers/, 'none launched');
$node->safe_psql('postgres', 'DROP INDEX large_v');

# An unsafe function keeps it to one process; a safe one does not.
$node->safe_psql('postgres', <<'SQL');
ALTER TABLE small SET (parallel_workers = 2);
CREATE FUNCTION unsafe(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN v; END';
CREATE FUNCTION safe(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS 'BEGIN RETURN v; END';
SQL
for my $function ('unsafe', 'safe')
{
	($status, $out, $err) = $node->psql('postgres', <<"SQL");
SET client_min_messages = debug1;
CREATE INDEX small_v ON small USING omen_hnsw (($function(v)::vector(32))) WHERE id > 10;
SQL
	is($status, 0, "a $function expression");
	$function eq 'safe'
	  ? like($err, qr/using 2 parallel workers/, 'built by workers')
	  : unlike($err, qr/using \d parallel workers/, 'built by the leader');
	check_index($node, 'small_v', "$function expression");
	is(stat_of('small_v', 'tids'), 950, 'every row of the predicate');
	$node->safe_psql('postgres', 'DROP INDEX small_v');
}

# Long vectors live in TOAST: the table itself is a few pages.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE toasted (id int, v vector(700));
INSERT INTO toasted SELECT i, spread(i, 700) FROM generate_series(1, 600) i;
SQL
($status, $out, $err) = build('toasted', "SET min_parallel_table_scan_size = '1MB'");
is($status, 0, 'toasted vectors');
like($err, qr/using [12] parallel workers/, 'workers are planned from heap and TOAST');
same_answers($node, 'toasted', 'vec(5, 700)', 'toasted');
check_index($node, 'toasted_v', 'toasted');

# ---- statistics ----

for my $reltuples (-1, 0, 100, 1000000)
{
	for my $workers (0, 2)
	{
		$node->safe_psql('postgres', <<"SQL");
ALTER TABLE large SET (parallel_workers = $workers);
UPDATE pg_class SET reltuples = $reltuples, relpages = greatest(1, $reltuples / 50) WHERE relname = 'large';
SQL
		($status, $out, $err) = build('large', 'SELECT 1');
		is($status, 0, "reltuples $reltuples, $workers workers") || diag($err);
		is(stat_of('large_v', 'tids'), 10000, 'every row');
		$node->safe_psql('postgres', 'DROP INDEX large_v');
	}
}
# Never analysed, and most of it short of what the first blocks promise.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE uneven (id int, v vector(16));
INSERT INTO uneven SELECT i, NULL FROM generate_series(1, 20000) i;
INSERT INTO uneven SELECT i, vec(i, 16) FROM generate_series(1, 3000) i;
DELETE FROM uneven WHERE id % 2 = 0;
SQL
for my $workers (0, 2)
{
	($status, $out, $err) = build('uneven', "ALTER TABLE uneven SET (parallel_workers = $workers)");
	is($status, 0, "uneven table, $workers workers");
	check_index($node, 'uneven_v', "uneven, $workers workers");
	is(stat_of('uneven_v', 'skipped_rows'), 10000, 'NULLs counted');
	$node->safe_psql('postgres', 'DROP INDEX uneven_v');
}

# ---- two builds at once ----

$node->safe_psql('postgres', <<'SQL');
ALTER TABLE large SET (parallel_workers = 2);
CREATE TABLE large_2 AS SELECT id, (v + vec(1, 64))::vector(64) AS v FROM large;
ALTER TABLE large_2 SET (parallel_workers = 2);
SQL
my @runs = map { start_psql($node, "CREATE INDEX ${_}_v ON $_ USING omen_hnsw (v)") } ('large', 'large_2');
for my $run (@runs)
{
	($status, $out, $err) = finish_psql($run);
	is("$status$err", '0', 'two builds at once');
}
check_index($node, $_, 'two builds at once') for ('large_v', 'large_2_v');
# The same table twice at once.
$node->safe_psql('postgres', 'DROP INDEX large_v; DROP TABLE large_2');
@runs = map { start_psql($node, "CREATE INDEX large_v$_ ON large USING omen_hnsw (v)") } (1, 2);
for my $run (@runs)
{
	($status, $out, $err) = finish_psql($run);
	is("$status$err", '0', 'one table twice at once');
}
check_index($node, $_, 'one table twice at once') for ('large_v1', 'large_v2');
$node->safe_psql('postgres', 'DROP INDEX large_v1, large_v2');

# ---- memory ----

# Every size gives an index; what does not fit is in temporary files, and the
# notice names a size that is enough. The build takes some 10 MB.
my ($in_memory, $in_files, $other, @named) = (0, 0, 0);
my $step = long_tests() ? 512 : 2048;
for my $workers (0, 1, 2)
{
	for (my $kb = 1024; $kb <= 24576; $kb += $step)
	{
		my $label = "maintenance_work_mem $kb kB, $workers workers";
		($status, $out, $err) = $node->psql('postgres', <<"SQL");
ALTER TABLE medium SET (parallel_workers = $workers);
SET maintenance_work_mem = '${kb}kB';
CREATE INDEX medium_v ON medium USING omen_hnsw (v);
SQL
		my $problems = $node->safe_psql('postgres',
			"SELECT count(*) FROM omen_hnsw_check('medium_v'); DROP INDEX medium_v");
		if ($status != 0 || $problems ne '0')
		{
			$other++;
			diag("$label: $problems problems, $err");
		}
		elsif ($err eq '') { $in_memory++; }
		elsif ($err =~ /NOTICE:  omen_hnsw build does not fit into maintenance_work_mem, using temporary files/
			&& $err =~ /Set maintenance_work_mem to (\d+) MB/)
		{
			$in_files++;
			push @named, $1;
		}
		else { $other++; diag("$label: $err"); }
	}
}
note("memory: $in_memory in memory, $in_files in files, named @named");
ok($in_memory > 0 && $in_files > 0, 'some sizes are enough and some are not');
is($other, 0, 'and nothing else happens');
my ($most) = (sort { $b <=> $a } @named);
for my $workers (0, 2)
{
	($status, $out, $err) =
	  build('medium', "ALTER TABLE medium SET (parallel_workers = $workers); SET maintenance_work_mem = '${most}MB'");
	is($status, 0, "the size named ($most MB) is enough, $workers workers");
	unlike($err, qr/NOTICE/, 'and no file is used');
	$node->safe_psql('postgres', 'DROP INDEX medium_v');
	($status, $out, $err) = build('medium',
		"SET maintenance_work_mem = '1MB'; SET temp_file_limit = '2MB'");
	isnt($status, 0, "temp_file_limit holds, $workers workers");
	like($err, qr/ERROR:  temporary file size exceeds temp_file_limit \(2048kB\)/, 'and says so');
}
wait_for_no_workers($node);
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_ls_tmpdir()"), '0', 'no temporary files are left');

# Rows that the sample did not promise: the limit is met while building.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE grows (id int, v vector(128));
INSERT INTO grows SELECT i, NULL FROM generate_series(1, 150000) i;
INSERT INTO grows SELECT i, v FROM medium, generate_series(1, 1) i;
SQL
for my $workers (0, 2)
{
	for my $kb (1024, 1500, 2048, 3072, 8192)
	{
		($status, $out, $err) = build('grows',
			"ALTER TABLE grows SET (parallel_workers = $workers); SET maintenance_work_mem = '${kb}kB'");
		is($status, 0, "rows at the end, $workers workers, $kb kB") || diag($err);
		check_index($node, 'grows_v', "rows at the end, $workers workers, $kb kB");
		$node->safe_psql('postgres', 'DROP INDEX grows_v');
	}
}
$node->safe_psql('postgres', 'DROP TABLE grows');

# ---- cancellation ----

wait_for_no_workers($node);
my $segments = segments($node);
my $log = -s $node->logfile;

# By time.
srand(42);
my %ended = (built => 0, cancelled => 0, other => 0);
my $slowest = 0;
my @slow;
for my $i (1 .. (long_tests() ? 200 : 30))
{
	my $workers = $i % 3;
	my $ms = 5 + int(rand(296));
	$node->safe_psql('postgres', "ALTER TABLE large SET (parallel_workers = $workers)");
	($status, $out, $err) = $node->psql('postgres', <<"SQL");
SET statement_timeout = $ms;
\\timing on
CREATE INDEX large_v ON large USING omen_hnsw (v);
SQL
	if ($status == 0)
	{
		$ended{built}++;
		$node->safe_psql('postgres', 'DROP INDEX large_v');
	}
	elsif ($err =~ /canceling statement due to statement timeout/)
	{
		$ended{cancelled}++;
		my ($took) = $out =~ /Time: ([\d.]+) ms/;
		push @slow, $took - $ms if defined $took;
	}
	else
	{
		$ended{other}++;
		diag("timeout $ms ms, $workers workers: $err");
	}
}
@slow = sort { $a <=> $b } @slow;
note("timeouts: " . join(', ', map { "$ended{$_} $_" } sort keys %ended)
	  . (@slow ? "; late by $slow[$#slow / 2] ms (median), $slow[-1] ms (most)" : ''));
ok($ended{cancelled} > 0, 'builds were cancelled by time');
is($ended{other}, 0, 'and ended in no other way');
cmp_ok(@slow ? $slow[-1] : 0, '<', 1000, 'within a second');

# By pg_cancel_backend() and pg_terminate_backend(), of the leader and of a worker.
my @ways = (
	[ 'cancel the leader', 0, 'pg_cancel_backend', "backend_type = 'client backend'" ],
	[ 'cancel the leader of workers', 2, 'pg_cancel_backend', "backend_type = 'client backend'" ],
	[ 'cancel a worker', 2, 'pg_cancel_backend', "backend_type = 'parallel worker'" ],
	[ 'terminate the leader', 0, 'pg_terminate_backend', "backend_type = 'client backend'" ],
	[ 'terminate the leader of workers', 2, 'pg_terminate_backend', "backend_type = 'client backend'" ],
	[ 'terminate a worker', 2, 'pg_terminate_backend', "backend_type = 'parallel worker'" ]);
# Long enough to be met.
$node->safe_psql('postgres', <<'SQL');
INSERT INTO large SELECT i * 10000 + id, v * array_fill(1 + i * 0.01, ARRAY[64])::vector FROM large,
	generate_series(1, 24) i;
SQL
for my $way (@ways)
{
	my ($label, $workers, $function, $who) = @$way;
	$node->safe_psql('postgres', "ALTER TABLE large SET (parallel_workers = $workers)");
	my $run = start_psql($node, 'CREATE INDEX large_v ON large USING omen_hnsw (v)');
	$node->poll_query_until('postgres',
		"SELECT count(*) > 0 FROM pg_stat_activity WHERE $who AND query LIKE 'CREATE INDEX large_v%'")
	  or die("$label: the build was never seen");
	usleep(100_000);
	my $begin = time;
	is($node->safe_psql('postgres', <<"SQL"), 't', $label);
SELECT bool_or($function(pid)) FROM (SELECT pid FROM pg_stat_activity
	WHERE $who AND query LIKE 'CREATE INDEX large_v%' LIMIT 1) s
SQL
	($status, $out, $err) = finish_psql($run);
	my $took = time - $begin;
	isnt($status, 0, "$label: the build has failed");
	like($err,
		qr/canceling\ statement\ due\ to\ user\ request|terminating\ connection\ due\ to\ administrator\ command
			|terminating\ background\ worker|lost\ connection\ to\ parallel\ worker|terminating\ parallel\ worker/x,
		"$label: cleanly");
	# 100 ms is the aim; the bound leaves room for a busy machine.
	cmp_ok($took, '<', 1.5, "$label: at once") || diag("$took s");
}
wait_for_no_workers($node);
is(segments($node), $segments, 'no shared memory left behind');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_locks WHERE relation =
	'large'::regclass"), '0', 'no lock left');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_class WHERE relname LIKE 'large_v%'"), '0', 'no index left');
($status, $out, $err) = build('large', 'SELECT 1');
is($status, 0, 'and the next build succeeds');
check_index($node, 'large_v', 'after cancellations');
my $noise = substr(slurp_file($node->logfile), $log);
unlike($noise, qr/PANIC|TRAP|terminated by signal|server process .* exited/, 'the server has stayed up');
server_is_quiet($node, 'all');
$node->stop;

done_testing();

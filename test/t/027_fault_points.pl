# 027_fault_points.pl - at every fault point (src/store/fault.h) of INSERT and VACUUM: the
# session killed so that the server recovers to that very WAL record, and an ERROR. Then
# the index answers as the table does, the check finds no error, more rows and a
# VACUUM mend all that was left, and the check finds nothing.
use strict;
use warnings;
use feature 'state';

use FindBin;
use lib $FindBin::RealBin;

use Omendb;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('faults', conf => "cluster_name = 'faults'\nrestart_after_crash = on\n");

# The names, from what the setting says of a wrong one.
my (undef, undef, $answer) = $node->psql('postgres', "LOAD 'omendb'; SET omen_hnsw.fault_point = 'none:error'");
if ($answer !~ /Points: ([a-z_ ]+)\./)
{
	$node->stop;
	plan skip_all => 'the library was built without fault points';
}
my @points = split / /, $1;
# Those that two sessions reach together.
my %race = map { $_ => 1 } ('insert_dropped', 'insert_linked_late');

$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION sparse(i int, n int) RETURNS sparsevec LANGUAGE sql IMMUTABLE AS $$
	SELECT ('{' || string_agg(k || ':' || 1 + (k * i) % 13, ',' ORDER BY k) || '}/1000')::sparsevec(1000)
	FROM generate_series(1, n) k $$;
SQL

# e: an empty index. t: short lists, TIDs in parts, half of it deleted, the root and the entry
# point too. r: a failed insertion left a node above the entry point. l: all above level 0 goes.
# s: values in chunks, and chunks that a failed insertion left.
my $setup = <<'SQL';
SET client_min_messages = error;
SET omen_hnsw.fault_point = '';
DROP TABLE IF EXISTS e, t, r, l, s;
CREATE TABLE e (id int, v vector(8));
CREATE INDEX e_v ON e USING omen_hnsw (v);
CREATE TABLE t (id int, v vector(8));
CREATE INDEX t_v ON t USING omen_hnsw (v) WITH (m = 2, ef_construction = 16);
INSERT INTO t SELECT i, spread(i, 8) FROM generate_series(1, 250) i;
INSERT INTO t SELECT 1000 + i, vec(7 + i % 2, 8) FROM generate_series(1, 100) i;
DELETE FROM t WHERE id % 2 = 1 OR id < 30 OR id = 200;
CREATE TABLE r (id int, v vector(8));
CREATE INDEX r_v ON r USING omen_hnsw (v);
CREATE TABLE l (id int, v vector(8));
CREATE INDEX l_v ON l USING omen_hnsw (v);
INSERT INTO l SELECT i, spread(i, 8) FROM generate_series(1, 60) i;
DELETE FROM l WHERE id NOT IN (3, 4);
CREATE TABLE s (id int, v sparsevec(1000));
CREATE INDEX s_v ON s USING omen_hnsw (v sparsevec_l2_ops);
INSERT INTO s SELECT i, sparse(i, 100 + i % 300) FROM generate_series(1, 60) i;
DELETE FROM s WHERE id % 3 = 0;
SET omen_hnsw.fault_point = 'insert_raising:error';
INSERT INTO r SELECT i, spread(i, 8) FROM generate_series(1, 200) i;
SET omen_hnsw.fault_point = 'insert_chunk:error:3';
INSERT INTO s VALUES (900, sparse(900, 600));
SET omen_hnsw.fault_point = '';
SQL
# The rows up to the one that failed join the nodes that it left.
my $join = 'INSERT INTO r SELECT i, spread(i, 8) FROM generate_series(1, 15) i';

my @work = (
	'INSERT INTO e SELECT i, spread(i, 8) FROM generate_series(1, 40) i',
	'INSERT INTO t VALUES (2000, vec(7, 8))',
	'INSERT INTO l SELECT 100 + i, vec(5, 8) FROM generate_series(1, 60) i',
	'INSERT INTO s SELECT 1000 + i, sparse(50 + i, 50 + i * 9) FROM generate_series(1, 40) i',
	'VACUUM (INDEX_CLEANUP on) t',
	'INSERT INTO t SELECT 3000 + i, spread(3000 + i, 8) FROM generate_series(1, 100) i',
	'VACUUM (INDEX_CLEANUP on) r',
	'VACUUM (INDEX_CLEANUP on) l',
	'VACUUM (INDEX_CLEANUP on) s',
	'INSERT INTO s SELECT 2000 + i, sparse(70 + i, 900 - i) FROM generate_series(1, 10) i');
my @tables = ('e', 't', 'r', 'l', 's');

# SQL that gives nothing when the indexes give every row of their tables, once, and the
# check finds nothing of that kind.
sub judgement
{
	my ($which) = @_;
	my $sql = "SELECT c, f.severity, f.invariant, f.detail FROM unnest(ARRAY['"
	  . join("', '", map { "${_}_v" } @tables) . "']) c, omen_hnsw_check(c, true) f WHERE $which;
		SET enable_seqscan = off; SET omen_hnsw.ef_search = 1000; SET omen_hnsw.max_scan_tuples = 100000;
		SET omen_hnsw.scan_order = relaxed;\n";
	for my $table (@tables)
	{
		my $query = $table eq 's' ? 'sparse(7, 90)' : 'vec(3, 8)';
		$sql .= "SELECT '$table', a.n, a.d, b.n FROM (SELECT count(*) n, count(DISTINCT id) d FROM
			(SELECT id FROM $table ORDER BY v <-> $query LIMIT 100000) x) a,
			(SELECT count(*) n FROM $table) b WHERE a.n <> b.n OR a.d <> b.n;\n";
	}
	return $sql;
}

# Left by insertions that failed (L2, V1, O1, M1) and by VACUUM (S1: a node without rows), or few
# nodes with short lists (R1).
my $sound = judgement("severity <> 'WARN' OR invariant NOT IN ('R1', 'L2', 'V1', 'O1', 'M1', 'S1')");
# More rows, and VACUUM: a row of an insertion that failed may be past what the first looks at.
my $mended = "INSERT INTO t SELECT 5000 + i, spread(5000 + i, 8) FROM generate_series(1, 50) i;
	INSERT INTO s SELECT 5000 + i, sparse(i, 20 * i) FROM generate_series(1, 20) i;
	DELETE FROM t WHERE id % 3 = 0; DELETE FROM s WHERE id % 5 = 0; DELETE FROM l WHERE id = 3;
	DELETE FROM r WHERE id = 3; DELETE FROM e WHERE id = 1;\n"
  . join('', map { "VACUUM (INDEX_CLEANUP on) $_;\n" } (@tables, @tables))
  . judgement("invariant NOT IN ('R1', 'L2')");

sub reached
{
	my ($label, $point, $action, $err) = @_;
	state $offset = 0;
	my $expected =
	  $action eq 'error' ? qr/fault point "$point"/ : qr/connection to server was lost|server closed the connection/;
	like($err, $expected, "$label: reached");
	wait_for_restart($node, $offset) if $action ne 'error';
	$offset = -s $node->logfile;
	return;
}

# What must hold, whatever has happened; and after more work nothing is left of it.
sub judge
{
	my ($label) = @_;
	is($node->safe_psql('postgres', $sound), '', "$label: every row is found, and no error");
	is($node->safe_psql('postgres', $mended), '', "$label, mended: every row is found, and nothing wrong");
	return;
}

# A part of them, by a regular expression, for who looks for a fault.
my $only = $ENV{OMENDB_TEST_POINTS} || '.';
my $turn = 0;
for my $point (grep { !$race{$_} && /$only/ } @points)
{
	# Of the errors a third will do: what they leave is what a crash leaves.
	my @actions = $turn++ % 3 ? ('kill9') : ('error', 'kill9');
	@actions = ('error', 'kill9', 'kill9:2', 'kill9:5') if long_tests();
	for my $action (@actions)
	{
		my $label = "$point:$action";
		my ($status, $out, $err) = $node->psql('postgres',
			"$setup; $join; SET omen_hnsw.fault_point = '$point:$action';\n" . join(";\n", @work) . ';',
			on_error_stop => 0);
		if ($action =~ /:/ && $status == 0)
		{
			note("$label was not reached");
			next;
		}
		reached($label, $point, $action, $err);
		judge($label);
	}
}

# No point is under a content lock: whoever waits there could not be cancelled.
my @names = grep { /$only/ } @points;
while (my @group = splice(@names, 0, 4))
{
	my (undef, undef, $err) = $node->psql('postgres',
		"$setup; $join; SET omen_hnsw.fault_point = '" . join(',', map { "$_:wait" } @group) . "';\n"
		  . join(";\n", @work) . ';', on_error_stop => 0);
	unlike($err, qr/content lock|canceling/, "waits: @group");
}
judge('waits');

# Two sessions: one waits at the first point of its setting for the other's work. What is before,
# what the one does, what the other.
my @races = (
	[ 'insert_dropped', 'insert_placing:wait', 'INSERT INTO t VALUES (4000, spread(777, 8))',
		'VACUUM (INDEX_CLEANUP on) t' ],
	[ 'insert_linked_late', 'insert_raising:wait', 'INSERT INTO e SELECT i, spread(i, 8) FROM generate_series(1, 40) i',
		'INSERT INTO e SELECT 100 + i, spread(100 + i, 8) FROM generate_series(1, 150) i' ]);
for my $race (grep { $_->[0] =~ /$only/ } @races)
{
	my ($point, $first, $one, $other) = @$race;
	for my $action ('error', 'kill9')
	{
		my $label = "$point:$action, a race";
		$node->psql('postgres', $setup, on_error_stop => 0);
		$node->safe_psql('postgres', $join);
		my $gate = $node->background_psql('postgres');
		$gate->query_safe('SELECT pg_advisory_lock(1)');
		my $run = start_psql($node, "SET omen_hnsw.fault_point = '$first,$point:$action'", $one);
		$node->poll_query_until('postgres',
			"SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
		  or die("$label: it does not wait");
		$node->safe_psql('postgres', $other);
		$gate->query_safe('SELECT pg_advisory_unlock(1)');
		my ($status, undef, $err) = finish_psql($run);
		eval { $gate->quit; };
		reached($label, $point, $action, $err);
		judge($label);
	}
}
# Where all but one node are dead, and VACUUM was stopped before it took them out: an insertion
# passes by some of them and no more, and the next of the session knows one that is alive.
for my $type ([ 'bit(64)', 'bit_hamming_ops', 'hashint8extended(%s, 7)::bit(64)', 'v <~> 5::bit(64)' ],
	[ 'vector(8)', 'vector_l2_ops', 'vec(%s, 8)', 'v <-> vec(5, 8)' ])
{
	my ($name, $class, $value, $order) = @$type;
	my $row = sub { return sprintf($value, $_[0]) };
	my $insert = sub { return "EXPLAIN (ANALYZE, BUFFERS, COSTS off, TIMING off, SUMMARY off)
		INSERT INTO d SELECT $_[0], " . $row->($_[0]) };
	$node->safe_psql('postgres', "DROP TABLE IF EXISTS d; CREATE TABLE d (id int, v $name);
		INSERT INTO d SELECT i, " . $row->('i') . " FROM generate_series(1, 12000) i;
		CREATE INDEX d_v ON d USING omen_hnsw (v $class) WITH (m = 4, ef_construction = 8);
		DELETE FROM d WHERE id <> 7000;");
	my (undef, undef, $err) = $node->psql('postgres',
		"SET omen_hnsw.fault_point = 'vacuum_swept:error'; VACUUM (INDEX_CLEANUP on) d");
	like($err, qr/vacuum_swept/, "$name: VACUUM was stopped");
	my $plans = $node->safe_psql('postgres', join(";\n", map { $insert->($_) } 20001 .. 20004));
	my @pages = $plans =~ /^\s*Buffers: shared hit=(\d+)/mg;
	# The first may have to walk through the tree.
	@pages = @pages[ -3 .. -1 ];
	is(scalar(grep { $_ < 4000 } @pages), 3, "$name: pages read among 12 000 dead nodes: @pages");
	my $found = "SET enable_seqscan = off; SET omen_hnsw.max_scan_tuples = 100000; SELECT count(*), sum(id)
		FROM (SELECT id FROM d ORDER BY $order LIMIT 100) s; SELECT * FROM omen_hnsw_check('d_v', true)
		WHERE severity <> 'WARN'";
	is($node->safe_psql('postgres', $found), '5|87010', "$name: rows among dead nodes are found");
	$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) d');
	is($node->safe_psql('postgres', $found), '5|87010', "$name: and when these are gone");
}
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|XX00[012]/, 'no alarm in the log');
$node->stop;
done_testing();

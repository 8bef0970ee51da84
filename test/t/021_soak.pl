# 021_soak.pl - eight clients insert, delete, update, search, VACUUM and REINDEX
# CONCURRENTLY at once: no error, and at every moment rows in order, once each, as many
# as asked for, none missing from a search of everything. A standby replays it, page by
# page compared, and is asked meanwhile, with hot_standby_feedback and without; in the
# end it has the primary's pages, and is promoted. OMENDB_TEST_SECONDS: how long.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Omendb;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $seconds = $ENV{OMENDB_TEST_SECONDS} || (long_tests() ? 45 * 60 : 120);
my $primary = new_node('soak_primary', init => { allows_streaming => 1 }, conf => <<'CONF');
max_connections = 40
deadlock_timeout = 200ms
max_wal_size = 512MB
autovacuum = on
autovacuum_naptime = 5s
CONF
# The standby may fall behind.
$primary->safe_psql('postgres', "SELECT pg_create_physical_replication_slot('soak', true)");
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('soak_standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', <<'CONF');
max_standby_streaming_delay = 200ms
wal_receiver_status_interval = 1s
hot_standby_feedback = on
primary_slot_name = 'soak'
CONF
$standby->start;

# value_of(): the vector of a row's version. Of the rows that come and go one in three has
# one of five, of which four are often nobody's any more, and one is many rows'.
# probe(): a search as a client sees it: in order, each row once and with its own vector, k
# rows (2000 are always there). exhaustive(): all rows of the side table by its index, or
# what differs from a sequential scan in the same snapshot; its order is probe()'s business.
$primary->safe_psql('postgres', <<'SQL');
CREATE TABLE pool (n int PRIMARY KEY, v vector(16));
INSERT INTO pool SELECT n, vec(n, 16) FROM generate_series(0, 9999) n;
ANALYZE pool;
CREATE FUNCTION value_of(id bigint, version int DEFAULT 0) RETURNS vector LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN (SELECT v FROM pool WHERE n = CASE WHEN id > 2000 AND id % 3 = 0 THEN 9960 + least(id % 13, 4)
		ELSE (id * 7 + version * 13) % 9960 END);
END $$;
CREATE TABLE t (id bigint, version int DEFAULT 0, tag int DEFAULT 0, note int DEFAULT 0, v vector(16))
	WITH (fillfactor = 80, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0);
CREATE INDEX t_id ON t (id);
CREATE SEQUENCE ids;
CREATE FUNCTION new_id() RETURNS bigint LANGUAGE sql AS $$ SELECT 3000 + nextval('ids') * 61803399 % 99990001 $$;
CREATE INDEX t_tag ON t (tag);
INSERT INTO t SELECT i, 0, 0, 0, value_of(i) FROM generate_series(1, 2000) i;
CREATE INDEX t_v ON t USING omen_hnsw (v);
CREATE INDEX t_c ON t USING omen_hnsw (v vector_cosine_ops) WITH (m = 8, ef_construction = 32);
CREATE TABLE side (id int PRIMARY KEY, v vector(16));
CREATE INDEX side_v ON side USING omen_hnsw (v);
INSERT INTO side SELECT i, vec(i, 16) FROM generate_series(1, 500) i;
CREATE FUNCTION probe(op text, q vector, k int) RETURNS void LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
	r record;
	last float8 := '-infinity';
	ids bigint[] := '{}';
BEGIN
	FOR r IN EXECUTE format('SELECT id, version, v, v %s $1 AS d FROM t
		ORDER BY v %s $1 LIMIT $2', op, op) USING q, k LOOP
		IF r.d < last THEN RAISE EXCEPTION 'distance % after %', r.d, last; END IF;
		IF r.id = ANY(ids) THEN RAISE EXCEPTION 'row % twice', r.id; END IF;
		IF r.v IS DISTINCT FROM value_of(r.id, r.version) THEN RAISE EXCEPTION 'row % is another', r.id; END IF;
		last := r.d;
		ids := ids || r.id;
	END LOOP;
	IF cardinality(ids) < k THEN RAISE EXCEPTION '% rows of %', cardinality(ids), k; END IF;
END $$;
CREATE FUNCTION exhaustive(q vector) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
	here text;
	there text;
BEGIN
	PERFORM set_config('omen_hnsw.ef_search', '1000', true), set_config('omen_hnsw.max_scan_tuples', '1000000', true),
		set_config('omen_hnsw.scan_order', 'relaxed', true), set_config('enable_seqscan', 'off', true);
	SELECT count(*) || ': ' || string_agg(id || ' ' || d, ', ' ORDER BY id) INTO here
	FROM (SELECT id, v <-> q AS d FROM side ORDER BY v <-> q) s;
	PERFORM set_config('enable_seqscan', 'on', true), set_config('enable_indexscan', 'off', true);
	SELECT count(*) || ': ' || string_agg(id || ' ' || d, ', ' ORDER BY id) INTO there
	FROM (SELECT id, v <-> q AS d FROM side ORDER BY v <-> q) s;
	PERFORM set_config('enable_indexscan', 'on', true);
	RETURN CASE WHEN here IS DISTINCT FROM there THEN here || ' is not ' || there END;
END $$;
SQL

# One VACUUM and one REINDEX at a time.
sub alone
{
	my ($key, @statements) = @_;
	return "SELECT pg_try_advisory_lock($key) AS free \\gset\n\\if :free\n"
	  . join('', map { "$_;\n" } @statements) . "SELECT pg_advisory_unlock($key);\n\\endif";
}

# pgbench's scripts by weight. Deletions take a share of what is there beyond the first
# 2000 rows, so that the table stays at some 3500.
my $insert = 'INSERT INTO t SELECT id, 0, 0, 0, value_of(id) FROM (SELECT new_id() AS id FROM';
my $some = 'ctid = ANY(ARRAY(SELECT ctid FROM t WHERE id > :at ORDER BY id LIMIT';
my %script = (
	insert => [ 40, "$insert generate_series(1, 1)) n;" ],
	batch => [ 3, "$insert generate_series(1, 10)) n;" ],
	delete => [ 20, "\\set at random(2000, 100000000)\nDELETE FROM t WHERE $some
		(SELECT greatest(count(*) - 2000, 0) / 400 FROM t) FOR UPDATE SKIP LOCKED));" ],
	delete_equal => [ 3, "\\set which random(0, 12)\nDELETE FROM t WHERE ctid = ANY(ARRAY(SELECT ctid FROM t
		WHERE id > 2000 AND id % 3 = 0 AND id % 13 = :which FOR UPDATE SKIP LOCKED));" ],
	update_vector => [ 10, "\\set at random(0, 4000)\nUPDATE t SET version = version + 1,
		v = value_of(id, version + 1) WHERE $some 1 FOR UPDATE SKIP LOCKED));" ],
	update_other => [ 5, "\\set at random(0, 100000000)\nUPDATE t SET tag = tag + 1 WHERE $some 1
		FOR UPDATE SKIP LOCKED));" ],
	update_hot => [ 5, "\\set at random(0, 4000)\nUPDATE t SET note = note + 1 WHERE $some 1
		FOR UPDATE SKIP LOCKED));" ],
	aborted => [ 3, "BEGIN;\n$insert generate_series(1, 5)) n;\nROLLBACK;" ],
	side => [ 5, "\\set id random(1, 500)\nUPDATE side SET v = value_of(:id * 9 + 1 + :client_id) WHERE id = :id;" ],
	search => [ 20, "\\set id random(1, 4000)\nSELECT probe('<->', value_of(:id), 10);" ],
	search_cosine => [ 4, "\\set id random(1, 4000)\nSELECT probe('<=>', value_of(:id), 10);" ],
	search_far => [ 1, "\\set id random(1, 4000)\nSELECT probe('<->', value_of(:id), 150);" ],
	vacuum => [ 2, alone(1, 'VACUUM (INDEX_CLEANUP on) t', 'VACUUM side') ],
	reindex => [ 1, alone(2, 'REINDEX INDEX CONCURRENTLY t_v', 'REINDEX INDEX CONCURRENTLY t_c',
		'REINDEX INDEX CONCURRENTLY side_v') ]);
my $dir = PostgreSQL::Test::Utils::tempdir();
my @files;
for my $name (sort keys %script)
{
	append_to_file("$dir/$name.sql", "$script{$name}[1]\n");
	push @files, '-f', "$dir/$name.sql\@$script{$name}[0]";
}

my %complaint;

# One statement to a server that others work on. A standby may have to cancel it, which
# is counted.
my %count;
sub ask
{
	my ($node, $label, $sql) = @_;
	my ($status, $out, $err) = $node->psql('postgres', "SET lock_timeout = '60s'; $sql");
	# Nor does anything keep REINDEX from an index that is looked into there.
	if ($status && $node == $standby && $err =~ /conflict with recovery|index "\w+" is not valid|does not exist/)
	{
		$count{conflicts}++;
		return;
	}
	$out =~ s/^\s+//;
	$complaint{"$label: " . substr("$out$err", 0, 1000)}++ if $status || $out ne '' || $err ne '';
	$count{$label}++;
	return;
}

my $indexes = "(VALUES ('t_v'), ('t_c'), ('side_v')) i (c)";
my $began = time();
# Pages of one client's records are compared, with all that the others did to them: to log
# an image of every page of every record would be most of the work.
my @loads = map {
	my ($name, $clients, $options) = @$_;
	local $ENV{PGOPTIONS} = $options;
	IPC::Run::start(
		[ 'pgbench', '-n', '-c', $clients, '-T', $seconds, '--max-tries=20', '--failures-detailed', '-r',
			'-h', $primary->host, '-p', $primary->port, @files, 'postgres' ],
		'<', '/dev/null', '>', "$dir/$name.out", '2>', "$dir/$name.err", IPC::Run::timeout($seconds + 300))
} ([ 'plain', 7, '' ], [ 'compared', 1, '-c wal_consistency_checking=generic' ]);

# A page that differs ends the standby, and the test. One try may meet a conflict with
# recovery, which ends its session only.
sub standby_lives
{
	for (1 .. 20)
	{
		return if $standby->psql('postgres', 'SELECT 1') == 0;
		usleep(200_000);
	}
	$_->kill_kill for @loads;
	is(join("\n", slurp_file($standby->logfile) =~ /^.*(?:FATAL|PANIC):.*$/mg), '', 'the standby lives');
	undef $standby->{_pid};
	done_testing();
	exit;
}

my $feedback = 1;
for (my $i = 1; time() - $began < $seconds; $i++)
{
	my $whole = 'BEGIN ISOLATION LEVEL REPEATABLE READ;
		SELECT d FROM exhaustive(vec(%d, 16)) d WHERE d IS NOT NULL; COMMIT';
	ask($primary, 'exhaustive search', sprintf($whole, $i));
	ask($standby, 'exhaustive search of the standby', sprintf($whole, -$i));
	ask($standby, 'search of the standby', "DO 'BEGIN PERFORM probe(''<->'', vec($i, 16), 10),
		probe(''<=>'', vec(-$i, 16), 100); END'");
	# REINDEX would take the index away; it would also wait for who waits for it.
	ask($primary, 'check beside writers', "SELECT pg_try_advisory_lock(2) AS free \\gset\n\\if :free\n
		SELECT c, f.* FROM $indexes, omen_hnsw_check(c, true) f WHERE severity = 'ERROR';\n\\endif") if $i % 2 == 0;
	ask($standby, 'check of the standby', "SELECT f.* FROM omen_hnsw_check('side_v', true) f
		WHERE severity = 'ERROR'") if $i % 4 == 2;
	standby_lives();
	if ($feedback && time() - $began > $seconds / 2)
	{
		$feedback = 0;
		$standby->append_conf('postgresql.conf', 'hot_standby_feedback = off');
		$standby->reload;
	}
	usleep(300_000);
}
my (%done, $transactions);
for my $load (@loads)
{
	$load->finish;
	is($load->result(0), 0, 'no client was stopped');
}
for my $name ('plain', 'compared')
{
	my ($out, $err) = (slurp_file("$dir/$name.out"), slurp_file("$dir/$name.err"));
	is(join("\n", grep { /ERROR|FATAL|aborted/ } split /\n/, $err), '', "$name: no error");
	like($out, qr/number of failed transactions: 0 /, "$name: a retry mends a deadlock");
	$transactions += $out =~ /number of transactions actually processed: (\d+)/ ? $1 : 0;
	$done{$_} += $out =~ m{/$_\.sql\n.*?\n - (\d+) transactions}s ? $1 : 0 for keys %script;
}
note(join(', ', map { "$_ $done{$_}" } sort keys %done));
note(join(', ', map { "$_ $count{$_}" } sort keys %count));
is(join("\n", map { "$complaint{$_} times: $_" } sort keys %complaint), '', 'answers were right meanwhile');
cmp_ok($transactions, '>', 20 * $seconds, 'the clients were busy');
is(join(' ', grep { !$done{$_} } sort keys %done), '', 'with everything');
cmp_ok($count{$_} // 0, '>=', $seconds / 30, "$_: done") for
  ('exhaustive search', 'exhaustive search of the standby', 'search of the standby', 'check beside writers');
is($primary->safe_psql('postgres', "SELECT count(*) FROM pg_index WHERE NOT indisvalid"), 0,
	'no invalid index is left');
is($primary->safe_psql('postgres', "SELECT n_tup_hot_upd > 0, n_tup_upd > n_tup_hot_upd
	FROM pg_stat_user_tables WHERE relname = 't'"), 't|t', 'updates were HOT, and were not');
is(segments($primary), segments($standby), 'no shared memory is left');

# All rows by both indexes, whatever their order: that is probe()'s business.
sub whole_table
{
	my ($node, $label) = @_;
	for my $op ('<->', '<=>')
	{
		my $settings = 'SET omen_hnsw.ef_search = 1000; SET omen_hnsw.max_scan_tuples = 100000000;
			SET omen_hnsw.scan_order = relaxed; SET omen_hnsw.scan_mem_multiplier = 1000; SET enable_seqscan = off;';
		my $sql = "SELECT id, version, note, v $op vec(7, 16) FROM t ORDER BY v $op vec(7, 16)";
		like($node->safe_psql('postgres', "$settings EXPLAIN $sql"), qr/Index Scan using t_[vc]/,
			"$label: $op by index");
		my @index = sort split /\n/, $node->safe_psql('postgres', "$settings $sql");
		my @table = sort split /\n/, $node->safe_psql('postgres', "SET enable_indexscan = off; $sql");
		ok("@index" eq "@table", "$label: " . scalar(@table) . " rows by $op are " . scalar(@index));
	}
	is($node->safe_psql('postgres', 'SELECT exhaustive(vec(1, 16))'), '', "$label: the side table");
	# Insertions that were rolled back leave links to nodes that are gone, which is a warning.
	is($node->safe_psql('postgres', "SELECT c, f.* FROM $indexes, omen_hnsw_check(c, true) f
		WHERE severity = 'ERROR' OR detail !~ 'stale links|above the entry point'"),
		'', "$label: the indexes pass omen_hnsw_check");
	return;
}

# Blocks of an index that differ, but for LSN and checksum.
sub different_blocks
{
	my ($index) = @_;
	my @image = map {
		my $path = $_->data_dir . '/' . $_->safe_psql('postgres', "SELECT pg_relation_filepath('$index')");
		open(my $file, '<:raw', $path) || die "$path: $!";
		local $/ = \8192;
		[ map { substr($_, 10) } <$file> ]
	} ($primary, $standby);
	my $blocks = @{ $image[0] };
	return "$blocks and " . @{ $image[1] } . ' blocks' if $blocks != @{ $image[1] } || !$blocks;
	return join(' ', grep { $image[0][$_] ne $image[1][$_] } 0 .. $blocks - 1);
}

whole_table($primary, 'primary');
$primary->safe_psql('postgres', 'ALTER SYSTEM SET autovacuum = off; SELECT pg_reload_conf()');
$primary->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) t; VACUUM (INDEX_CLEANUP on) side');
whole_table($primary, 'primary, vacuumed');
$primary->safe_psql('postgres', 'CHECKPOINT');
eval { $primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert')) };
standby_lives();
whole_table($standby, 'standby');
$standby->safe_psql('postgres', 'CHECKPOINT');
is(different_blocks($_), '', "blocks of $_ are the primary's") for ('t_v', 't_c', 'side_v');
$standby->promote;
$standby->safe_psql('postgres', 'DELETE FROM t WHERE id % 2 = 0; VACUUM (INDEX_CLEANUP on) t;
	INSERT INTO t SELECT i, 0, 0, 0, value_of(i) FROM generate_series(1, 300) i;
	UPDATE side SET v = value_of(id * 11) WHERE id % 3 = 0');
whole_table($standby, 'promoted');

server_is_quiet($_, $_->name) for ($primary, $standby);
unlike(slurp_file($standby->logfile), qr/inconsistent page found/, 'no page differed');
$standby->stop;
$primary->stop;
command_ok([ 'pg_checksums', '--check', '-D', $primary->data_dir ], 'checksums are right');
done_testing();

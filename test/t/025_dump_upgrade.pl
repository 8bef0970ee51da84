# 025_dump_upgrade.pl - indexes that leave their server: pg_dump and pg_restore in every
# format, pg_basebackup under load, pg_upgrade with copied and with linked files, logical
# replication into an indexed table. What arrives answers as the table, passes the
# check and can be written to.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Omendb;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = new_node('origin', init => { allows_streaming => 'logical' },
	conf => "max_parallel_maintenance_workers = 0\n");
my $dir = PostgreSQL::Test::Utils::tempdir();

sub on { my ($server, $database, @statements) = @_; return $server->safe_psql($database, join ";\n", @statements) }

# What is asked of every copy: the definitions of its indexes, every row by each of them, the
# check, and that changes find their way.
my %order = (t => 'v <-> vec(3, 24)', c => 'v <=> vec(3, 700)', parts => 'v <+> vec(3, 8)',
	e => 'half(v)::halfvec(24) <#> vec(3, 24)::halfvec',
	s => "s <-> '{1:3,2:4}/50'", b => 'v <~> 12345::bit(64)');

sub describe
{
	my ($server, $database) = @_;
	return on($server, $database, "SELECT pg_get_indexdef(indexrelid), indisvalid FROM pg_index x
		JOIN pg_class i ON i.oid = indexrelid JOIN pg_am a ON a.oid = relam WHERE amname = 'omen_hnsw' ORDER BY 1");
}

sub answers
{
	my ($server, $database, $way, $tables) = @_;
	my $settings = $way eq 'table' ? 'SET enable_indexscan = off'
	  : 'SET enable_seqscan = off; SET omen_hnsw.ef_search = 1000; SET omen_hnsw.max_scan_tuples = 100000';
	my $columns = 'count(*), sum(id), md5(string_agg(round(d::numeric, 3)::text, \',\' ORDER BY n))';
	return on($server, $database, $settings, map {
		"SELECT '$_', $columns FROM (SELECT id, d, row_number() OVER () AS n
			FROM (SELECT id, $order{$_} AS d FROM $_ ORDER BY $order{$_}) s) s"
	} @$tables);
}

my $check = "SELECT indexrelid::regclass, f FROM pg_index x JOIN pg_class i ON i.oid = indexrelid
	JOIN pg_am a ON a.oid = relam, omen_hnsw_check(indexrelid, true) f
	WHERE amname = 'omen_hnsw' AND i.relkind = 'i' AND indisvalid";

sub examine
{
	my ($server, $label, %options) = @_;
	my $database = $options{database} // 'postgres';
	my $tables = $options{tables} // [ sort keys %order ];
	for my $round ('as it came', 'changed', 'vacuumed')
	{
		my $sequential = answers($server, $database, 'table', $tables);
		is(answers($server, $database, 'index', $tables), $sequential,
			"$label, $round: the indexes answer as the tables");
		is($sequential, $options{same}, "$label: rows are as they were")
			if defined $options{same} && $round eq 'as it came';
		is(on($server, $database, $check), '', "$label, $round: the check finds nothing");
		last if $options{read_only};
		on($server, $database,
			map { ("INSERT INTO $_ SELECT * FROM $_ WHERE id % 9 = 1", "DELETE FROM $_ WHERE id % 5 = 2") } @$tables)
		  if $round eq 'as it came';
		on($server, $database, map { "VACUUM (INDEX_CLEANUP on) $_" } @$tables) if $round eq 'changed';
	}
	return;
}

on($node, 'postgres', <<'SQL');
CREATE FUNCTION half(v vector) RETURNS halfvec LANGUAGE sql IMMUTABLE AS 'SELECT v::public.halfvec(24)';
CREATE TABLE t (id int, v vector(24));
CREATE INDEX t_v ON t USING omen_hnsw (v) WITH (m = 12, ef_construction = 80);
INSERT INTO t SELECT i, vec(i, 24) FROM generate_series(1, 300) i;
INSERT INTO t SELECT i, vec(i % 3, 24) FROM generate_series(301, 400) i;
DELETE FROM t WHERE id % 7 = 0;
CREATE TABLE c (id int, v vector(700));
INSERT INTO c SELECT i, vec(i, 700) FROM generate_series(1, 120) i;
CREATE INDEX c_v ON c USING omen_hnsw (v vector_cosine_ops);
CREATE TABLE parts (id int, v vector(8)) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (150);
CREATE TABLE parts_2 PARTITION OF parts DEFAULT;
INSERT INTO parts SELECT i, vec(i, 8) FROM generate_series(1, 300) i;
CREATE INDEX parts_v ON parts USING omen_hnsw (v vector_l1_ops);
CREATE TABLE e (id int, v vector(24));
INSERT INTO e SELECT i, vec(i, 24) FROM generate_series(1, 200) i;
CREATE INDEX e_v ON e USING omen_hnsw ((half(v)::halfvec(24)) halfvec_ip_ops);
CREATE INDEX e_some ON e USING omen_hnsw (v) WHERE id > 100;
CREATE TABLE s (id int, s sparsevec(50));
INSERT INTO s SELECT i, format('{%s:%s,%s:2,50:1}/50', 1 + i % 20, 1 + i % 7, 21 + i % 25)::sparsevec
	FROM generate_series(1, 200) i;
CREATE INDEX s_v ON s USING omen_hnsw (s sparsevec_l2_ops);
CREATE TABLE b (id int, v bit(64));
INSERT INTO b SELECT i, (i::bigint * 7919 * 104729)::bit(64) FROM generate_series(1, 200) i;
CREATE INDEX b_v ON b USING omen_hnsw (v bit_hamming_ops);
CREATE MATERIALIZED VIEW m AS SELECT * FROM t WHERE id % 2 = 0;
CREATE INDEX m_v ON m USING omen_hnsw (v);
CREATE UNLOGGED TABLE u AS SELECT * FROM t;
ALTER TABLE u ALTER v TYPE vector(24);
CREATE INDEX u_v ON u USING omen_hnsw (v);
VACUUM (INDEX_CLEANUP on) t;
SQL
my $definitions = describe($node, 'postgres');
is(() = $definitions =~ /omen_hnsw.*\|t$/mg, 11, 'indexes to be carried');
my $rows = answers($node, 'postgres', 'table', [ sort keys %order ]);

# ---- dump and restore ----

my @connection = ('-h', $node->host, '-p', $node->port);
for my $format ('plain', 'custom', 'directory', 'sections')
{
	my $file = "$dir/dump_$format";
	my $letter = $format eq 'sections' ? 'custom' : $format;
	my @jobs = $format eq 'directory' ? ('-j', 2) : ();
	command_ok([ 'pg_dump', @connection, '-F', $letter, @jobs, '-f', $file, 'postgres' ], "pg_dump, $format");
	on($node, 'postgres', "CREATE DATABASE $format");
	my @restore = ('pg_restore', '--exit-on-error', @connection, '-d', $format);
	if ($format eq 'plain') { command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', @connection, '-d', $format, '-f',
		$file ], 'restored, plain') }
	elsif ($format eq 'custom') { command_ok([ @restore, '-j', 2, $file ], 'restored, custom, by two jobs') }
	elsif ($format eq 'directory') { command_ok([ @restore, '--single-transaction', $file ],
		'restored, directory, in one transaction') }
	else { command_ok([ @restore, "--section=$_", $file ], "restored, $_") for ('pre-data', 'post-data', 'data') }
	is(describe($node, $format), $definitions, "$format: the same indexes");
	examine($node, "dump, $format", database => $format, same => $rows);
	on($node, 'postgres', "DROP DATABASE $format");
}

# ---- logical replication into indexed tables ----

my $subscriber = new_node('subscriber', init => { allows_streaming => 'logical' });
on($node, 'postgres', 'CREATE TABLE keyed (id int PRIMARY KEY, note int DEFAULT 0, v vector(24))',
	'INSERT INTO keyed SELECT i, 0, vec(i, 24) FROM generate_series(1, 300) i',
	'CREATE TABLE whole (id int, note int DEFAULT 0, v vector(24))', 'ALTER TABLE whole REPLICA IDENTITY FULL',
	'INSERT INTO whole SELECT i, 0, vec(i % 150, 24) FROM generate_series(1, 300) i',
	'CREATE PUBLICATION all_of_it FOR TABLE keyed, whole');
on($subscriber, 'postgres', 'CREATE TABLE keyed (id int PRIMARY KEY, note int DEFAULT 0, v vector(24))',
	'CREATE TABLE whole (id int, note int DEFAULT 0, v vector(24))',
	# Other indexes than the publisher's, which has none.
	'CREATE INDEX keyed_v ON keyed USING omen_hnsw (v)',
	'CREATE INDEX whole_v ON whole USING omen_hnsw (v vector_l2_ops) WITH (m = 8)');
on($subscriber, 'postgres', "CREATE SUBSCRIPTION sub CONNECTION 'host=" . $node->host . ' port=' . $node->port
	  . " dbname=postgres' PUBLICATION all_of_it WITH (binary = true)");
sub arrived
{
	my ($label) = @_;
	$node->wait_for_catchup('sub');
	$subscriber->poll_query_until('postgres', "SELECT count(*) = 2 FROM pg_subscription_rel WHERE srsubstate = 'r'")
		or die("$label: no copy");
	for my $table ('keyed', 'whole')
	{
		my $content = "SELECT count(*), md5(string_agg(x::text, '|' ORDER BY id, note, v::text)) FROM $table x";
		is(on($subscriber, 'postgres', $content), on($node, 'postgres', $content), "$label: $table has arrived");
		same_answers($subscriber, $table, 'vec(5, 24)', "$label: $table");
		check_index($subscriber, "${table}_v", $label);
	}
	return;
}
arrived('initial copy');
for my $table ('keyed', 'whole')
{
	on($node, 'postgres', "INSERT INTO $table SELECT i, 0, vec(i, 24) FROM generate_series(1001, 1100) i",
		"UPDATE $table SET v = vec(-id, 24) WHERE id % 4 = 0", "UPDATE $table SET note = note + 1 WHERE id % 3 = 0",
		"UPDATE $table SET id = id + 5000 WHERE id % 10 = 1", "DELETE FROM $table WHERE id % 6 = 5",
		'BEGIN', "INSERT INTO $table SELECT i, 0, vec(i, 24) FROM generate_series(2001, 2100) i", 'ROLLBACK');
}
arrived('stream');
on($subscriber, 'postgres', 'VACUUM (INDEX_CLEANUP on) keyed; VACUUM (INDEX_CLEANUP on) whole');
arrived('stream, vacuumed');
on($node, 'postgres', 'TRUNCATE keyed', 'INSERT INTO keyed SELECT i, 0, vec(i, 24) FROM generate_series(1, 50) i',
	'DELETE FROM whole WHERE id % 2 = 0');
arrived('TRUNCATE');
on($subscriber, 'postgres', 'DROP SUBSCRIPTION sub');
$subscriber->stop;
on($node, 'postgres', 'DROP PUBLICATION all_of_it', 'DROP TABLE keyed, whole');

# ---- a base backup while rows come and go ----

on($node, 'postgres', 'CREATE TABLE busy (id int, v vector(24))', 'CREATE INDEX busy_v ON busy USING omen_hnsw (v)');
my @writers = map {
	my $base = $_ * 100000;
	start_psql($node, map {
		my $id = $base + $_ * 10;
		("INSERT INTO busy SELECT i, vec(i, 24) FROM generate_series($id, $id + 9) i",
			"DELETE FROM busy WHERE id BETWEEN $id - 50 AND $id - 41 AND id % 3 = 0",
			$_ % 20 ? () : 'VACUUM (INDEX_CLEANUP on) busy')
	} 1 .. 400)
} (1, 2);
$node->poll_query_until('postgres', 'SELECT count(*) > 200 FROM busy') or die('no writers');
my $lines = on($node, 'postgres', 'SELECT count(*) FROM busy');
$node->backup('busy', backup_options => [ '-X', 'stream' ]);
cmp_ok(on($node, 'postgres', 'SELECT count(*) FROM busy'), '>', $lines, 'rows came meanwhile');
my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($node, 'busy');
$copy->start;
for my $writer (@writers)
{
	my ($status, undef, $err) = finish_psql($writer);
	is("$status$err", '0', 'a writer had no error');
}
my $relaxed = 'SET omen_hnsw.scan_order = relaxed; SET enable_seqscan = off; SET omen_hnsw.max_scan_tuples = 1000000;
	SET omen_hnsw.scan_mem_multiplier = 1000;';
for my $server ($copy, $node)
{
	is(on($server, 'postgres', "$relaxed SELECT count(*) = (SELECT count(*) FROM busy), count(*) = count(DISTINCT id)
		FROM (SELECT id FROM busy ORDER BY v <-> vec(7, 24)) s"), 't|t', $server->name . ': all rows by the index');
	check_index($server, 'busy_v', $server->name);
}
examine($copy, 'a base backup', same => $rows);
$copy->stop;
on($node, 'postgres', 'DROP TABLE busy');

# ---- pg_upgrade ----

server_is_quiet($node, 'origin');
# Neither an index that was not finished nor unlogged rows are in its way.
$node->psql('postgres', "CREATE TABLE wrong (v vector); INSERT INTO wrong VALUES ('[1,2]'), ('[1,2,3]');
	CREATE INDEX CONCURRENTLY wrong_v ON wrong USING omen_hnsw ((v::vector(3)))");
is(on($node, 'postgres', 'SELECT count(*) FROM pg_index WHERE NOT indisvalid'), 1, 'an invalid index');
my $unlogged = on($node, 'postgres', 'SELECT count(*) FROM u');
my $bin = $node->config_data('--bindir');
$node->stop;
my $old = $node;
for my $way ('copy', 'link')
{
	my $new = PostgreSQL::Test::Cluster->new("upgraded_by_$way");
	$new->init(extra => ['--data-checksums']);
	$new->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\n");
	my $files = sub {
		my ($server) = @_;
		my $path = $server->data_dir . '/' . on($server, 'postgres', "SELECT pg_relation_filepath('t_v')");
		return (stat($path))[1];
	};
	$old->start;
	my $inode = $files->($old);
	$old->stop;
	chdir($dir) || die $!;
	command_ok([ 'pg_upgrade', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $bin, '-B', $bin, '-s', $new->host,
			'-p', $old->port, '-P', $new->port, '--no-sync', $way eq 'link' ? '--link' : () ], "pg_upgrade, $way");
	$new->start;
	is($files->($new) == $inode ? 'link' : 'copy', $way, "the files of an index: $way");
	is(describe($new, 'postgres'), $definitions, "pg_upgrade, $way: the same indexes");
	is(on($new, 'postgres', 'SELECT count(*) FROM u'), $unlogged, "pg_upgrade, $way: unlogged rows");
	examine($new, "pg_upgrade, $way", same => $rows, read_only => $way eq 'copy');
	same_answers($new, 'u', 'vec(5, 24)', "pg_upgrade, $way: unlogged");
	on($new, 'postgres', 'REINDEX DATABASE CONCURRENTLY postgres') if $way eq 'link';
	examine($new, 'reindexed', read_only => 1) if $way eq 'link';
	$new->stop('immediate') if $way eq 'link';
	if ($way eq 'link')
	{
		$new->start;
		is(on($new, 'postgres', 'SELECT count(*) FROM u'), 0, 'unlogged rows after a crash');
		check_index($new, 'u_v', 'upgraded, after a crash');
		examine($new, 'upgraded, after a crash');
	}
	server_is_quiet($new, $new->name);
	$new->stop;
	$old = $new;
}
done_testing();

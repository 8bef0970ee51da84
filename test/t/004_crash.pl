# 004_crash.pl - an index survives what kills the server right after CREATE
# INDEX, and an unfinished one leaves nothing.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Omendb;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

for my $wal_level ('replica', 'minimal')
{
	my $node = new_node("crash_$wal_level",
		conf => "cluster_name = 'crash_$wal_level'\nwal_level = $wal_level\n"
		  . ($wal_level eq 'minimal' ? "max_wal_senders = 0\n" : ''));
	$node->safe_psql('postgres', <<'SQL');
CREATE TABLE source (id int, v vector(32));
INSERT INTO source SELECT i, spread(i, 32) FROM generate_series(1, 900) i;
CHECKPOINT;
SQL
	for my $way ('immediate stop', 'kill -9 of the postmaster')
	{
		my $label = "wal_level $wal_level, $way";
		# A table of its own transaction skips WAL when wal_level is minimal; an old one does not.
		$node->safe_psql('postgres', <<'SQL');
BEGIN;
CREATE TABLE fresh (id int, v vector(32));
INSERT INTO fresh SELECT * FROM source;
CREATE INDEX fresh_v ON fresh USING omen_hnsw (v);
COMMIT;
CREATE UNLOGGED TABLE unlogged (id int, v vector(32));
INSERT INTO unlogged SELECT * FROM source;
CREATE INDEX unlogged_v ON unlogged USING omen_hnsw (v);
CREATE UNLOGGED TABLE cosine (id int, v vector(32));
CREATE INDEX cosine_v ON cosine USING omen_hnsw (v vector_cosine_ops) WITH (m = 24, ef_construction = 100);
ALTER TABLE source SET (parallel_workers = 2);
CREATE INDEX source_v ON source USING omen_hnsw (v);
SQL
		if ($way eq 'immediate stop')
		{
			$node->stop('immediate');
		}
		else
		{
			kill_server($node);
		}
		$node->start;
		for my $table ('fresh', 'source')
		{
			is($node->safe_psql('postgres', "SELECT count(*) FROM $table"), 900, "$label: rows of $table");
			same_answers($node, $table, 'vec(7, 32)', "$label: $table");
			check_index($node, "${table}_v", $label);
		}
		is($node->safe_psql('postgres', 'SELECT count(*) FROM unlogged'), 0, "$label: the unlogged table is empty");
		for my $table ('unlogged', 'cosine')
		{
			my $op = $table eq 'cosine' ? '<=>' : '<->';
			my ($status, $out, $err) = $node->psql('postgres',
				"SET enable_seqscan = off; SELECT id FROM $table ORDER BY v $op vec(7, 32)");
			is("$status$out$err", '0', "$label: $table can be searched");
			check_index($node, "${table}_v", $label);
		}
		my (undef, $kept) = $node->psql('postgres',
			"SELECT value FROM omen_hnsw_stats('cosine_v') WHERE name IN ('m', 'metric')");
		is($kept, "cosine\n24", "$label: the empty index keeps its parameters");
		# Usable again.
		$node->safe_psql('postgres', 'DROP INDEX unlogged_v; INSERT INTO unlogged SELECT * FROM source;
			CREATE INDEX unlogged_v ON unlogged USING omen_hnsw (v)');
		same_answers($node, 'unlogged', 'vec(7, 32)', "$label: filled anew");
		$node->safe_psql('postgres', 'DROP TABLE fresh, unlogged, cosine; DROP INDEX source_v');
	}

	# A backend killed in the middle of its build: the server restarts itself.
	$node->safe_psql('postgres', <<'SQL');
CREATE TABLE large (id int, v vector(64));
INSERT INTO large SELECT i, spread(i, 64) FROM generate_series(1, 10000) i;
INSERT INTO large SELECT i * 10000 + id, v * array_fill(1 + i * 0.01, ARRAY[64])::vector FROM large,
	generate_series(1, 19) i;
SQL
	$node->append_conf('postgresql.conf', 'restart_after_crash = on');
	$node->reload;
	for my $workers (0, 2)
	{
		my $label = "wal_level $wal_level, kill -9 of a backend, $workers workers";
		$node->safe_psql('postgres', "ALTER TABLE large SET (parallel_workers = $workers); CHECKPOINT");
		my $segments = segments($node);
		my $run = start_psql($node, 'CREATE INDEX large_v ON large USING omen_hnsw (v)');
		$node->poll_query_until('postgres',
			"SELECT count(*) > 0 FROM pg_stat_progress_create_index WHERE phase LIKE '%vectors'")
		  or die("$label: the build was never seen");
		my $pid = $node->safe_psql('postgres', 'SELECT pid FROM pg_stat_progress_create_index LIMIT 1');
		kill_backend($node, $pid);
		my ($status) = finish_psql($run);
		isnt($status, 0, "$label: the build has failed");
		$node->poll_query_until('postgres', 'SELECT 1', '1') or die("$label: no restart");
		is($node->safe_psql('postgres', "SELECT count(*) FROM pg_class WHERE relname = 'large_v'"),
			'0', "$label: no index is left");
		is($node->safe_psql('postgres', 'SELECT count(*) FROM large'), 200000, "$label: the rows are there");
		cmp_ok(segments($node), '<=', $segments, "$label: no shared memory is left");
	}
	$node->safe_psql('postgres', 'CREATE INDEX source_v ON source USING omen_hnsw (v)');
	check_index($node, 'source_v', "wal_level $wal_level");
	$node->stop;
	command_ok([ 'pg_checksums', '--check', '-D', $node->data_dir ], "wal_level $wal_level: checksums are right");
}

done_testing();

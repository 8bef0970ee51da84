# 005_standby.pl - a streaming standby answers as the primary, and finds every
# replayed page identical (wal_consistency_checking).
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Omendb;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = new_node('primary', init => { allows_streaming => 1 },
	conf => "wal_consistency_checking = 'all'\nfull_page_writes = on\n");
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

sub catch_up { $primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert')); return; }

sub compare
{
	my ($label, $table, $op, $dim) = @_;
	for my $q (3, 5000, 5001)
	{
		my $sql = "SET enable_seqscan = off; SET omen_hnsw.ef_search = 1000;
			SELECT id, v $op spread($q, $dim) FROM $table ORDER BY v $op spread($q, $dim)";
		my $here = $primary->safe_psql('postgres', $sql);
		isnt($here, '', "$label: rows");
		my ($status, $there, $err) = $standby->psql('postgres', $sql);
		is($err, '', "$label: the standby answers");
		ok($there eq $here, "$label: the standby answers as the primary");
	}
	check_index($standby, "${table}_v", "$label, standby");
	check_index($primary, "${table}_v", "$label, primary");
	return;
}

$primary->safe_psql('postgres', <<'SQL');
CREATE TABLE t (id int, v vector(40));
INSERT INTO t SELECT i, spread(i, 40) FROM generate_series(1, 800) i;
INSERT INTO t SELECT 1000 + i, spread(1, 40) FROM generate_series(1, 100) i;
CREATE INDEX t_v ON t USING omen_hnsw (v);
CREATE TABLE c (id int, v vector(700));
INSERT INTO c SELECT i, spread(i, 700) FROM generate_series(1, 300) i;
ALTER TABLE c SET (parallel_workers = 2);
CREATE INDEX c_v ON c USING omen_hnsw (v vector_cosine_ops);
CREATE UNLOGGED TABLE u AS SELECT * FROM t;
CREATE INDEX u_v ON u USING omen_hnsw ((v::vector(40)));
SQL
catch_up();
compare('after CREATE INDEX', 't', '<->', 40);
compare('after CREATE INDEX', 'c', '<=>', 700);
my ($status, $out, $err) = $standby->psql('postgres', "SELECT * FROM omen_hnsw_check('u_v')");
like($err, qr/cannot access unlogged index "u_v" during recovery/, 'an unlogged index cannot be checked there');

$primary->safe_psql('postgres', 'DELETE FROM t WHERE id % 3 = 0 OR id BETWEEN 1010 AND 1090;
	VACUUM t; DELETE FROM c WHERE id < 100; VACUUM c');
catch_up();
compare('after DELETE and VACUUM', 't', '<->', 40);
compare('after DELETE and VACUUM', 'c', '<=>', 700);
is($standby->safe_psql('postgres', "SELECT value FROM omen_hnsw_stats('t_v') WHERE name = 'tids'"),
	$primary->safe_psql('postgres', 'SELECT count(*) FROM t'), 'TIDs removed on the standby');
$primary->safe_psql('postgres', 'REINDEX TABLE t');
catch_up();
compare('after REINDEX', 't', '<->', 40);

# The standby's own crash, then its promotion.
$standby->stop('immediate');
$standby->start;
check_index($standby, 't_v', 'after a crash of the standby');
$primary->safe_psql('postgres', 'DELETE FROM t WHERE id % 5 = 0; VACUUM t');
catch_up();
$standby->promote;
$primary->stop;
check_index($standby, 't_v', 'promoted');
same_answers($standby, 't', 'vec(5, 40)', 'promoted');
$standby->safe_psql('postgres', 'DELETE FROM t WHERE id % 2 = 0; VACUUM t; REINDEX INDEX u_v');
check_index($standby, 't_v', 'promoted, then vacuumed');
check_index($standby, 'u_v', 'promoted');
unlike(slurp_file($standby->logfile), qr/inconsistent page found|PANIC|TRAP/, 'no page differed');
unlike(slurp_file($primary->logfile), qr/PANIC|TRAP/, 'no alarm on the primary');
$standby->stop;

done_testing();

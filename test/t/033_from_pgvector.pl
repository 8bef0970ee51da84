# 033_from_pgvector.pl - what README.md says to those who come from pgvector: its dump
# and restore, logical replication, and the change of one database in place. The
# commands are README's own. Skipped where pgvector is not installed.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Project;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('from_pgvector');
$node->init(allows_streaming => 'logical');
$node->append_conf('postgresql.conf', "fsync = off\nmax_worker_processes = 8");
$node->start;
if (!$node->safe_psql('postgres', "SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'"))
{
	$node->stop;
	plan skip_all => 'pgvector is not installed';
}

my @blocks = grep { $_->{mark} eq 'run: pgvector' } blocks(slurp_file(project_file('README.md')));
my ($shell) = grep { $_->{language} eq 'sh' } @blocks;
my ($in_place) = grep { $_->{language} eq 'sql' } @blocks;
ok($shell && $in_place && @blocks == 2, 'README has a block for the shell and one of SQL');

# ---- a database of theirs ----

my $items = <<'SQL';
CREATE TABLE items (id int PRIMARY KEY, embedding vector(3) NOT NULL);
INSERT INTO items SELECT i, ARRAY[i, i * i % 101, 1.0 / i]::real[]::vector FROM generate_series(1, 1000) i;
SQL
$node->safe_psql('postgres', 'CREATE DATABASE old');
$node->safe_psql('old', <<"SQL");
CREATE EXTENSION vector;
$items
CREATE INDEX items_embedding_idx ON items USING hnsw (embedding vector_l2_ops) WITH (m = 12, ef_construction = 50);
CREATE INDEX items_flat ON items USING ivfflat (embedding vector_cosine_ops) WITH (lists = 5);
CREATE TABLE more (id int PRIMARY KEY, h halfvec(4), s sparsevec(1000), b bit(16), list vector[]);
INSERT INTO more SELECT i, ARRAY[i, 1, 0.1 * i, -i]::real[]::halfvec,
	format('{%s:%s,%s:2.5}/1000', 1 + i % 7, i * 0.01, 10 + i % 31)::sparsevec,
	i::bit(16), ARRAY['[1,2]'::vector, NULL, '[0.1]'] FROM generate_series(1, 500) i;
CREATE INDEX more_h ON more USING hnsw (h halfvec_cosine_ops) WHERE (id > 10);
CREATE INDEX more_s ON more USING hnsw (s sparsevec_ip_ops);
CREATE INDEX more_b ON more USING hnsw (b bit_hamming_ops);
CREATE INDEX more_q ON more USING hnsw (((h::vector(4))) vector_l1_ops);
CREATE VIEW pairs AS SELECT a.id, a.embedding <-> b.embedding AS d FROM items a JOIN items b ON b.id = a.id + 1;
INSERT INTO more VALUES (0, NULL, NULL, B'0000000000000000', NULL);
SQL

# Every value, to the last bit.
my $contents = <<'SQL';
SET extra_float_digits = 1;
SELECT md5(string_agg(id || vector_send(embedding)::text, ',' ORDER BY id)) FROM items;
SELECT md5(string_agg(more::text, ',' ORDER BY id)) FROM more;
SELECT count(*), sum(d)::numeric(20, 6) FROM pairs;
SQL
my $before = $node->safe_psql('old', $contents);

sub same_contents
{
	my ($database, $label) = @_;
	is($node->safe_psql($database, $contents), $before, "$label: every row is there");
	my $indexes = $node->safe_psql($database, <<'SQL');
SELECT c.relname FROM pg_class c JOIN pg_am a ON a.oid = relam WHERE amname = 'omen_hnsw' ORDER BY c.relname COLLATE "C"
SQL
	is($indexes, join("\n", qw(items_embedding_idx items_flat more_b more_h more_q more_s)),
		"$label: every index is one of omen_hnsw");
	for my $index (split /\n/, $indexes)
	{
		is($node->safe_psql($database, "SELECT * FROM omen_hnsw_check('$index')"), '', "$label: $index is sound");
	}
	like(
		$node->safe_psql(
			$database, "SELECT indexdef FROM pg_indexes WHERE indexname = 'items_embedding_idx'"),
		qr/USING omen_hnsw \(embedding\) WITH \(m='12', ef_construction='50'\)/,
		"$label: with its options");
	return;
}

sub shell
{
	my ($commands, $label) = @_;
	my ($out, $err) = ('', '');
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port);
	IPC::Run::run([ 'bash', '-euo', 'pipefail', '-c', $commands ], '>', \$out, '2>', \$err);
	return is("$? $err", '0 ', "$label runs");
}

# ---- by dump and restore ----

shell($shell->{code}, 'dump and restore');
same_contents('new', 'dump and restore');

# ---- by logical replication ----

# README: "the same with --schema-only in place of the data".
my $schema = join('', grep { !/--section=data/ } split /^/, $shell->{code} =~ s/\bnew\b/live/gr);
shell($schema, 'the schema alone');
$node->safe_psql('old', 'CREATE PUBLICATION everything FOR ALL TABLES');
$node->safe_psql('old', "SELECT pg_create_logical_replication_slot('live', 'pgoutput')");
my $connection = $node->connstr('old') =~ s/'/''/gr;
# A slot made by hand: both databases are on one server here, and CREATE SUBSCRIPTION
# would wait for itself.
$node->safe_psql('live',
	"CREATE SUBSCRIPTION live CONNECTION '$connection' PUBLICATION everything"
	  . ' WITH (create_slot = false, slot_name = live)');
ok( $node->poll_query_until(
		'live', "SELECT count(*) = 2 AND bool_and(srsubstate IN ('r', 's')) FROM pg_subscription_rel"),
	'logical replication copies the rows');
same_contents('live', 'logical replication');
$node->safe_psql('old', "UPDATE items SET embedding = '[5,5,5]' WHERE id <= 20; DELETE FROM items WHERE id > 990;");
$before = $node->safe_psql('old', $contents);
$node->wait_for_catchup('live');
same_contents('live', 'logical replication goes on');
$node->safe_psql('live', 'DROP SUBSCRIPTION live');

# ---- in place ----

$node->safe_psql('postgres', 'CREATE DATABASE place');
$node->safe_psql('place', <<"SQL");
CREATE EXTENSION vector;
$items
CREATE INDEX items_embedding_idx ON items USING hnsw (embedding vector_l2_ops);
SQL
my $values = 'SELECT md5(string_agg(id || vector_send(embedding)::text, $$,$$ ORDER BY id)) FROM items';
$before = $node->safe_psql('place', $values);
my ($status, $out, $err) = $node->psql('place', $in_place->{code});
is("$status $err", '0 ', 'in place: runs');
is($node->safe_psql('place', $values), $before, 'in place: every row is there');
is($node->safe_psql('place', "SELECT * FROM omen_hnsw_check('items_embedding_idx')"),
	'', 'in place: the index is sound');
is( $node->safe_psql(
		'place', "SELECT attstorage FROM pg_attribute WHERE attrelid = 'items'::regclass AND attname = 'embedding'"),
	'e', 'in place: stored as vectors are');

# ---- what README says of both ----

($status, $out, $err) = $node->psql('place',
	"SELECT omendb_isa() <> ''; SET hnsw.ef_search = 100; SHOW hnsw.ef_search; SHOW omen_hnsw.ef_search");
is("$status $out", "0 t\n100\n40", 'SET hnsw.ef_search is accepted and does nothing');

$node->stop;
done_testing();

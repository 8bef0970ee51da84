# 012_small_buffers.pl - scans of plain values while buffers change hands: a neighbour's
# distance is read without a pin, and the page may be another's by then. Every answer is the
# one given when all pages were in memory.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Omendb;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant CLIENTS => 3;

my $node = new_node('small_buffers', conf => "shared_buffers = 64MB\nautovacuum = off");

sub sql { return $node->safe_psql('postgres', join ";\n", @_) }

# 256 bits, near those of the 40 others of a cluster.
sql('CREATE FUNCTION bits(i int) RETURNS bit(256) LANGUAGE sql IMMUTABLE AS $$
	SELECT string_agg(CASE WHEN hashint4(i * 1000 + n) % 8 = 0 THEN 1 ELSE (hashint4(i / 40 * 1000 + n) & 1) END::text,
		\'\' ORDER BY n)::bit(256) FROM generate_series(1, 256) n $$',
	'CREATE TABLE items (id int, b bit(256), v vector(64))',
	'INSERT INTO items SELECT i, bits(i), spread(i, 64) FROM generate_series(1, 8000) i',
	'CREATE INDEX items_b ON items USING omen_hnsw (b bit_hamming_ops)',
	'CREATE INDEX items_v ON items USING omen_hnsw (v vector_l1_ops)');

# Every answer to 100 questions, one after the other; the plans must be what is meant.
sub answers_of
{
	my ($question, $distance) = @_;
	return "SELECT md5(string_agg(a.ids, ';' ORDER BY q.i))
		FROM (SELECT i, $question AS x FROM generate_series(1, 100) i) q,
			LATERAL (SELECT string_agg(id::text, ',') AS ids
				FROM (SELECT id FROM items ORDER BY $distance q.x LIMIT 10) s) a";
}
my %answers = (b => answers_of('bits(i * 53)', 'b <~>'), v => answers_of('spread(i * 53, 64)', 'v <+>'));
my %wanted;
for my $column (sort keys %answers)
{
	like(sql('SET enable_seqscan = off', "EXPLAIN $answers{$column}"), qr/Index Scan using items_$column/,
		"$column: the index is used");
	$wanted{$column} = sql('SET enable_seqscan = off', $answers{$column});
}

# Buffers for a fraction of the pages, and others that want them.
my $pages = sql("SELECT (pg_relation_size('items_b') + pg_relation_size('items_v')) / 8192");
$node->append_conf('postgresql.conf', 'shared_buffers = 1MB');
$node->restart;
cmp_ok($pages, '>', 4 * 128, 'the indexes have several times as many pages as there are buffers');
my @runs = map { start_psql($node, 'SET enable_seqscan = off', (@answers{qw(b v)}) x 3) } 1 .. CLIENTS;
for my $run (@runs)
{
	my ($status, $out, $err) = finish_psql($run);
	is("$status:$out:$err", '0:' . "$wanted{b}\n$wanted{v}\n" x 3 . ':', 'the answers of a client among others');
}
check_index($node, $_, 'afterwards') for qw(items_b items_v);
server_is_quiet($node, 'small buffers');
done_testing();

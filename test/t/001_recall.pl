# 001_recall.pl - recall against exact answers: metrics, dimensions, serial and
# parallel builds, clustered and sorted tables.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Omendb;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main');
my %class = ('<->' => 'vector_l2_ops', '<#>' => 'vector_ip_ops', '<=>' => 'vector_cosine_ops');

# recall(table, operator, k): the share of the k nearest found, over the table's queries. A row as near
# as the k-th counts: equal distances are equally right.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE truth (tbl text, op text, q vector, ds float8[]);
CREATE FUNCTION learn(tbl text, op text) RETURNS void LANGUAGE plpgsql SET enable_indexscan = off AS $$
BEGIN
	EXECUTE format('INSERT INTO truth SELECT %L, %L, q.v,
		(SELECT array_agg(d) FROM (SELECT t.v %s q.v AS d FROM %I t ORDER BY 1 LIMIT 100) s) FROM %I q',
		tbl, op, op, tbl, tbl || '_queries');
END $$;
CREATE FUNCTION recall(tbl text, op text, k int) RETURNS numeric LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE result numeric; t record; sum bigint := 0; n int := 0; hits int; wrong int;
BEGIN
	FOR t IN SELECT * FROM truth WHERE truth.tbl = recall.tbl AND truth.op = recall.op LOOP
		EXECUTE format('SELECT count(*) FILTER (WHERE d <= $2), count(*) FILTER (WHERE d < lag) FROM
			(SELECT d, lag(d) OVER () AS lag FROM (SELECT v %s $1 AS d FROM %I ORDER BY v %s $1 LIMIT
				$3) s) s', op, tbl, op)
			INTO hits, wrong USING t.q, t.ds[k], k;
		IF wrong > 0 THEN RAISE EXCEPTION 'distances decrease'; END IF;
		sum := sum + hits;
		n := n + k;
	END LOOP;
	RETURN round(sum::numeric / n, 3);
END $$;
SQL

# Recall must be at least that of [recall@1, recall@10, recall@100 at ef_search 200].
sub floors
{
	my ($table, $op, $label, @floor) = @_;
	my $query = join ',', map { "recall('$table', '$op', $_)" } (1, 10);
	my $found = $node->safe_psql('postgres',
		"SELECT concat_ws(' ', $query); SET omen_hnsw.ef_search = 200; SELECT recall('$table', '$op', 100)");
	my @found = split ' ', $found;
	note("$label: recall\@1/10/100 @found, wanted @floor");
	ok($found[0] >= $floor[0] && $found[1] >= $floor[1] && $found[2] >= $floor[2],
		"$label: recall @found");
	return;
}

sub build
{
	my ($table, $op, $workers) = @_;
	my ($status, $out, $err) = $node->psql('postgres', <<"SQL");
ALTER TABLE $table SET (parallel_workers = $workers);
SET client_min_messages = debug1;
CREATE INDEX ${table}_v ON $table USING omen_hnsw (v $class{$op});
SQL
	is($status, 0, "$table: CREATE INDEX with $workers workers") || diag($err);
	like($err, qr/using $workers parallel workers/, "$table: $workers workers launched") if $workers;
	return;
}

# Rows sorted as their clusters are (tenants, say), or in no order.
sub table
{
	my ($name, $rows, $dim, $sorted) = @_;
	my $vector = "spread(i, $dim)";
	my $order = $sorted ? 'ORDER BY abs(hashint4(i)) % 40' : '';
	$node->safe_psql('postgres', <<"SQL");
CREATE TABLE $name (id int, v vector($dim));
INSERT INTO $name SELECT i, $vector FROM generate_series(1, $rows) i $order;
CREATE TABLE ${name}_queries AS SELECT i AS id, $vector AS v FROM generate_series(1000001, 1000030) i;
ANALYZE $name;
SQL
	return;
}

for my $case (
	[ 'd3', 4000, 3, 0 ], [ 'd32', 5000, 32, 0 ], [ 'd128', 5000, 128, 0 ],
	[ 'd784', 1500, 784, 0 ], [ 'sorted', 5000, 32, 1 ])
{
	my ($table, $rows, $dim, $sorted) = @$case;
	table($table, $rows, $dim, $sorted);
	for my $op ('<->', '<#>', '<=>')
	{
		$node->safe_psql('postgres', "SELECT learn('$table', '$op')");
		for my $workers (0, 2)
		{
			build($table, $op, $workers);
			floors($table, $op, "$table $op, $workers workers", 0.95, 0.95, 0.93);
			check_index($node, "${table}_v", "$table $op, $workers workers");
			$node->safe_psql('postgres', "DROP INDEX ${table}_v");
		}
	}
}

server_is_quiet($node, 'all');
done_testing();

# 011_pgvector.pl - beside pgvector: one extension a database, two libraries a
# process, the same bytes and the same answers. Skipped where it is not installed.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('pgvector');
$node->init;
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;
my $there = $node->safe_psql('postgres',
	"SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'");
if (!$there)
{
	$node->stop;
	plan skip_all => 'pgvector is not installed';
}

# ---- one of them a database ----

$node->safe_psql('postgres', 'CREATE DATABASE theirs');
$node->safe_psql('postgres', 'CREATE DATABASE ours');
$node->safe_psql('theirs', 'CREATE EXTENSION vector');
my ($status, $out, $err) = $node->psql('theirs', '\set VERBOSITY verbose' . "\nCREATE EXTENSION omendb");
isnt($status, 0, 'no omendb beside vector');
like($err, qr/42710: extension "vector" is already installed in this database/, 'says why');
like($err, qr/HINT:  .*omendb_pgvector/, 'and what to do');
$node->safe_psql('ours', 'CREATE EXTENSION omendb');
($status, $out, $err) = $node->psql('ours', 'CREATE EXTENSION vector');
isnt($status, 0, 'no vector beside omendb');
like($err, qr/type "vector" already exists/, 'the type is taken');

# ---- both libraries in one process, in either order ----

my $vectors = 'SELECT array_agg(sin(i * n) ORDER BY i)::vector AS v, n '
  . 'FROM generate_series(1, 50) i, generate_series(1, 200) n GROUP BY n';
my $halfvecs = "SELECT v::halfvec AS h, n FROM ($vectors) s";
my $questions = <<"SQL";
SET extra_float_digits = 1;
SELECT md5(string_agg(v::text || h::text || vector_send(v)::text || halfvec_send(h)::text, '' ORDER BY n))
FROM ($vectors) a JOIN ($halfvecs) b USING (n);
SELECT hamming_distance(B'101', B'110'), jaccard_distance(B'101', B'110');
CREATE TEMP TABLE t AS $vectors;
SELECT array_agg(n ORDER BY v <-> (SELECT v FROM t WHERE n = 7), n) FROM t;
SELECT array_agg(n ORDER BY v, n) FROM t;
SELECT sum(v), avg(v), sum(v::halfvec) FROM t;
SQL
my %answers;
for my $first ('omendb', 'vector')
{
	my $second = $first eq 'omendb' ? 'vector' : 'omendb';
	for my $database ('ours', 'theirs')
	{
		($status, $out, $err) = $node->psql($database, "LOAD '$first'; LOAD '$second'; $questions");
		is($status, 0, "$database: $first, then $second") || diag($err);
		$answers{$out} .= " $database";
	}
}
# Averages in float8 divided once: the same to the last digit.
is(scalar keys %answers, 1, 'the same answers everywhere')
  || diag(join("\n----\n", map { "$answers{$_}:\n$_" } keys %answers));

# Indexes of both in processes that have both libraries.
my $rows = 'SELECT ARRAY[i % 10, i / 10, i * i % 7]::vector(3) AS v, i FROM generate_series(1, 500) i';
for ([ 'ours', 'omen_hnsw' ], [ 'theirs', 'hnsw' ])
{
	my ($database, $method) = @$_;
	($status, $out, $err) = $node->psql(
		$database, <<"SQL");
LOAD 'omendb'; LOAD 'vector';
CREATE TABLE items AS $rows;
CREATE INDEX ON items USING $method (v vector_l2_ops);
SET enable_seqscan = off;
SELECT i FROM items ORDER BY v <-> '[3,4,5]' LIMIT 1;
SQL
	is("$status $err", '0 ', "$database: an index by $method");
}

# ---- the same bytes: our functions on their values ----

$node->safe_psql(
	'theirs', <<'SQL');
CREATE FUNCTION our(name text, arguments text, result text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE FUNCTION our_%s(%s) RETURNS %s AS ''$libdir/omendb'', ''omendb_%s''
		LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE', name, arguments, result, name);
END $$;
SELECT our('vector_l2_distance', 'vector, vector', 'float8'),
	our('vector_l1_distance', 'vector, vector', 'float8'),
	our('vector_cmp', 'vector, vector', 'int'),
	our('vector_add', 'vector, vector', 'vector'),
	our('vector_send', 'vector', 'bytea'),
	our('vector_l2_normalize', 'vector', 'vector'),
	our('vector_binary_quantize', 'vector', 'bit'),
	our('vector_to_halfvec', 'vector, int, bool', 'halfvec'),
	our('halfvec_to_vector', 'halfvec, int, bool', 'vector'),
	our('halfvec_l2_distance', 'halfvec, halfvec', 'float8'),
	our('halfvec_cmp', 'halfvec, halfvec', 'int'),
	our('halfvec_add', 'halfvec, halfvec', 'halfvec'),
	our('halfvec_mul', 'halfvec, halfvec', 'halfvec'),
	our('halfvec_send', 'halfvec', 'bytea'),
	our('halfvec_l2_normalize', 'halfvec', 'halfvec'),
	our('halfvec_binary_quantize', 'halfvec', 'bit'),
	our('halfvec_in', 'cstring, oid, int', 'halfvec'),
	our('vector_in', 'cstring, oid, int', 'vector'),
	our('halfvec_out', 'halfvec', 'cstring'),
	our('vector_out', 'vector', 'cstring');
CREATE TABLE pairs AS SELECT n, array_agg(sin(i * n) * 3 ORDER BY i)::vector AS a,
	array_agg(cos(i * i + n) ORDER BY i)::vector AS b
FROM generate_series(1, 300) n, generate_series(1, n) i GROUP BY n;
SQL
is( $node->safe_psql(
		'theirs', <<'SQL'),
SELECT count(*), array_agg(n) FROM pairs, LATERAL (SELECT a::halfvec AS g, b::halfvec AS h) s
WHERE abs(our_vector_l2_distance(a, b) / (a <-> b) - 1) > 1e-6
	OR abs(our_vector_l1_distance(a, b) / (a <+> b) - 1) > 1e-6
	OR our_vector_cmp(a, b) <> vector_cmp(a, b)
	OR our_vector_add(a, b) <> a + b OR our_vector_send(a) <> vector_send(a)
	OR our_vector_l2_normalize(a) <-> l2_normalize(a) > 1e-6
	OR our_vector_binary_quantize(a) <> binary_quantize(a)
	OR our_vector_to_halfvec(a, -1, true) <> g
	OR our_halfvec_to_vector(g, -1, true) <> g::vector
	OR abs(our_halfvec_l2_distance(g, h) / (g <-> h) - 1) > 1e-6
	OR our_halfvec_cmp(g, h) <> halfvec_cmp(g, h)
	OR our_halfvec_add(g, h) <> g + h OR our_halfvec_mul(g, h) <> g * h
	OR our_halfvec_send(g) <> halfvec_send(g)
	OR our_halfvec_l2_normalize(g) <-> l2_normalize(g) > 1e-2
	OR our_halfvec_binary_quantize(g) <> binary_quantize(g)
	OR our_vector_out(a)::text <> a::text OR our_halfvec_out(g)::text <> g::text
	OR our_vector_in(vector_out(a), 0, -1) <> a OR our_halfvec_in(halfvec_out(g), 0, -1) <> g
	OR pg_column_size(our_halfvec_add(g, h)) <> pg_column_size(g + h);
SQL
	'0|', 'our functions on values of pgvector');

$node->stop;
done_testing();

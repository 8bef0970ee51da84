# 006_damage.pl - damaged index files: an error that says so, or an answer;
# never a crash, a hang, or a query that cannot be planned. The check function
# reports what matters.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Omendb;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# No checksums: the damage has to reach us.
my $node = new_node('main', initdb => [], conf => "restart_after_crash = off\n");
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE a (id int, v vector(16));
INSERT INTO a SELECT i, spread(i, 16) FROM generate_series(1, 800) i;
INSERT INTO a SELECT 2000 + i, spread(3, 16) FROM generate_series(1, 150) i;
CREATE TABLE b (id int, v vector(300));
INSERT INTO b SELECT i, spread(i, 300) FROM generate_series(1, 250) i;
SQL
my %op = (a => '<->', b => '<=>');
my %class = (a => 'vector_l2_ops', b => 'vector_cosine_ops');
my %query = map { $_ => $node->safe_psql('postgres', "SELECT v FROM $_ WHERE id = 77") } ('a', 'b');

srand(20240601);
sub any { my ($n) = @_; return int(rand($n)); }

# Each kind changes the bytes of an index; pages are 8192 bytes, block 0 is the
# meta page, the last 8 bytes of a page its special space. A record starts with
# its header; what is in a vector or a code may be damaged unseen.
my %kinds = (
	'bit' => sub { my ($d) = @_; my $at = any(length $$d); substr($$d, $at, 1) ^= chr(1 << any(8)); },
	'byte' => sub { my ($d) = @_; substr($$d, any(length $$d), 1) = chr(any(256)); },
	'run of bytes' => sub {
		my ($d) = @_;
		my $at = any(length($$d) - 400);
		substr($$d, $at, 400) = join '', map { chr any(256) } 1 .. 400;
	},
	'ones' => sub { my ($d) = @_; my $at = any(length($$d) - 64); substr($$d, $at, 64) = "\xff" x 64; },
	'meta byte' => sub { my ($d) = @_; substr($$d, 24 + any(168), 1) = chr(any(256)); },
	'meta word' => sub {
		my ($d) = @_;
		substr($$d, 24 + 4 * any(42), 4) = pack('L', (0, 1, 0x7fffffff, 0xffffffff, any(1 << 30))[ any(5) ]);
	},
	'page header' => sub {
		my ($d) = @_;
		my $p = any(length($$d) / 8192);
		substr($$d, $p * 8192 + 10 + any(14), 2) = pack('S', any(65536));
	},
	'special space' => sub {
		my ($d) = @_;
		my $p = any(length($$d) / 8192);
		substr($$d, $p * 8192 + 8184 + 2 * any(4), 2) = pack('S', any(65536));
	},
	'record header' => sub {
		my ($d) = @_;
		my $p = 2 + any(length($$d) / 8192 - 2);
		substr($$d, $p * 8192 + 24 + any(48), 4) = pack('L', any(1 << 31) * 2 + any(2));
	},
	'zero page' => sub { my ($d) = @_; my $p = any(length($$d) / 8192); substr($$d, $p * 8192, 8192) = "\0" x 8192; },
	'zero meta' => sub { my ($d) = @_; substr($$d, 0, 8192) = "\0" x 8192; },
	'swap' => sub {
		my ($d) = @_;
		my ($p, $q) = (1 + any(length($$d) / 8192 - 1), 1 + any(length($$d) / 8192 - 1));
		my $page = substr($$d, $p * 8192, 8192);
		substr($$d, $p * 8192, 8192) = substr($$d, $q * 8192, 8192);
		substr($$d, $q * 8192, 8192) = $page;
	},
	'copy' => sub {
		my ($d) = @_;
		my ($p, $q) = map { any(length($$d) / 8192) } 1, 2;
		substr($$d, $p * 8192, 8192) = substr($$d, $q * 8192, 8192);
	},
	'truncate' => sub { my ($d) = @_; $$d = substr($$d, 0, 8192 * any(length($$d) / 8192)); },
	'empty' => sub { my ($d) = @_; $$d = ''; },
	'longer' => sub { my ($d) = @_; $$d .= "\0" x 8192 . 'x' x 8192; });
# Those that the check function must see, where they changed anything.
my %structural = map { $_ => 1 } ('zero page', 'zero meta', 'swap', 'copy', 'truncate',
	'empty', 'longer', 'run of bytes');

# A table and an index for every case; damage is done while the server is down.
my @cases;
my $sql = '';
for my $round (1 .. (long_tests() ? 30 : 2))
{
	for my $kind (sort keys %kinds)
	{
		for my $source ('a', 'b')
		{
			my $table = "t" . scalar @cases;
			push @cases, { kind => $kind, source => $source, table => $table,
				label => "case " . scalar(@cases) . ", $kind, $source" };
			$sql .= "CREATE TABLE $table AS SELECT * FROM $source; ALTER TABLE $table ALTER v TYPE vector("
			  . ($source eq 'a' ? 16 : 300) . ");\n"
			  . "CREATE INDEX ${table}_v ON $table USING omen_hnsw (v $class{$source}); DELETE FROM
				$table WHERE id % 10 = 0;\n";
		}
	}
}
$node->safe_psql('postgres', $sql);
my %path = map { split /\|/ } split /\n/,
  $node->safe_psql('postgres', "SELECT relname, pg_relation_filepath(oid) FROM pg_class WHERE relname ~ '^t\\d+_v\$'");
$node->stop;
for my $case (@cases)
{
	my $file = $node->data_dir . '/' . $path{"$case->{table}_v"};
	my $data = slurp_file($file);
	my $intact = $data;
	$kinds{ $case->{kind} }->(\$data);
	$case->{same} = $data eq $intact;
	open(my $handle, '>:raw', $file) || die $!;
	print $handle $data;
	close($handle);
}
$node->start;

my ($seen, $expected, $misordered) = (0, 0, 0);
my (@bad, @unseen);
CASE: for my $case (@cases)
{
	my ($table, $source, $label) = @$case{qw(table source label)};
	my $order = "v $op{$source} '$query{$source}'";
	my @statements = (
		[ plan => "EXPLAIN SELECT id FROM $table ORDER BY $order LIMIT 5" ],
		[ search => "SELECT id FROM $table ORDER BY $order LIMIT 5" ],
		[ search_all => "SELECT count(*) FROM (SELECT id FROM $table ORDER BY $order) s" ],
		[ count => "SELECT count(*) FROM $table" ],
		[ stats => "SELECT count(*) FROM omen_hnsw_stats('${table}_v')" ],
		[ check => "SELECT severity, invariant, block, detail FROM omen_hnsw_check('${table}_v')" ],
		# They change the index: last. Equal vectors, then new ones.
		[ join => "INSERT INTO $table SELECT 9000 + id, v FROM $source WHERE id % 9 = 0" ],
		[ insert => "INSERT INTO $table SELECT 19000 + id, v + v FROM $source WHERE id % 9 = 0" ],
		[ insert_more => "INSERT INTO $table SELECT 29000 + id, v * v FROM $source WHERE id % 9 = 0" ],
		[ vacuum => "DELETE FROM $table WHERE id % 7 = 0; VACUUM $table" ],
		[ reindex => "REINDEX INDEX ${table}_v" ],
		[ again => "SELECT severity, invariant, block, detail FROM omen_hnsw_check('${table}_v')" ]);
	# One session; what each statement says is found by the marks.
	my $script = "SET statement_timeout = '60s';\nSET enable_seqscan = off;\n\\set VERBOSITY verbose\n"
	  . join('', map { "\\echo \@\@$_->[0]\n\\warn \@\@$_->[0]\n$_->[1];\n" } @statements);
	my ($exit, $stdout, $stderr) = $node->psql('postgres', $script, on_error_stop => 0);
	my (undef, %out) = split /^@@(\w+)\n?/m, $stdout, -1;
	my (undef, %err) = split /^@@(\w+)\n?/m, $stderr, -1;
	for my $pair (@statements)
	{
		my $what = $pair->[0];
		my ($out, $err) = ($out{$what}, $err{$what});
		if (!defined $out || !defined $err || $err =~ /server closed the connection/)
		{
			push @bad, "$label, $what: the server has crashed: $stderr";
			last CASE;
		}
		my $failed = $err =~ /ERROR:/;
		# The executor's own way to say that bounds are wrong, as damaged vectors make them.
		if ($err =~ /XX000: index returned tuples in wrong order/)
		{
			$misordered++;
		}
		elsif ($failed && ($err !~ /ERROR:  XX00[12]:/ || $what =~ /^(plan|count|reindex|again)$/))
		{
			push @bad, "$label, $what: $err";
		}
		elsif ($what eq 'again' && $out =~ /\S/)
		{
			push @bad, "$label, after REINDEX: $out";
		}
		if ($what eq 'check' && $structural{ $case->{kind} } && !$case->{same})
		{
			$expected++;
			$failed || $out =~ /\S/ ? $seen++ : push @unseen, $label;
		}
	}
}
note(scalar(@cases) . " cases; the check function saw $seen of $expected; not: @unseen; $misordered in wrong order");
is(join("\n", @bad), '', 'damage gives errors or answers');
cmp_ok($seen, '>=', 0.9 * $expected, 'the check function reports damage');
cmp_ok($misordered, '<=', 0.1 * @cases, 'wrong bounds are rare');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|was terminated by signal/, 'no crash');
done_testing();

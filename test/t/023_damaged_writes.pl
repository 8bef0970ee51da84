# 023_damaged_writes.pl - rows written to and vacuumed from damaged indexes, in any
# order with searches: an error that says so (XX001, XX002) or work done; never a crash or
# a hang, and REINDEX mends it. Fields of records, of parts of TID lists and of chunks
# are hit more often than their bytes would be: 006_damage.pl hits any byte.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Omendb;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my ($cases, $pages_each) = long_tests() ? (6000, 3) : (110, 4);
my $node = new_node('damaged', initdb => [], conf => "restart_after_crash = off\n");
# Short lists; lists of 32 and TIDs in parts; values in chunks; plain values.
my %source = (
	a => { op => '<->', class => 'vector_l2_ops) WITH (m = 4', x => "vec(i % 50, 8)::vector(8)" },
	b => {
		op => '<=>',
		class => 'vector_cosine_ops',
		x => 'vec(CASE WHEN i % 2 = 0 THEN 7 ELSE i END, 40)::vector(40)'
	},
	c => { op => '<->', class => 'sparsevec_l2_ops) WITH (m = 8',
		x => "(SELECT ('{' || string_agg(k || ':' || 1 + (k * i) % 13, ',' ORDER BY k) || '}/400')::sparsevec(400)
			FROM generate_series(1, 20 + (i * 37) % 300) k)" },
	d => { op => '<~>', class => 'bit_hamming_ops', x => "('x' || md5(i::text))::bit(128)" });
my %query;
for my $name (sort keys %source)
{
	$node->safe_psql('postgres',
		"CREATE TABLE $name AS SELECT i AS id, $source{$name}{x} AS v FROM generate_series(1, 300) i");
	$query{$name} = $node->safe_psql('postgres', "SELECT v FROM $name WHERE id = 77");
}

my $seed = $ENV{OMENDB_TEST_SEED} || (long_tests() ? (time() * 1000) % 1_000_000_000 : 1);
note("OMENDB_TEST_SEED=$seed");
srand($seed);
sub any { my ($n) = @_; return int(rand($n)); }
sub word
{
	my ($blocks) = @_;
	my @words = (0, 1, 0xffffffff, any(64 * ($blocks + 1)), any($blocks) * 64 + any(8), any(1 << 31) * 2);
	return pack('L', $words[ any(6) ]);
}

# Change one page of an index: its kind is in the special space. The page itself as a string.
sub mutate
{
	my ($data, $slot_bytes) = @_;
	my $blocks = length($$data) / 8192;
	my $block = $blocks > 1 ? 1 + any($blocks - 1) : 0;
	my $page = substr($$data, $block * 8192, 8192);
	my ($kind, $slots) = unpack('SS', substr($page, 8184, 4));
	my $dice = any(100);
	if ($dice < 4) { substr($page, any(8192), 1) ^= chr(1 << any(8)); }
	elsif ($dice < 6) { $page = "\0" x 8192; }
	elsif ($dice < 9) { $page = substr($$data, any($blocks) * 8192, 8192); }
	elsif ($dice < 11) { substr($page, 8184 + 2 * any(4), 2) = pack('S', any(3) ? any(70) : any(65536)); }
	elsif ($dice < 12) { substr($page, 10 + 2 * any(7), 2) = pack('S', any(65536)); }
	elsif ($dice < 13 && $blocks > 2) { $$data = substr($$data, 0, 8192 * (1 + any($blocks - 1))); return; }
	elsif ($kind == 3 && $slots > 0)
	{
		# A part: owner, next, generation and count, a TID.
		my $field = (0, 4, 8, 8, 12 + 2 * any(57))[ any(5) ];
		substr($page, 24 + 136 * any($dice < 50 ? 12 : 60) + $field, 4) = word($blocks);
	}
	elsif ($kind == 2 && $slots > 0)
	{
		my $record = 24 + $slot_bytes * any($slots);
		my @header = (0, 1, 3, 4, 6, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44);
		if ($dice < 30) { substr($page, $record, 1) = chr(any(5)); }
		elsif ($dice < 60) { substr($page, $record + $header[ any(scalar @header) ], 4) = word($blocks); }
		elsif ($dice < 70) { substr($page, $record + 48, 8) ^= pack('LL', 1 << any(32), any(3) ? 0 : 1 << any(32)); }
		# Any word of the record: links are most of it.
		else { substr($page, $record + 48 + 4 * any(($slot_bytes - 48) / 4), 4) = word($blocks) for 1 .. 4; }
	}
	else
	{
		# Chunks, of a size not known here: a word of the page's beginning, or any.
		substr($page, 24 + 4 * any($dice < 60 ? 60 : 2000), 4) = word($blocks);
	}
	substr($$data, $block * 8192, length $page) = $page;
	return;
}

# The same for a page of values, which an index of long ones has many of: a chunk's header (owner,
# next, generation and length), bytes, the page itself, or its place taken by another.
sub mutate_values
{
	my ($data) = @_;
	my $blocks = length($$data) / 8192;
	my @pages = grep { unpack('S', substr($$data, $_ * 8192 + 8184, 2)) == 6 } 1 .. $blocks - 1;
	return if !@pages;
	my ($block, $other) = ($pages[ any(scalar @pages) ], $pages[ any(scalar @pages) ]);
	my $page = substr($$data, $block * 8192, 8192);
	my ($lower) = unpack('S', substr($page, 12, 2));
	my ($slots) = unpack('S', substr($page, 8186, 2));
	my $dice = any(100);
	$other = 1 + any($blocks - 1) if $dice < 30;
	if ($dice < 45)
	{
		substr($$data, $block * 8192, 8192) = substr($$data, $other * 8192, 8192);
		substr($$data, $other * 8192, 8192) = $page if any(2);
		return;
	}
	if ($dice < 50) { $page = "\0" x 8192; }
	elsif ($dice < 60) { substr($page, any(8192), 1) ^= chr(1 << any(8)) for 1 .. 8; }
	elsif ($dice < 65) { my $at = any(8192 - 400); substr($page, $at, 400) = join '', map { chr any(256) } 1 .. 400; }
	else
	{
		my $chunk = 24 + any($slots) * ($lower - 24) / $slots;
		substr($page, $chunk + (0, 4, 8, 10, 4)[ any(5) ], 4) = word($blocks);
	}
	substr($$data, $block * 8192, 8192) = $page;
	return;
}

my @cases;
my $sql = '';
# Behind the others: pages of values alone.
my $values = long_tests() ? 1200 : 30;
for my $number (0 .. $cases + $values - 1)
{
	my $source = $number < $cases ? ('a', 'b', 'c', 'd')[ $number % 4 ] : 'c';
	push @cases, { table => "t$number", source => $source, values => $number >= $cases };
	$sql .= "CREATE TABLE t$number AS SELECT * FROM $source; CREATE INDEX t${number}_v ON t$number USING omen_hnsw
		(v $source{$source}{class}); DELETE FROM t$number WHERE id % 3 = 0;\n";
	# Half of them have free slots and dead nodes behind them.
	$sql .= "VACUUM (INDEX_CLEANUP on) t$number; DELETE FROM t$number WHERE id % 7 = 0;\n" if any(2);
}
$node->safe_psql('postgres', $sql);
my %path = map { split /\|/ } split /\n/,
  $node->safe_psql('postgres', "SELECT relname, pg_relation_filepath(oid) FROM pg_class WHERE relname ~ '^t\\d+_v\$'");
my %slot_bytes = map {
	$_->{source} => $node->safe_psql('postgres',
		"SELECT value FROM omen_hnsw_stats('$_->{table}_v') WHERE name = 'slot_bytes'")
} @cases[ 0 .. 3 ];
cmp_ok($slot_bytes{$_}, '>', 48, "bytes of a record of $_") for sort keys %slot_bytes;
$node->stop;
for my $case (@cases)
{
	my $file = $node->data_dir . '/' . $path{"$case->{table}_v"};
	my $data = slurp_file($file);
	for (1 .. $pages_each)
	{
		$case->{values} ? mutate_values(\$data) : mutate(\$data, $slot_bytes{ $case->{source} });
	}
	open(my $handle, '>:raw', $file) || die $!;
	print $handle $data;
	close($handle);
}
$node->start;

# What is done with an index, in an order of its own; then it is mended.
sub statements
{
	my ($case) = @_;
	my ($table, $source) = @$case{qw(table source)};
	my $order = "v $source{$source}{op} '$query{$source}'";
	my @do = (
		[ plan => "EXPLAIN SELECT id FROM $table ORDER BY $order LIMIT 5" ],
		[ search => "SELECT id FROM $table ORDER BY $order LIMIT 5" ],
		[ search_all => "SELECT count(*) FROM (SELECT id FROM $table ORDER BY $order) s" ],
		[ check => "SELECT count(*) FROM omen_hnsw_check('${table}_v')" ],
		[ join => "INSERT INTO $table SELECT 1000 + id, v FROM $source WHERE id % 3 = 0 AND id < 90" ],
		[ join => "UPDATE $table SET id = id + 5000 WHERE id % 5 = 0" ],
		[ insert => "INSERT INTO $table SELECT 2000 + i, $source{$source}{x} FROM generate_series(301, 340) i" ],
		[ vacuum => "DELETE FROM $table WHERE id % 2 = 0; VACUUM (INDEX_CLEANUP on) $table" ],
		[ vacuum => "VACUUM (INDEX_CLEANUP on) $table" ]);
	for my $i (reverse 1 .. $#do) { my $j = any($i + 1); @do[ $i, $j ] = @do[ $j, $i ]; }
	return (@do, [ vacuum => "VACUUM (INDEX_CLEANUP on) $table" ],
		[ reindex => "REINDEX INDEX ${table}_v" ], [ again => "SELECT * FROM omen_hnsw_check('${table}_v')" ]);
}

my (@bad, %errors);
my $misordered = 0;
while (@cases && @bad < 5)
{
	my @batch = splice(@cases, 0, 20);
	my $script = "SET statement_timeout = '60s';\nSET enable_seqscan = off;\n\\set VERBOSITY verbose\n";
	my @marks;
	for my $case (@batch)
	{
		for my $pair (statements($case))
		{
			push @marks, [ "$case->{table} ($case->{source})", @$pair ];
			$script .= "\\echo \@\@$#marks\n\\warn \@\@$#marks\n$pair->[1];\n";
		}
	}
	my $hangs = 0;
	my ($stdout, $stderr) = ('', '');
	$node->psql('postgres', $script, on_error_stop => 0, stdout => \$stdout, stderr => \$stderr,
		timeout => 300, timed_out => \$hangs);
	my (undef, %out) = split /^@@(\d+)\n?/m, $stdout, -1;
	my (undef, %err) = split /^@@(\d+)\n?/m, $stderr, -1;
	for my $number (0 .. $#marks)
	{
		my ($label, $what, $text) = @{ $marks[$number] };
		my $err = $err{$number};
		if (!defined $err || $err =~ /server closed the connection|connection to server was lost/)
		{
			push @bad, "$label, $what: " . ($hangs ? 'hangs' : "the server has crashed: $err") . "\n$text";
			last;
		}
		if ($err =~ /XX000: index returned tuples in wrong order/) { $misordered++ }
		elsif ($err =~ /ERROR:  (\w+):/)
		{
			$errors{"$what $1"}++;
			push @bad, "$label: $text: $err" if $1 !~ /^XX00[12]$/ || $what =~ /^(plan|reindex|again)$/;
		}
		push @bad, "$label, after REINDEX: $out{$number}" if $what eq 'again' && $out{$number} =~ /\S/;
	}
}
note(join(', ', map { "$_: $errors{$_}" } sort keys %errors) . "; $misordered in wrong order");
is(join("\n", @bad), '', 'writes to damaged indexes give errors or work');
cmp_ok($misordered, '<=', 0.2 * $cases, 'wrong bounds are rare');
cmp_ok(scalar(grep { /^insert|^join/ } keys %errors), '>', 0, 'insertions have met damage');
cmp_ok(scalar(grep { /^vacuum/ } keys %errors), '>', 0, 'VACUUM has met damage');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|was terminated by signal/, 'no crash');
done_testing();

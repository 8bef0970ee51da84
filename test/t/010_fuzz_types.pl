# 010_fuzz_types.pl - input functions, receive functions and casts under inputs
# that are almost right. Whatever they are given they refuse with an error that
# says the data is wrong, or accept: then text and binary form of the result
# read back as the same value, byte for byte.
#
# OMENDB_FUZZ_SEED repeats a run that failed.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Omendb;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wire;

my $seed = $ENV{OMENDB_FUZZ_SEED} // 1;
my $factor = long_tests() ? 20 : 1;
my $batch = 200;

# data_exception and its class, program_limit_exceeded, what the protocol says of
# messages that end too early, and array_recv of an array of another type.
my $allowed = qr/^(22000|22003|22004|22021|22023|2202E|22P02|22P03|54000|08P01|42804)$/;

my $node = new_node('main', conf => "log_min_messages = log\n");
my $wire = Wire->new($node, 'postgres');
srand($seed);
note("seed $seed");

sub pick { return $_[ rand @_ ] }

sub oid { return $node->safe_psql('postgres', "SELECT '$_[0]'::regtype::oid") }

# ---- values ----

my @numbers = qw(0 -0 1 -1 2 3.5 -2.25 0.1 1e1 1e-1 1.5e+3 .5 5. 00.5 1e38 -1e38 3.4028235e38 3.4028236e38 4e38
  -4e38 1e39 1e400 1e-37 1.1754944e-38 1e-45 -1e-45 7.1e-46 7e-46 1e-46 1e-400 65504 65519 65519.996 65520 -65520
  6e-8 5.96e-8 2.98e-8 2.97e-8 16777217 123456789 1234567890123456789012345 0.000000000000000000000000000012345
  9007199254740993 16777216.99999999999999 2147483647 2147483648 NaN nan Infinity -Infinity inf 0x10 0x1p-3 1e 1e+);
my @integers = qw(0 -0 1 2 3 5 7 00012 +4 -1 15999 16000 16001 32767 32768 65535 65536 999999999 1000000000 1000000001
  2147483646 2147483647 2147483648 -2147483648 -2147483649 4294967297 9223372036854775807 18446744073709551617);
my @tokens = (@numbers, @integers, ' ', "\t", "\n", "\x0b", "\f", "\r", qw([ ] { } [ ] : / \ - + . e E ; " ' x NULL),
	',', ',,', '::', '//', '[]', '{}', "\xc3\xa9", "\xff", "\0", '1,', ',1', '1:1', ',3:1', '/3');
my @words = (0, 1, 2, 3, 7, 15999, 16000, 16001, 65535, 65536, 999999999, 1000000000, 1000000001,
	0x3f800000, 0xbf800000, 0x7f7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0xff800001, 0x80000000, 0x80000001,
	0x7fffffff, 0xffffffff, 0x00800000, 0x3c007c00, 0xfc007e00, 0x7bff7c01, 0x00018000);

sub number
{
	return pick(@numbers) if rand() < 0.2;
	return sprintf('%.*g', 1 + rand 9, (rand() - 0.5) * 10**(rand(12) - 6));
}
sub blank { return rand() < 0.1 ? pick(' ', "\t", '  ', "\n") : '' }

# How many elements: few, seldom many.
my $small = 0;
sub size { return $small ? int rand 3 : rand() < 0.0005 ? 15990 + int rand 20 : int(rand() < 0.1 ? rand 200 : rand 8) }

sub indices
{
	my ($dim, $count) = @_;
	my %seen = map { (1 + int rand($dim), 1) } 1 .. $count;
	return sort { $a <=> $b } keys %seen;
}

sub shuffled { return map { $_->[1] } sort { $a->[0] <=> $b->[0] } map { [ rand, $_ ] } @_ }

my %text = (
	vector => sub { return '[' . join(',', map { blank() . number() . blank() } 0 .. size()) . ']' },
	sparsevec => sub {
		my $dim = 1 + int rand($small ? 4 : pick(10, 1000, 30000, 1000000000));
		$dim = pick(@integers) if rand() < 0.1;
		my @indices = indices($dim =~ /^[1-9]/ ? $dim : 5, size());
		@indices = shuffled(@indices) if rand() < 0.3;
		return '{' . join(',', map { blank() . $_ . blank() . ':' . blank() . number() } @indices) . '}' . blank()
		  . "/$dim" . blank();
	});
$text{halfvec} = $text{vector};

sub word { return rand() < 0.1 ? pick(@words) : unpack('N', pack('f>', rand() * 200 - 100)) }

my %binary = (
	vector => sub { my $n = 1 + size(); return pack('nn', $n, 0) . pack('N*', map { word() } 1 .. $n) },
	halfvec => sub { my $n = 1 + size(); return pack('nn', $n, 0) . pack('n*', map { word() >> 16 } 1 .. $n) },
	sparsevec => sub {
		my $dim = 1 + int rand pick(10, 1000, 30000, 1000000000);
		my @indices = indices($dim, size());
		return pack('N*', $dim, scalar @indices, 0, (map { $_ - 1 } @indices), map { word() } @indices);
	});

# ---- mutations ----

sub mutate_text
{
	my ($s) = @_;
	for (1 .. pick(0, 0, 0, 1, 1, 1, 2, 3))
	{
		my $at = int rand(1 + length $s);
		my $n = int rand pick(2, 5, 20);
		my $how = int rand 5;
		if ($how == 0) { substr($s, $at, $n) = '' }
		elsif ($how == 1) { substr($s, $at, 0) = pick(@tokens) }
		elsif ($how == 2) { substr($s, $at, $n) = pick(@tokens) }
		elsif ($how == 3) { substr($s, $at, 0) = substr($s, int rand(1 + length $s), $n) }
		else { substr($s, $at) = '' if rand() < 0.3 }
	}
	return $s;
}

# Where one of its words of four bytes starts, or the end.
sub word_of { return 4 * int rand(1 + int(length($_[0]) / 4)) }

sub mutate_binary
{
	my ($s) = @_;
	for (1 .. pick(0, 0, 0, 1, 1, 1, 2, 3))
	{
		my $at = word_of($s);
		my $how = int rand 7;
		if ($how == 0 && length $s) { vec($s, int rand(8 * length $s), 1) ^= 1 }
		elsif ($how == 1) { substr($s, $at, 4) = pack('N', pick(@words)) }
		elsif ($how == 2) { substr($s, $at, 4) = substr($s, word_of($s), 4) }
		elsif ($how == 3) { substr($s, $at, 0) = pack('N', pick(@words)) }
		elsif ($how == 4) { substr($s, int rand(1 + length $s)) = '' if rand() < 0.3 }
		elsif ($how == 5) { $s .= chr(rand 256) x (1 + rand 5) if rand() < 0.3 }
		elsif (length $s) { substr($s, int rand length $s, 1) = chr rand 256 }
	}
	return $s;
}

# An array's binary form: one dimension of any bounds without nulls, mostly.
sub array
{
	my ($type, $element) = @_;
	my $n = 1 + size();
	my $ndim = rand() < 0.05 ? int rand 4 : 1;
	my $nulls = rand() < 0.1;
	my $array = pack('NNN', $ndim, $nulls, $type);
	for (1 .. $ndim)
	{
		my $length = $_ == 1 ? $n : pick(0, 1, 2, 0x7fffffff);
		$array .= pack('NN', $length, pick(1, 1, 1, 0, 0xfffffffb, 0x7ffffff0));
	}
	for (1 .. $n)
	{
		my $value = $element->();
		$array .= $nulls && rand() < 0.3 ? pack('N', 0xffffffff) : pack('N', length $value) . $value;
	}
	return rand() < 0.2 ? mutate_binary($array) : $array;
}

my %element = (
	'integer' => sub { return pack('N', rand() < 0.5 ? pick(@words) : 0) },
	'real' => sub { return pack('N', rand() < 0.3 ? 0 : word()) },
	'double precision' => sub {
		my @doubles = (0, -0.0, 1, 0.1, rand, 1e38, 3.4028235e38, 1e-45, 1e-300, 65519);
		push @doubles, 3.5e38, -1e300, 65520, 7e4, 'NaN', 'Inf', '-Inf' if rand() < 0.1;
		return pack('d>', pick(@doubles));
	});

# ---- what must hold ----

# Whether a binary form is that of a value as the types promise them to be:
# finite, not 0 in a sparsevec, whose indices ascend below the dimensions.
my %valid = (
	vector => sub {
		my ($dim, $unused, @bits) = unpack('nnN*', $_[0]);
		return $dim == @bits && $dim >= 1 && $dim <= 16000 && $unused == 0
		  && !grep { ($_ & 0x7f800000) == 0x7f800000 } @bits;
	},
	halfvec => sub {
		my ($dim, $unused, @bits) = unpack('nnn*', $_[0]);
		return $dim == @bits && $dim >= 1 && $dim <= 16000 && $unused == 0
		  && !grep { ($_ & 0x7c00) == 0x7c00 } @bits;
	},
	sparsevec => sub {
		my ($dim, $nnz, $unused, @words) = unpack('N*', $_[0]);
		return 0 if @words != 2 * $nnz || $nnz > 16000 || $dim < 1 || $dim > 1000000000 || $unused != 0;
		my @indices = (-1, splice(@words, 0, $nnz), $dim);
		return 0 if grep { $indices[$_] <= $indices[ $_ - 1 ] } 1 .. $#indices;
		return !grep { ($_ & 0x7f800000) == 0x7f800000 || ($_ & 0x7fffffff) == 0 } @words;
	});

my (%outcome, @wrong);

sub wrong
{
	my ($what, $input, $result) = @_;
	return if @wrong >= 5;
	my @shown = map { ($_->[0] ? 'binary ' : 'text ') . substr(unpack('H*', $_->[1]), 0, 400) } @$input;
	push @wrong, "$what: " . ($result->{state} // 'accepted') . ' ' . ($result->{message} // '') . " (@shown)";
	return;
}

# Runs inputs through a statement that returns a value of a type twice. Counts
# outcomes; what was accepted has to read back, in both forms, as it was.
sub attack
{
	my ($type, $statement, $types, $count, $make) = @_;
	my %seen = (accepted => 0, refused => 0);
	for (my $done = 0; $done < $count; $done += $batch)
	{
		my @inputs = map { $make->() } 1 .. $batch;
		my (@forms, @expected);
		$wire->prepare($statement, @$types);
		my @results = $wire->run(@inputs);
		for my $i (0 .. $#results)
		{
			my $result = $results[$i];
			if ($result->{row})
			{
				$seen{accepted}++;
				my ($text, $binary) = @{ $result->{row} };
				push @forms, [ [ 0, $text ] ], [ [ 1, $binary ] ];
				push @expected, $result->{row}, $result->{row};
				wrong("$statement made no $type", $inputs[$i], $result) if !$valid{$type}->($binary);
				# Nothing is dropped from a binary form, nor changed.
				wrong("$statement changed it", $inputs[$i], $result)
				  if $statement eq 'SELECT $1, $1' && $inputs[$i][0][0] && $binary ne $inputs[$i][0][1];
			}
			else
			{
				$seen{refused}++;
				$seen{ $result->{state} }++;
				wrong($statement, $inputs[$i], $result) if $result->{state} !~ $allowed;
			}
		}
		$wire->prepare('SELECT $1, $1', oid_of($type));
		my @again = $wire->run(@forms);
		for my $i (0 .. $#again)
		{
			wrong("$statement: its result does not read back", $forms[$i], $again[$i])
			  if !$again[$i]{row} || "@{ $again[$i]{row} }" ne "@{ $expected[$i] }";
		}
	}
	return \%seen;
}

my %oids;
sub oid_of { return $oids{ $_[0] } //= oid($_[0]) }

# attack() as a test: no wrong outcome, and inputs on both sides of the line.
sub attack_ok
{
	my ($label, @attack) = @_;
	@wrong = ();
	my $seen = attack(@attack);
	note("$label: " . join(', ', map { "$_ $seen->{$_}" } sort keys %$seen));
	is(join("\n", @wrong), '', "$label: refused with the right class of error, or read back");
	my $share = $seen->{accepted} / ($seen->{accepted} + $seen->{refused});
	ok($share > 0.05 && $share < 0.95, "$label: some are accepted, some are not");
	return;
}

my @extreme = (-2147483648, -2147483647, -1, 0, 3, 16000, 2147483646, 2147483647);

for my $type (qw(vector halfvec sparsevec))
{
	attack_ok("$type, text", $type, 'SELECT $1, $1', [ oid_of($type) ],
		24000 * $factor, sub { return [ [ 0, mutate_text($text{$type}->()) ] ] });
	attack_ok("$type, binary", $type, 'SELECT $1, $1', [ oid_of($type) ],
		18000 * $factor, sub { return [ [ 1, mutate_binary($binary{$type}->()) ] ] });
	for my $from (sort keys %element)
	{
		my $cast = "array_to_$type(\$1, \$2, true)";
		attack_ok("$type, $from\[]", $type, "SELECT a, a FROM (SELECT $cast AS a OFFSET 0) s",
			[ oid_of("$from\[]"), oid_of('integer') ], 2000 * $factor, sub {
				my $array = array(oid_of($from), $element{$from});
				return [ [ 1, $array ], [ 0, rand() < 0.9 ? -1 : pick(@extreme) ] ];
			});
	}
	attack_ok("$type, numeric[]", $type, "SELECT a, a FROM (SELECT \$1::$type AS a OFFSET 0) s",
		[ oid_of('numeric[]') ], 2000 * $factor,
		sub { return [ [ 0, mutate_text('{' . join(',', map { number() } 0 .. size()) . '}') ] ] });
}

# Functions that return such a value, of two of them and two integers.
my %functions = (
	vector => [ 'subvector($1, $3, $4)', '$1 + $2', '$1 - $2', '$1 * $2', '$1 || $2', 'l2_normalize($1)',
		'vector($1, $3, true)', '$1::real[]::vector', '$1::sparsevec::vector',
		q{vector_avg(vector_accum(vector_accum('{0}', $1), $2))} ],
	halfvec => [ 'subvector($1, $3, $4)', '$1 + $2', '$1 - $2', '$1 * $2', '$1 || $2', 'l2_normalize($1)',
		'halfvec($1, $3, true)', '$1::vector::halfvec', '$1::sparsevec::halfvec',
		q{halfvec_avg(halfvec_accum(halfvec_accum('{0}', $1), $2))} ],
	sparsevec => [ 'l2_normalize($1)', 'sparsevec($1, $3, true)', 'sparsevec_to_vector($1, $3, true)::sparsevec',
		'sparsevec_to_halfvec($1, $3, true)::sparsevec' ]);
$small = 1;
for my $type (sort keys %functions)
{
	for my $function (@{ $functions{$type} })
	{
		attack_ok("$type, $function", $type, "SELECT r, r FROM (SELECT $function AS r OFFSET 0) s",
			[ oid_of($type), oid_of($type), oid_of('integer'), oid_of('integer') ], 600 * $factor, sub {
				my @values = map { [ 0, $text{$type}->() ] } 1, 2;
				return [ @values, map { [ 0, rand() < 0.6 ? int rand 5 : pick(@extreme) ] } 1, 2 ];
			});
	}
}

is($node->safe_psql('postgres', 'SELECT 1'), '1', 'the server is alive');
server_is_quiet($node, 'at the end');

done_testing();

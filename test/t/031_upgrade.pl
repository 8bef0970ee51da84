# 031_upgrade.pl - updating the extension gives what installing it gives: from every
# version that sql/ has to the one of omendb.control, and by every single step there;
# in a private tree with scripts of our own, the comparison is seen to notice.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use File::Basename;
use File::Copy;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Project;
use Test::More;

my ($current) = slurp_file(project_file('omendb.control')) =~ /^default_version = '(.*)'$/m;
my $sql = project_file('sql');
my %script = map { basename($_) => slurp_file($_) } glob("$sql/omendb--*.sql");
my @versions = map { /^omendb--([\d.]+)\.sql$/ ? $1 : () } sort keys %script;
my @steps = map { /^omendb--([\d.]+)--([\d.]+)\.sql$/ ? [ $1, $2 ] : () } sort keys %script;
my ($newest) = map { $_->[0] } sort { $b->[1] cmp $a->[1] }
  map { [ $_, join('', map { sprintf '%05d', $_ } split /\./) ] } @versions;
is($current, $newest, "the control file's version is the newest of sql/");
my %known = map { $_ => 1 } @versions;
for my $step (@steps)
{
	ok($known{ $step->[0] } && $known{ $step->[1] }, "both ends of @$step can be installed");
}

# ---- a server that can be given scripts of its own ----

my $top = PostgreSQL::Test::Utils::tempdir();
my $path = private_tree($top, 'pg_config');
chomp(my $library = `pg_config --pkglibdir`);
symlink("$library/omendb.so", "$path->{pkglibdir}/omendb.so") || die "omendb.so: $!";
copy(project_file('omendb.control'), "$path->{sharedir}/extension/") || die "omendb.control: $!";

sub give_script
{
	my ($name, $text) = @_;
	open(my $file, '>', "$path->{sharedir}/extension/$name") || die "$name: $!";
	print $file $text;
	close($file) || die "$name: $!";
	return;
}
give_script($_, $script{$_}) for keys %script;

my $node = PostgreSQL::Test::Cluster->new('upgrade', install_path => dirname($path->{bindir}));
$node->init;
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;

my $databases = 0;

# The objects after CREATE EXTENSION in the first version and ALTER EXTENSION to the others.
sub objects_of
{
	my ($first, @others) = @_;
	my $database = 'd' . $databases++;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, "CREATE EXTENSION omendb VERSION '$first'");
	$node->safe_psql($database, "ALTER EXTENSION omendb UPDATE TO '$_'") for @others;
	return extension_objects($node, $database);
}

# ---- what there is ----

my %fresh = map { $_ => objects_of($_) } @versions;
my $count = scalar keys %{ $fresh{$current} };
my $members = $node->safe_psql('d0', <<'SQL');
SELECT count(*) FROM pg_depend WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass
SQL
cmp_ok($count, '>=', $members, "the dump shows all $members objects of the extension, and more");
for my $step (@steps)
{
	my ($from, $to) = @$step;
	is(join("\n", differences(objects_of($from, $to), $fresh{$to})), '', "$from to $to: as $to installed");
}
for my $version (grep { $_ ne $current } @versions)
{
	is(join("\n", differences(objects_of($version, $current), $fresh{$current})),
		'', "$version to $current: as $current installed");
}

# ---- the comparison notices ----

# A version after the current one: a function more, with a comment and without PUBLIC.
my $addition = <<'SQL';
CREATE FUNCTION omendb_next(vector) RETURNS integer
	AS 'MODULE_PATHNAME', 'omendb_vector_dims' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION omendb_next(vector) IS 'the next version has it';
REVOKE ALL ON FUNCTION omendb_next(vector) FROM PUBLIC;
CREATE OPERATOR <<->> (LEFTARG = vector, RIGHTARG = vector, FUNCTION = l2_distance, COMMUTATOR = '<<->>');
SQL
my $next = "$current.next";
give_script("omendb--$next.sql", $script{"omendb--$current.sql"} . $addition);
my $wanted = objects_of($next);

my @stages = (
	[ 'the same', $addition, qr/^$/ ],
	[ 'nothing', "SELECT 1;\n", qr/^only the second has FUNCTION omendb_next.*^only the second has OPERATOR <<->>/ms ],
	[ 'no comment', $addition =~ s/^COMMENT.*\n//mr, qr/^only the second has COMMENT FUNCTION omendb_next[^\n]*$/ ],
	[ 'for everybody', $addition =~ s/^REVOKE.*\n//mr, qr/^only the second has ACL FUNCTION omendb_next[^\n]*$/ ],
	[ 'STABLE', $addition =~ s/IMMUTABLE/STABLE/r, qr/^FUNCTION omendb_next[^\n]* STABLE [^\n]* IMMUTABLE [^\n]*$/ ],
	[ 'another symbol', $addition =~ s/_vector_dims/_vector_norm/r, qr/^FUNCTION omendb_next[^\n]*$/ ],
	[ 'no commutator', $addition =~ s/, COMMUTATOR = '<<->>'//r, qr/^OPERATOR <<->>[^\n]*$/ ],
	[ 'no operator', $addition =~ s/^CREATE OPERATOR.*\n//mr, qr/^only the second has OPERATOR <<->>[^\n]*$/ ],
	[ 'a storage', "${addition}ALTER TYPE vector SET (STORAGE = extended);", qr/^TYPE vector: [^\n]*$/ ],
	[ 'a member less', "${addition}ALTER EXTENSION omendb DROP FUNCTION l2_norm(halfvec);", qr/FUNCTION l2_norm/ ],
);
for my $stage (@stages)
{
	my ($label, $script, $expected) = @$stage;
	give_script("omendb--$current--$next.sql", $script);
	my $found = join("\n", differences(objects_of($current, $next), $wanted));
	like($found, $expected, "an update with $label") || diag($found);
}

$node->stop;
done_testing();

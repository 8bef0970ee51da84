# 032_package.pl - the Debian package: built from debian/, its contents, installed by
# dpkg into a root of its own and used by a server in that tree; removed again.
# It compiles everything once more. Skipped where Debian's tools are not installed.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use File::Basename;
use File::Find;
use File::Path qw(make_path);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Project;
use Test::More;

my @missing = grep { system("command -v $_ >/dev/null") } qw(dpkg-buildpackage dh pg_buildext);
plan skip_all => "not installed: @missing" if @missing;

my ($version) = slurp_file(project_file('omendb.control')) =~ /^default_version = '(.*)'$/m;
my @majors = grep { /^\d+$/ } split /\n/, slurp_file(project_file('debian/pgversions'));
chomp(my $architecture = `dpkg --print-architecture`);

# ---- built, from a copy of what is the project's ----

my $top = PostgreSQL::Test::Utils::tempdir();
my $source = "$top/omendb";
make_path($source);
for my $name (qw(Makefile omendb.control README.md CHANGELOG.md LICENSE META.json sql src debian))
{
	system_or_bail('cp', '-R', project_file($name), $source);
}
find(sub { unlink if /\.(o|d|so)$/ }, $source);
chomp(my $jobs = `nproc`);
my $log = "$PostgreSQL::Test::Utils::log_path/package.log";
{
	# Not the environment of a test: what a user's dpkg-buildpackage sees.
	local %ENV = %ENV;
	delete @ENV{qw(PG_CONFIG MAKEFLAGS MAKELEVEL MFLAGS CPPFLAGS WERROR)};
	$ENV{DEB_BUILD_OPTIONS} = 'noautodbgsym';
	is(system("cd '$source' && exec dpkg-buildpackage -us -uc -b -j$jobs >'$log' 2>&1"), 0, 'dpkg-buildpackage')
	  || diag(join("\n", (split /\n/, slurp_file($log))[ -40 .. -1 ]));
}
my @packages = map { "$top/postgresql-$_-omendb_$version-1_$architecture.deb" } @majors;
is(join(' ', sort glob("$top/*.deb")), join(' ', sort @packages), 'a package for each PostgreSQL of debian/pgversions');
BAIL_OUT('no package') unless -e $packages[0];

# ---- what is in it ----

for my $i (0 .. $#majors)
{
	my ($major, $package) = ($majors[$i], $packages[$i]);
	my $name = basename($package) =~ s/_.*//r;
	my @files = sort map { m{ \./(.*[^/])$} ? $1 : () } split /\n/, `dpkg-deb --contents '$package'`;
	my $extension = "usr/share/postgresql/$major/extension";
	my @expected = (
		"usr/lib/postgresql/$major/lib/omendb.so",
		"$extension/omendb.control",
		(map { "$extension/" . basename($_) } glob(project_file('sql') . '/omendb--*.sql')),
		map { "usr/share/doc/$name/$_" } qw(README.md.gz changelog.Debian.gz changelog.gz copyright));
	is(join("\n", @files), join("\n", sort @expected), "$name: its files, and no others");
	my %field = `dpkg-deb --field '$package'` =~ /^([\w-]+): (.*)$/mg;
	my @depends = sort map { s/ .*//r } split /, /, $field{Depends};
	is("@depends", "libc6 postgresql-$major", "$name: depends on the server and libc alone");
	is($field{Version}, "$version-1", "$name: its version");
}

# ---- installed, used, removed ----

my ($major, $package) = ($majors[0], $packages[0]);
my $config = "/usr/lib/postgresql/$major/bin/pg_config";
my $root = "$top/root";
my $path = private_tree($root, $config);
make_path("$root/var/lib/dpkg/$_") for qw(info updates triggers);
append_to_file("$root/var/lib/dpkg/status", '');
# The server is in that root, though its dpkg does not know of it.
my @dpkg = ('dpkg', "--root=$root", '--force-not-root,depends,bad-path', '--log=/dev/null');

# dpkg looks for ldconfig and others where only root has them in PATH.
local $ENV{PATH} = "$ENV{PATH}:/usr/sbin:/sbin";
command_ok([ @dpkg, '--install', $package ], 'dpkg installs it');
my $name = basename($package) =~ s/_.*//r;
like(`@dpkg --status $name`, qr/^Status: install ok installed$/m, 'and knows it as installed');

my $node = PostgreSQL::Test::Cluster->new('package', install_path => dirname($path->{bindir}));
$node->init;
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;
is($node->safe_psql('postgres', "SELECT setting FROM pg_config WHERE name = 'PKGLIBDIR'"),
	$path->{pkglibdir}, 'a server that takes its libraries from there');
is($node->safe_psql('postgres', <<'SQL'), "$version\n7", 'the extension works');
CREATE EXTENSION omendb;
SELECT omendb_version();
CREATE TABLE items AS SELECT i AS id, ARRAY[i, i * i % 17, i % 5]::real[]::vector(3) AS v
FROM generate_series(1, 3000) i;
CREATE INDEX items_v ON items USING omen_hnsw (v vector_l2_ops);
SET enable_seqscan = off;
SELECT id FROM items ORDER BY v <-> (SELECT v FROM items WHERE id = 7) LIMIT 1;
SELECT * FROM omen_hnsw_check('items_v');
SQL
ok($node->safe_psql('postgres', "SELECT omendb_isa()") ne '', 'with kernels for this processor');
$node->stop;

command_ok([ @dpkg, '--remove', $name ], 'dpkg removes it');
is(join(' ', glob("$path->{pkglibdir}/omendb* $path->{sharedir}/extension/omendb*")), '', 'and nothing stays');

done_testing();

# Project.pm - what the tests of documents and packaging share: the project's
# files, trees of a server of their own, the objects of an extension.
package Project;

use strict;
use warnings;

use Exporter 'import';
use File::Basename;
use File::Path qw(make_path);
use FindBin;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(project_file blocks table_rows private_tree extension_objects differences);

# A path of the project: check.sh copies what these tests need beside t/,
# `make installcheck` runs them where they are.
sub project_file
{
	my ($name) = @_;
	for my $top ("$FindBin::RealBin/..", "$FindBin::RealBin/../..")
	{
		return "$top/$name" if -e "$top/$name";
	}
	die "$name is neither beside t/ nor at the top of the project";
}

# The fenced blocks of a Markdown text: { language, code, line, mark }, mark what the
# HTML comment on the line before says ('' without one).
sub blocks
{
	my ($text) = @_;
	my @blocks;
	while ($text =~ /^(?:<!-- (.*?) -->\n)?```(\w*)\n(.*?)^```\n/msg)
	{
		my ($mark, $language, $code, $start) = ($1 // '', $2, $3, $-[0]);
		my $line = 1 + (substr($text, 0, $start) =~ tr/\n//);
		push @blocks, { mark => $mark, language => $language, code => $code, line => $line };
	}
	return @blocks;
}

# The rows of the first table after a line, as arrays of cells, without its head.
sub table_rows
{
	my ($text, $line) = @_;
	$text =~ /^\Q$line\E.*?^\|[-| ]+\|\n(.*?)(?=^[^|]|\z|^\n)/ms || die "no table after '$line'";
	my @rows;
	for my $row (split /\n/, $1)
	{
		$row =~ s/^\|\s*|\s*\|$//g;
		push @rows, [ map { s/\\\|/|/gr } split /\s*(?<!\\)\|\s*/, $row, -1 ];
	}
	return @rows;
}

# A copy of a server below $top, of links but for the programs, which find everything
# else by where they lie; without the extension's files. $config: its pg_config.
# Returns the tree's bindir, pkglibdir and sharedir.
sub private_tree
{
	my ($top, $config) = @_;
	my %path;
	for my $what (qw(bindir pkglibdir sharedir))
	{
		chomp($path{$what} = `$config --$what`);
		make_path("$top$path{$what}");
		my $how = $what eq 'bindir' ? '-RL' : '-Rs';
		system_or_bail('cp', $how, "$path{$what}/.", "$top$path{$what}");
		$path{$what} = "$top$path{$what}";
	}
	unlink glob("$path{pkglibdir}/omendb*"), glob("$path{sharedir}/extension/omendb*");
	return \%path;
}

# The objects of an extension, name => definition, as pg_dump writes them for
# pg_upgrade: with everything they consist of, comments and privileges included.
sub extension_objects
{
	my ($node, $database) = @_;
	my ($out, $err) = run_command(
		[
			$node->installed_command('pg_dump'), '--schema-only', '--binary-upgrade', '-d', $node->connstr($database)
		]);
	die "pg_dump: $err" if $err ne '';
	$out =~ s/^--\n-- PostgreSQL database dump complete.*//ms || die "pg_dump: no end: $out";
	my %objects;
	# "-- Name: l2_distance(public.vector, public.vector); Type: FUNCTION; Schema: public; Owner: x"
	while ($out =~ /^-- Name: (.*?); Type: (.*?);.*?\n(.*?)(?=^-- Name: |\z)/msg)
	{
		my ($name, $definition) = ("$2 $1", $3);
		# OIDs differ from one database to the next.
		$definition =~ s/^-- For binary upgrade.*\n//mg;
		$definition =~ s/^SELECT pg_catalog\.binary_upgrade_set_next.*\n//mg;
		# So does the version, when two of them are compared.
		next if $name =~ /^EXTENSION omendb$/ || $name =~ /^(DATABASE|SCHEMA) /;
		$definition =~ s/^--$//mg;
		$definition =~ s/\s+/ /g;
		# A type comes twice: as a shell first.
		$objects{$name} .= $definition;
	}
	return \%objects;
}

# What differs between two such sets, a line each.
sub differences
{
	my ($one, $other) = @_;
	my @lines;
	for my $name (sort keys %{ { %$one, %$other } })
	{
		my ($a, $b) = ($one->{$name}, $other->{$name});
		push @lines,
		    !defined $b ? "only the first has $name"
		  : !defined $a ? "only the second has $name"
		  : $a ne $b    ? "$name: $a / $b"
		  :               ();
	}
	return @lines;
}

1;

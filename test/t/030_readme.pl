# 030_readme.pl - README.md tells the truth: its SQL runs, in order, in one database;
# its tables of settings, options, types, operators, functions, casts, operator classes
# and statistics are what the server has, no more and no less.
#
# A comment on the line before a block says what is special about it:
#   <!-- parameters: A, B -->   statements with $1, $2 are prepared and get these
#   <!-- run: pgvector -->      033_from_pgvector.pl runs it
#   <!-- not run: REASON -->    nobody does
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Omendb;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Project;
use Test::More;

my $readme = slurp_file(project_file('README.md'));
my $node = PostgreSQL::Test::Cluster->new('readme');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nclient_min_messages = warning");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE readme');

# ---- every block of SQL runs ----

# The statements of a block, comments dropped. (No statement there holds a semicolon.)
sub statements
{
	my ($code) = @_;
	$code =~ s/--.*$//mg;
	return grep { /\S/ } map { s/^\s+|\s+$//gr } split /;/, $code;
}

sub with_parameters
{
	my ($block) = @_;
	return $block->{code} unless $block->{mark} =~ /^parameters: (.*)$/;
	my $values = $1;
	return join('', map { "PREPARE readme AS $_;\nEXECUTE readme($values);\nDEALLOCATE readme;\n" }
		  statements($block->{code}));
}

my $distances = qr/<->|<=>|<#>|<\+>|<~>|<%>/;

# What the page says to be served by an index, an index can serve.
sub uses_index
{
	my ($statement, $where) = @_;
	my ($status, $out, $err) = $node->psql('readme',
		"SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; EXPLAIN $statement");
	like($out, qr/Order By: .*$distances/, "$where: an index serves it: $statement") || diag($err);
	return;
}

my @sql = grep { $_->{language} eq 'sql' } blocks($readme);
my %skipped = (pgvector => 0, marked => 0);
my $run = 0;
for my $block (@sql)
{
	my $where = "README.md:$block->{line}";
	if ($block->{mark} =~ /^run: pgvector$/) { $skipped{pgvector}++; next }
	if ($block->{mark} =~ /^not run: \S/) { $skipped{marked}++; next }
	like($block->{mark}, qr/^$|^parameters: /, "$where: the comment before it is known");
	my ($status, $out, $err) = $node->psql('readme', with_parameters($block));
	is("$status $err", '0 ', "$where runs") || diag($block->{code});
	$run++;
	for my $statement (statements($block->{code}))
	{
		uses_index($statement, $where) if $statement =~ /^SELECT\b.*ORDER BY/s && $statement =~ $distances;
	}
}
cmp_ok($run, '>=', 12, 'blocks of SQL were run');
is($skipped{marked}, 0, 'no block is marked as not to be run');
is($skipped{pgvector}, 1, 'one block is for databases with pgvector');
is(scalar(() = $readme =~ /^```sql$/mg), scalar(@sql), 'every block was seen');

# Indexes of the page are sound.
my $indexes = $node->safe_psql('readme', <<'SQL');
SELECT indexrelid::regclass FROM pg_index JOIN pg_class c ON c.oid = indexrelid
WHERE relam = (SELECT oid FROM pg_am WHERE amname = 'omen_hnsw') AND relkind = 'i'
SQL
for my $index (split /\n/, $indexes)
{
	is($node->safe_psql('readme', "SELECT * FROM omen_hnsw_check('$index')"), '', "$index is sound");
}

# ---- settings ----

my %said = map { $_->[0] =~ s/`//gr => $_ } table_rows($readme, '## Options and settings');
my $settings = $node->safe_psql('readme', <<'SQL');
SELECT omendb_isa() IS NULL;
SELECT name, boot_val, CASE vartype WHEN 'bool' THEN 'on, off' WHEN 'enum' THEN array_to_string(enumvals, ', ')
	ELSE min_val || ' to ' || max_val END
FROM pg_settings WHERE name LIKE 'omen\_hnsw.%';
SQL
my %has = map { /^(.*)\|(.*)\|(.*)$/ ? ($1 => [ $2, $3 ]) : () } split /\n/, $settings;
cmp_ok(scalar keys %has, '>=', 5, 'the server has settings of ours');
is(join(' ', sort keys %said), join(' ', sort keys %has), 'the settings of README are those of the server');
for my $name (sort keys %has)
{
	my $row = $said{$name} // next;
	is($row->[1] =~ s/`//gr, $has{$name}[0], "$name: default");
	is($row->[2] =~ s/`//gr, $has{$name}[1], "$name: range");
}
my %anywhere = map { $_ => 1 } $readme =~ /\b(omen_hnsw\.\w+)/g;
is(join(' ', grep { !$has{$_} } sort keys %anywhere), '', 'and README speaks of no other');

# ---- options of an index ----
# (That no option is left out, test/lint/check_documents.py sees: no view lists them.)

my $default = $node->safe_psql('readme', <<'SQL');
CREATE TABLE options (v vector(3));
CREATE INDEX options_default ON options USING omen_hnsw (v);
SELECT name, value FROM omen_hnsw_stats('options_default');
SQL
my %stats = map { split /\|/, $_, 2 } split /\n/, $default;
my @options = table_rows($readme, '| index option | default');
cmp_ok(scalar @options, '>=', 3, 'README has index options');
for my $row (@options)
{
	my ($name, $value, $range) = map { s/`//gr } @$row;
	if ($range =~ /^(\d+) to (\d+)$/)
	{
		my ($low, $high) = ($1, $2);
		is($value, $stats{$name}, "$name: default");
		for my $beyond ($low - 1, $high + 1)
		{
			my ($status, $out, $err) =
			  $node->psql('readme', "CREATE INDEX ON options USING omen_hnsw (v) WITH ($name = $beyond)");
			like($err, qr/Valid values are between "$low" and "$high"/, "$name: $beyond is beyond the range");
		}
		next;
	}
	for my $one (split /, /, $range)
	{
		my ($status, $out, $err) =
		  $node->psql('readme', "CREATE INDEX ON options USING omen_hnsw (v) WITH ($name = $one)");
		is("$status $err", '0 ', "$name = $one is accepted");
	}
	my ($status, $out, $err) =
	  $node->psql('readme', "CREATE INDEX ON options USING omen_hnsw (v) WITH ($name = nothing_of_these)");
	is(join(', ', $err =~ /"(\w+)"(?=,|\.| and)/g), $range, "$name: its values");
}

# ---- statistics ----

my %named = map { $_ => 1 } map { $_->[0] =~ /`(\w+)`/g } table_rows($readme, '| statistic |');
my $levels = $node->safe_psql('readme', <<'SQL');
INSERT INTO options SELECT ARRAY[i, i % 7, i % 11]::real[]::vector FROM generate_series(1, 500) i;
REINDEX INDEX options_default;
SELECT name FROM omen_hnsw_stats('options_default');
SQL
my %shown = map { s/^(nodes_level)_([2-9])$/nodes_level_1/r => 1 } split /\n/, $levels;
is(join(' ', sort keys %named), join(' ', sort keys %shown), 'the statistics of README are those there are');

# ---- types, operators, functions, casts ----

my %letter = (v => 'vector', h => 'halfvec', s => 'sparsevec', b => 'bit');

# A SELECT's lines against a list of README.
sub same_list
{
	my ($sql, $label, @readme) = @_;
	my @server = split /\n/, $node->safe_psql('readme', $sql);
	cmp_ok(scalar @server, '>', 0, "$label: the extension has some");
	my (%server, %readme);
	@server{@server} = ();
	@readme{@readme} = ();
	is(join("\n", grep { !exists $readme{$_} } sort keys %server), '', "$label: README names all");
	is(join("\n", grep { !exists $server{$_} } sort keys %readme), '', "$label: README names no others");
	return;
}

my $member = q(EXISTS (SELECT FROM pg_depend d
	JOIN pg_extension e ON d.refobjid = e.oid AND d.refclassid = 'pg_extension'::regclass
	WHERE d.deptype = 'e' AND e.extname = 'omendb' AND d.objid = o.oid AND d.classid = o.tableoid));

same_list("SELECT typname FROM pg_type o WHERE $member AND typelem = 0",
	'types', grep { $_ ne 'bit' } map { $_->[0] =~ /`(\w+)\(n\)`/ } table_rows($readme, '### Types'));

my @operators;
for my $row (table_rows($readme, '### Operators'))
{
	for my $type (map { $letter{$_} } split / /, $row->[1])
	{
		push @operators, map { "$_ $type" } $row->[0] =~ /`([^`]+)`/g;
	}
}
same_list("SELECT oprname || ' ' || oprleft::regtype FROM pg_operator o WHERE $member", 'operators', @operators);

my @functions;
for my $row (table_rows($readme, '### Functions'))
{
	for my $signature ($row->[0] =~ /`([^`]+)`/g)
	{
		push @functions, $signature =~ /\bT\b/
		  ? map { my $type = $letter{$_}; $signature =~ s/\bT\b/$type/gr } split / /, $row->[1]
		  : $signature;
	}
}
# Not for users: what reads, writes, casts, compares, aggregates or supports.
same_list(<<"SQL", 'functions', @functions);
SELECT replace(oid::regprocedure::text, ',', ', ') FROM pg_proc o WHERE $member
AND proname !~ '^(vector|halfvec|sparsevec)_(in|out|recv|send|typmod_in|lt|le|eq|ne|ge|gt|cmp)\$'
AND proname !~ '^(vector|halfvec|sparsevec)_(add|sub|mul|concat|accum|avg|combine|negative_inner_product)\$'
AND NOT EXISTS (SELECT FROM pg_cast WHERE castfunc = o.oid)
AND NOT EXISTS (SELECT FROM pg_amproc WHERE amproc = o.oid AND proname ~ '^omen_hnsw_.*_support\$')
AND NOT EXISTS (SELECT FROM pg_am WHERE amhandler = o.oid)
SQL

my @casts;
for my $row (table_rows($readme, '### Casts'))
{
	my ($from, $to) = map { [ map { s/`//gr } map { $letter{$_} // $_ } /`[^`]+`|\b[vhs]\b/g ] } @$row[ 0, 1 ];
	for my $source (@$from)
	{
		push @casts, map { "$source $_ $row->[2]" } @$to;
	}
}
same_list(<<"SQL", 'casts', @casts);
SELECT castsource::regtype || ' ' || casttarget::regtype || ' '
	|| CASE castcontext WHEN 'i' THEN 'implicit' WHEN 'a' THEN 'on assignment' ELSE 'explicit' END
FROM pg_cast o WHERE $member AND castsource <> casttarget
SQL

my @classes;
for my $row (table_rows($readme, '| distance | operator |'))
{
	my ($operator) = $row->[1] =~ /`(.*)`/;
	push @classes, map { "$operator $_" } "$row->[2] $row->[3]" =~ /`(\w+)`/g;
}
same_list(<<"SQL", 'operator classes', @classes);
SELECT p.oprname || ' ' || o.opcname FROM pg_opclass o JOIN pg_amop a ON amopfamily = opcfamily
JOIN pg_operator p ON p.oid = amopopr WHERE $member AND opcmethod = (SELECT oid FROM pg_am WHERE amname = 'omen_hnsw')
SQL
my %standard = map { $_ => 1 } $readme =~ /`(\w+_ops)` \(default\)/g;
is(join(' ', sort keys %standard), $node->safe_psql('readme', <<"SQL"), 'the default operator classes');
SELECT string_agg(opcname, ' ' ORDER BY opcname COLLATE "C") FROM pg_opclass o
WHERE $member AND opcdefault AND opcmethod = (SELECT oid FROM pg_am WHERE amname = 'omen_hnsw')
SQL

$node->stop;
done_testing();

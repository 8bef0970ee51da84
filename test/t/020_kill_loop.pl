# 020_kill_loop.pl - writers, VACUUM and searches at work, the server killed at a
# random moment, again and again over the same small table, so that slots are
# used many times: every row that was reported committed is in the table and
# in its indexes, nothing else is, and the check finds nothing wrong.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Omendb;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $rounds = long_tests() ? 300 : 20;
my ($writers, $dim, $owned) = (4, 16, 220);
my $node = new_node('kill_loop', conf => <<'CONF');
cluster_name = 'kill_loop'
restart_after_crash = on
checkpoint_timeout = 30s
CONF
# Short lists in a second index; in a third, values in several pieces; fillfactor 70,
# so that some updates are HOT.
$node->safe_psql('postgres', <<"SQL");
CREATE FUNCTION sparse(v vector, n int) RETURNS sparsevec LANGUAGE sql IMMUTABLE AS \$\$
	SELECT ('{' || string_agg(i * 16 + k || ':' || x * (i + 1), ',' ORDER BY i * 16 + k) || '}/200')::sparsevec
	FROM unnest(v::real[]) WITH ORDINALITY u (x, k), generate_series(0, n % 9) i WHERE x <> 0 \$\$;
CREATE TABLE t (id int, version int, note int, v vector($dim)) WITH (fillfactor = 70);
CREATE INDEX t_v ON t USING omen_hnsw (v);
CREATE INDEX t_s ON t USING omen_hnsw ((sparse(v, id)::sparsevec(200)) sparsevec_l2_ops) WHERE id % 3 = 0;
CREATE INDEX t_c ON t USING omen_hnsw (v vector_cosine_ops) WITH (m = 8, ef_construction = 32);
SQL

my $seed = $ENV{OMENDB_TEST_SEED} || (long_tests() ? (time() * 1000) % 1_000_000_000 : 1);
note("OMENDB_TEST_SEED=$seed");
srand($seed);
sub any { my ($n) = @_; return int(rand($n)); }

# The vector of a row's version; one in six is one of three that many rows have.
sub vector_of
{
	my ($id, $version) = @_;
	my $x = ($id * 2654435761 + $version * 40503 + 12345) % 4294967296;
	$x = 1 + $x % 3 if $x % 6 == 0;
	my @numbers = map { $x = ($x * 1103515245 + 12345) % 2147483648; $x / 2147483648 - 0.5 } 1 .. $dim;
	return '[' . join(',', map { sprintf('%.4f', $_) } @numbers) . ']';
}

# What a writer will do to its own rows, from the state %$rows (id => [version, note]) on.
# An operation is its SQL, the id, and the row it leaves (undef: none).
my $last_id = 0;
sub plan_operations
{
	my ($writer, $rows, $count) = @_;
	my %now = %$rows;
	my @ids = sort { $a <=> $b } keys %now;
	my @operations;
	for (1 .. $count)
	{
		my $at = any(scalar @ids);
		# Around $owned rows; deletions of many at once every now and then are what VACUUM finds.
		my $dice = any(100);
		if (!@ids || $dice < (@ids < $owned ? 55 : 15))
		{
			my $id = ++$last_id * 10 + $writer;
			my $vector = vector_of($id, 0);
			$now{$id} = [ 0, 0 ];
			push @ids, $id;
			push @operations, [ "INSERT INTO t VALUES ($id, 0, 0, '$vector')", $id, $now{$id} ];
			next;
		}
		my $id = $ids[$at];
		my ($version, $note) = @{ $now{$id} };
		if ($dice < 75)
		{
			$ids[$at] = $ids[-1];
			pop @ids;
			delete $now{$id};
			push @operations, [ "DELETE FROM t WHERE id = $id", $id, undef ];
		}
		elsif ($dice < 88)
		{
			my $vector = vector_of($id, $version + 1);
			$now{$id} = [ $version + 1, $note ];
			push @operations, [ "UPDATE t SET v = '$vector', version = version + 1 WHERE id = $id", $id, $now{$id} ];
		}
		else
		{
			$now{$id} = [ $version, $note + 1 ];
			push @operations, [ "UPDATE t SET note = note + 1 WHERE id = $id", $id, $now{$id} ];
		}
	}
	return \@operations;
}

# A client that runs a script until it ends or the server does.
sub start_client
{
	my ($name, $script) = @_;
	my $file = $PostgreSQL::Test::Utils::tmp_check . "/$name.sql";
	open(my $handle, '>', $file) || die "$file: $!";
	print $handle $script;
	close($handle);
	my %client = (name => $name, out => '', err => '');
	$client{h} = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', $file ],
		'>', \$client{out}, '2>', \$client{err}, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return \%client;
}

# Its end: everything it was told, and whatever it complains of but the loss of the server.
sub finish_client
{
	my ($client) = @_;
	$client->{h}->finish;
	my $expected = qr/terminating connection|connection to server|the database system is|postmaster exited/;
	return grep { /ERROR|FATAL|PANIC/ && !/$expected/ }
	  split /\n/, $client->{err};
}

# Rows of the answer come with distances that do not decrease, and once each.
sub wrong_answers
{
	my ($client) = @_;
	my @wrong;
	my (%seen, $last);
	for my $line (split /\n/, $client->{out})
	{
		if ($line eq 'search') { %seen = (); $last = -1; next; }
		my ($id, $distance) = $line =~ /^(\d+)\|([-+.e0-9]+)$/ or next;
		push @wrong, "$id twice" if $seen{$id}++;
		push @wrong, "$distance after $last" if $distance < $last;
		$last = $distance;
	}
	return @wrong;
}

# The rows as they are: id => "version|note".
sub table_state
{
	my $out = $node->safe_psql('postgres', 'SET enable_indexscan = off; SELECT id, version, note FROM t');
	my %state = map { /^(\d+)\|(.*)$/ ? ($1 => $2) : () } split /\n/, $out;
	return \%state;
}

# What the check finds in the indexes, of what is asked for.
sub findings
{
	my ($which) = @_;
	return $node->safe_psql('postgres', "SELECT c, f.* FROM (VALUES ('t_v'), ('t_c'), ('t_s')) i (c),
		omen_hnsw_check(c, true) f WHERE $which");
}

# All rows through both indexes: ids, versions and distances to them.
sub index_differs
{
	my $query = vector_of(3, 3);
	my $sql = join ';', (map {
		"SELECT id, version, v $_ '$query' FROM t ORDER BY v $_ '$query'"
	} ('<->', '<=>')), "SELECT id, sparse(v, id) FROM t WHERE id % 3 = 0
		ORDER BY sparse(v, id)::sparsevec(200) <-> sparse('$query', 5)::sparsevec(200)";
	my $settings = 'SET omen_hnsw.ef_search = 1000; SET omen_hnsw.max_scan_tuples = 1000000; SET enable_seqscan = off;';
	my $plan = $node->safe_psql('postgres', $settings . join ';', map { "EXPLAIN $_" } split /;/, $sql);
	my $scans = () = $plan =~ /Index Scan using t_[vcs]/g;
	return "plan: $plan" if $scans != 3;
	my %table = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', "SET enable_indexscan = off; $sql");
	my @index = split /\n/, $node->safe_psql('postgres', "$settings $sql");
	my %index = map { $_ => 1 } @index;
	my @differ = ((map { "missing $_" } grep { !$index{$_} } sort keys %table),
		(map { "extra $_" } grep { !$table{$_} } sort keys %index));
	push @differ, scalar(@index) . ' rows of ' . scalar(keys %table) if @index != keys %table;
	return join("\n", @differ[ 0 .. ($#differ > 9 ? 9 : $#differ) ]);
}

my @state = map { {} } 1 .. $writers;    # of each writer: id => [version, note]
my ($acknowledged, $killed_at_work, $answers) = (0, 0, 0);
for my $round (1 .. $rounds)
{
	my $way = ('postmaster', 'postmaster', 'backend', 'vacuum', 'immediate')[ any(5) ];
	my $after = 0.2 + rand(1.3);
	my $label = sprintf('round %d, %s after %.2f s', $round, $way, $after);
	$node->safe_psql('postgres', "ALTER SYSTEM SET full_page_writes = " . ($round % 4 ? 'on' : 'off')
		  . ";\nSELECT pg_reload_conf()");

	my @plans = map { plan_operations($_, $state[$_], 2500) } 0 .. $writers - 1;
	my @clients = map {
		start_client("writer_$_", join('', map { "$_->[0];\n\\echo done\n" } @{ $plans[$_] }))
	} 0 .. $writers - 1;
	my $vacuum = start_client('vacuum',
		join('', map { "VACUUM (INDEX_CLEANUP on) t;\n" . ($_ % 7 == $round % 7 ? "CHECKPOINT;\n" : '') } 1 .. 2000));
	my $search = start_client('search', "SET enable_seqscan = off;\n" . join '',
		map {
			my $query = vector_of(any($last_id) * 10, 0);
			my $op = $_ % 2 ? '<->' : '<=>';
			"\\echo search\nSELECT id, v $op '$query' FROM t ORDER BY v $op '$query' LIMIT "
			  . ($_ % 9 ? 10 : 200) . ";\n"
		} 1 .. 1500);
	usleep(1e6 * $after);
	if ($way eq 'postmaster')
	{
		kill_server($node);
	}
	elsif ($way eq 'immediate')
	{
		$node->stop('immediate');
	}
	else
	{
		my $pid = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity
			WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND query "
			  . ($way eq 'vacuum' ? 'LIKE' : 'NOT LIKE') . " 'VACUUM%' ORDER BY random() LIMIT 1");
		kill_backend($node, $pid);
	}
	my @complaints;
	for my $client (@clients, $vacuum, $search)
	{
		push @complaints, map { "$client->{name}: $_" } finish_client($client);
	}
	push @complaints, wrong_answers($search);
	$answers += () = $search->{out} =~ /^search$/mg;
	$node->start if $way eq 'postmaster' || $way eq 'immediate';
	$node->poll_query_until('postgres', 'SELECT 1', '1') or BAIL_OUT("$label: no restart");
	is(join("\n", @complaints), '', "$label: nobody complains");

	# A writer's rows are those after what it was told, or after one operation more.
	my $there = table_state();
	my @lost;
	for my $writer (0 .. $writers - 1)
	{
		my $done = () = $clients[$writer]{out} =~ /^done$/mg;
		my %rows = %{ $state[$writer] };
		my $plan = $plans[$writer];
		$acknowledged += $done;
		$killed_at_work++ if $done < @$plan;
		for my $i (0 .. $done)
		{
			last if $i > $#$plan;
			my (undef, $id, $row) = @{ $plan->[$i] };
			if ($i == $done)
			{
				my $wanted = defined $row ? join('|', @$row) : '';
				last if $wanted ne ($there->{$id} // '');
			}
			if (defined $row) { $rows{$id} = $row }
			else { delete $rows{$id} }
		}
		for my $id (keys %rows)
		{
			my ($wanted, $got) = (join('|', @{ $rows{$id} }), delete $there->{$id} // 'nothing');
			push @lost, "writer $writer, $done done: row $id is $got, not $wanted" if $got ne $wanted;
		}
		$state[$writer] = \%rows;
	}
	push @lost, map { "row $_ should not be" } sort keys %$there;
	is(join("\n", @lost), '', "$label: rows are as reported");
	is(index_differs(), '', "$label: the indexes have them all, and no others");
	is(findings("severity = 'ERROR' OR detail !~ 'stale links|above the entry point|chunks are part of no value'"),
		'', "$label: the indexes pass omen_hnsw_check");
	# What was left must not be in the way of the next VACUUM.
	next if $round % 5 && $round < $rounds;
	$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) t');
	is(findings("detail !~ 'above the entry point|chunks are part of no value'"),
		'', "$label, vacuumed: the indexes pass omen_hnsw_check");
	is(index_differs(), '', "$label, vacuumed: the indexes have them all");
}
note("$acknowledged operations reported, $answers searches answered");
cmp_ok($killed_at_work, '>', $rounds * $writers / 2, 'writers were at work when the server died');
cmp_ok($answers, '>', 10 * $rounds, 'searches were answered');
$node->stop;
# But for the processes that were killed here.
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|signal (?!9\b)\d+|XX00|could not read block/, 'no alarm in the log');
command_ok([ 'pg_checksums', '--check', '-D', $node->data_dir ], 'checksums are right');
done_testing();

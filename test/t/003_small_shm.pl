# 003_small_shm.pl - /dev/shm too small for a parallel build: the rest goes to
# temporary files. The server runs in a mount namespace of its own, where /dev/shm
# is a small tmpfs.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Omendb;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# A user namespace lets an unprivileged user mount; a second one within makes
# that user unprivileged again, which the server insists on.
my $uid = $>;
my ($gid) = split ' ', $);

sub inside
{
	my ($megabytes, $command) = @_;
	return [
		'unshare', '-U', '-r', '-m', 'sh', '-c',
		"mount -t tmpfs -o size=${megabytes}m tmpfs /dev/shm && "
		  . "exec unshare -U --map-user=$uid --map-group=$gid sh -c '$command'" ];
}

my ($out, $err);
plan skip_all => 'needs user namespaces and util-linux'
  if $uid == 0 || !IPC::Run::run(inside(1, 'test -w /dev/shm'), '>', \$out, '2>', \$err);

my $node = new_node('small_shm', conf => "dynamic_shared_memory_type = posix\nmaintenance_work_mem = 256MB\n");
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE t (id int, v vector(384));
INSERT INTO t SELECT i, spread(i, 384) FROM generate_series(1, 900) i;
CREATE TABLE large (id int, v vector(384));
INSERT INTO large SELECT i * 1000 + id, v * array_fill(1 + i * 0.01, ARRAY[384])::vector FROM
	t, generate_series(1, 12) i;
ALTER TABLE t SET (parallel_workers = 2);
ALTER TABLE large SET (parallel_workers = 2);
-- Statistics that promise little: the segments grow.
UPDATE pg_class SET reltuples = 100 WHERE relname = 'large';
SQL
$node->stop;

my $data = $node->data_dir;
my $log = $node->logfile;
# With less than 3 MB the server itself does not start.
for my $megabytes (3, 16, 64)
{
	my $label = "$megabytes MB of /dev/shm";
	my $left = "$data/../shm_left";
	unlink $left;
	# The namespace lives as long as the shell in it; what is left there is listed at the end.
	my $shell = "pg_ctl -D \"$data\" -l \"$log\" -w start >/dev/null && touch \"$left.up\" && "
	  . "while test -e \"$left.up\"; do sleep 0.1; done; "
	  . "pg_ctl -D \"$data\" -w -m fast stop >/dev/null; ls /dev/shm > \"$left\"";
	my $run = IPC::Run::start(inside($megabytes, $shell), '>', \$out, '2>', \$err);
	my $up = 0;
	for (1 .. 300)
	{
		last if $up = -e "$left.up";
		select(undef, undef, undef, 0.1);
	}
	ok($up, "$label: the server is up") || diag($err);
	for my $table ('t', 'large')
	{
		my ($status, $stdout, $stderr) = $node->psql('postgres',
			"SET client_min_messages = debug1; CREATE INDEX ${table}_v ON $table USING omen_hnsw (v)");
		is($status, 0, "$label: $table is indexed") || diag($stderr);
		note("$label, $table: " . join '; ', $stderr =~ /((?:using|omen_hnsw build)[^\n]*)/g);
		check_index($node, "${table}_v", $label) if $status == 0;
		same_answers($node, 't', 'vec(3, 384)', $label) if $status == 0 && $table eq 't';
		$node->psql('postgres', "DROP INDEX ${table}_v");
	}
	unlink "$left.up";
	$run->finish;
	is(slurp_file($left), '', "$label: nothing left there");
}
server_is_quiet($node, 'all');
done_testing();

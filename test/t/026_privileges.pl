# 026_privileges.pl - who may look into an index, what the functions refuse and with which
# SQLSTATE, on a standby as well; as whom an index's expressions run; and a schema of
# look-alikes first in the search path, before CREATE EXTENSION and after: none of its
# functions is ever called on the extension's behalf.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Omendb;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('privileges', init => { allows_streaming => 1 }, conf => "max_prepared_transactions = 2\n");

sub sql { return $node->safe_psql('postgres', join ";\n", @_) }

# Statements, each with the SQLSTATE it is to end with; judge() runs them in one session.
my @cases;
sub ends { my ($state, $label, $statements) = @_; push @cases, [ $state, $label, $statements ]; return; }

sub judge
{
	my ($server) = @_;
	my $script = join '', map { "RESET ROLE;\n$_->[2];\n\\echo state :SQLSTATE\n" } @cases;
	my (undef, $out, undef) = $server->psql('postgres', $script, on_error_stop => 0);
	my @states = $out =~ /^state (\w+)$/mg;
	is(shift @states // 'nothing', $_->[0], $_->[1]) for splice(@cases);
	return;
}

# ---- the functions that read an index ----

sql(<<'SQL');
CREATE ROLE owner;
CREATE ROLE stranger;
CREATE ROLE member IN ROLE owner;
CREATE ROLE auditor IN ROLE pg_read_all_data;
CREATE ROLE writer IN ROLE pg_write_all_data;
GRANT CREATE, USAGE ON SCHEMA public TO owner;
SET ROLE owner;
CREATE TABLE t (id int PRIMARY KEY, v vector(8));
INSERT INTO t SELECT i, vec(i, 8) FROM generate_series(1, 300) i;
CREATE INDEX t_v ON t USING omen_hnsw (v);
CREATE UNLOGGED TABLE u AS SELECT * FROM t;
CREATE INDEX u_v ON u USING omen_hnsw ((v::vector(8)));
CREATE TABLE parts (id int, v vector(8)) PARTITION BY HASH (id);
CREATE TABLE part PARTITION OF parts FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE INDEX parts_v ON parts USING omen_hnsw (v);
CREATE VIEW a_view AS SELECT * FROM t;
CREATE MATERIALIZED VIEW stored AS SELECT * FROM t;
CREATE INDEX stored_v ON stored USING omen_hnsw (v);
CREATE SEQUENCE a_sequence;
CREATE TABLE wrong (id int, v vector);
INSERT INTO wrong VALUES (1, '[1,2,3]'), (2, '[1,2]');
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES ON t TO stranger;
SQL
ends('22000', 'rows of different dimensions',
	'CREATE INDEX CONCURRENTLY invalid_v ON wrong USING omen_hnsw ((v::vector(3)))');
judge($node);
is(sql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'invalid_v'::regclass"), 'f', 'an invalid index is left');

my @functions = split /\n/, sql("SELECT p.oid::regprocedure FROM pg_depend d JOIN pg_proc p ON p.oid = objid
	WHERE refclassid = 'pg_extension'::regclass AND classid = 'pg_proc'::regclass AND deptype = 'e'
	AND 'regclass'::regtype = ANY(proargtypes) ORDER BY 1");
is("@functions", 'omen_hnsw_check(regclass,boolean,integer) omen_hnsw_stats(regclass)',
	'functions that take a relation');
is(sql("SELECT has_function_privilege('stranger', 'omen_hnsw_check(regclass, bool, int)', 'EXECUTE'),
	has_function_privilege('stranger', 'omen_hnsw_stats(regclass)', 'EXECUTE')"), 'f|t', 'what PUBLIC may call');
ends('42501', "check by its index's owner, before a GRANT", "SET ROLE owner; SELECT * FROM omen_hnsw_check('t_v')");
judge($node);
sql("GRANT EXECUTE ON FUNCTION omen_hnsw_check(regclass, bool, int) TO owner, stranger, auditor, writer");
for my $call ('omen_hnsw_check(%s)', 'omen_hnsw_check(%s, false)', 'omen_hnsw_stats(%s)')
{
	my $on = sub { return 'SELECT * FROM ' . sprintf($call, $_[0]) };
	my $name = sprintf($call, '...');
	# For the table's owner and who may read all data; not for who may read this table.
	ends('00000', "$name: $_", "SET ROLE $_; " . $on->("'t_v'")) for ('postgres', 'owner', 'member', 'auditor');
	ends('42501', "$name: $_", "SET ROLE $_; " . $on->("'t_v'")) for ('stranger', 'writer');
	ends('00000', "$name: a materialised view's", $on->("'stored_v'"));
	ends('00000', "$name: a partition's", $on->("'part_v_idx'"));
	ends('42809', "$name: $_->[0]", $on->("'$_->[1]'"))
	  for ([ 'a table', 't' ], [ 'another index', 't_pkey' ], [ 'a view', 'a_view' ],
		[ 'a materialised view', 'stored' ], [ 'a sequence', 'a_sequence' ], [ 'a partitioned table', 'parts' ],
		[ 'a partitioned index', 'parts_v' ], [ 'a catalog', 'pg_class' ],
		[ 'the index of a catalog', 'pg_class_oid_index' ]);
	# What it is comes before whose it is: neither tells a stranger more.
	ends('42809', "$name: a stranger's table", "SET ROLE stranger; " . $on->("'t'"));
	ends('55000', "$name: an invalid index", $on->("'invalid_v'"));
	ends('42704', "$name: OID $_", $on->("$_\::oid::regclass")) for (0, 4_000_000_000);
	ends('42P01', "$name: an unknown name", $on->("'nothing'"));
	is(sql("SELECT count(*) FROM " . sprintf($call, 'NULL')), 0, "$name: NULL");
}
ends('22023', "max_errors $_", "SELECT * FROM omen_hnsw_check('t_v', max_errors => $_)") for (0, -1);
# What the rights of the table have nothing to do with.
ends('42501', $_, "SET ROLE stranger; $_") for ('REINDEX INDEX t_v', 'DROP INDEX t_v', 'ALTER INDEX t_v SET (m = 8)',
	'CREATE INDEX ON t USING omen_hnsw (v)', 'CREATE FUNCTION f(internal) RETURNS internal LANGUAGE c AS \'omendb\'',
	'DROP EXTENSION omendb', 'ALTER EXTENSION omendb UPDATE',
	'CREATE ACCESS METHOD other TYPE INDEX HANDLER omen_hnsw_handler');
judge($node);

# A temporary index of a session that waits.
my $other = start_psql($node, 'CREATE TEMP TABLE tt AS SELECT * FROM t',
	'CREATE INDEX tt_v ON tt USING omen_hnsw ((v::vector(8)))',
	'SELECT pg_advisory_lock(1)', "SELECT pg_sleep(600) WHERE 'tt' = 'tt'");
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory'")
  or die('no temporary index');
my $temporary = sql("SELECT oid FROM pg_class WHERE relname = 'tt_v'");
ends('0A000', "another session's temporary index: $_", "SELECT * FROM $_($temporary)")
  for ('omen_hnsw_check', 'omen_hnsw_stats');
judge($node);
sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'");
eval { finish_psql($other) };

# Rows that one may not see: an index finds them for nobody.
ends('42501', 'ordering by a table without SELECT',
	"SET ROLE writer; SELECT 1 FROM t ORDER BY v <-> '[1,1,1,1,1,1,1,1]' LIMIT 1");
sql('ALTER TABLE t ENABLE ROW LEVEL SECURITY', 'CREATE POLICY tenth ON t TO stranger USING (id % 10 = 0)');
is(sql("SET ROLE stranger; SET enable_seqscan = off; SELECT count(*), bool_and(id % 10 = 0)
	FROM (SELECT id FROM t ORDER BY v <-> '[1,1,1,1,1,1,1,1]' LIMIT 20) s"), '20|t',
	'a policy filters, rows are as many as asked for');
ends('00000', 'the check is no reader of rows', "SET ROLE owner; SELECT * FROM omen_hnsw_check('t_v')");
judge($node);
sql('ALTER TABLE t DISABLE ROW LEVEL SECURITY');

# ---- as whom expressions run ----

sql(<<'SQL');
SET ROLE owner;
CREATE FUNCTION spy(v vector) RETURNS vector(8) LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF current_user <> 'owner' THEN RAISE EXCEPTION 'run as %', current_user; END IF;
	BEGIN
		PERFORM set_config('role', 'postgres', true);
		RAISE EXCEPTION 'has become %', current_user;
	EXCEPTION WHEN insufficient_privilege THEN NULL;
	END;
	RETURN v;
END $$;
CREATE FUNCTION spy_some(id int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF current_user <> 'owner' THEN RAISE EXCEPTION 'run as %', current_user; END IF;
	RETURN id % 3 = 0;
END $$;
CREATE TABLE trap AS SELECT * FROM t;
CREATE INDEX trap_v ON trap USING omen_hnsw ((spy(v)::vector(8))) WHERE spy_some(id);
SQL
ends('00000', "$_ by a superuser", $_)
  for ("SELECT * FROM omen_hnsw_check('trap_v', true)", "SELECT * FROM omen_hnsw_stats('trap_v')",
	'REINDEX INDEX trap_v', 'REINDEX INDEX CONCURRENTLY trap_v', 'VACUUM FULL trap', 'DELETE FROM trap WHERE false',
	'VACUUM (INDEX_CLEANUP on) trap', 'ANALYZE trap');
# The superuser's own INSERT runs them as himself, as any index's.
ends('P0001', 'spies are awake', "INSERT INTO trap SELECT 3000, v FROM t WHERE id = 1");
judge($node);
is(sql("SELECT string_agg(f::text, ',') FROM omen_hnsw_check('trap_v', true) f"), '', 'the trap passes the check');

# ---- a standby ----

$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('privileges_standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
for my $call ('omen_hnsw_check', 'omen_hnsw_stats')
{
	ends('00000', "standby: $call", "SELECT * FROM $call('t_v')");
	ends('55000', "standby: $call of an unlogged index", "SELECT * FROM $call('u_v')");
	ends('42501', "standby: $call by a stranger", "SET ROLE stranger; SELECT * FROM $call('t_v')");
	ends('42809', "standby: $call of a table", "SELECT * FROM $call('t')");
}
ends('00000', 'standby: check with expressions', "SELECT * FROM omen_hnsw_check('trap_v', true)");
ends('25006', "standby: $_", $_) for ('REINDEX INDEX t_v', 'VACUUM t', 'INSERT INTO t SELECT 1000, v FROM t LIMIT 1');
judge($standby);
$standby->stop;

# ---- the script ----

# What it is made of leaves nobody's names to be found: functions are the library's, bodies but
# one there are none, and in that every name and operator is qualified.
chomp(my $share = `pg_config --sharedir`);
my @scripts = glob("$share/extension/omendb--*.sql");
cmp_ok(scalar @scripts, '>', 0, 'there are scripts');
for my $file (@scripts)
{
	my $script = slurp_file($file);
	my ($name) = $file =~ m{([^/]+)$};
	my @bodies;
	$script =~ s/--[^\n]*//g;
	$script =~ s/(\$\w*\$)(.*?)\1/push @bodies, $2; "''"/ges;
	$script =~ s/'(?:[^']|'')*'/''/g;
	my @statements = map { s/\s+/ /gr =~ s/^ | $//gr } split /;/, $script;
	is(join("\n", grep { /\b(OR REPLACE|IF NOT EXISTS|IF EXISTS|search_path|SECURITY DEFINER)\b/i } @statements), '',
		"$name: nothing that takes what is there");
	is(join("\n", grep { /^CREATE FUNCTION/i && !/LANGUAGE C\b/ } @statements), '', "$name: functions are in C");
	my $kind = qr/FUNCTION|TYPE|OPERATOR|OPERATOR CLASS|CAST|AGGREGATE|ACCESS METHOD/;
	is(join("\n", grep { !/^(\\echo.*)?(CREATE ($kind)|COMMENT ON|DO|REVOKE)\b|^$/i } @statements), '',
		"$name: definitions only");
	for my $body (@bodies)
	{
		my $code = $body =~ s/'(?:[^']|'')*'/''/gr;
		is(join(' ', grep { !/^(pg_catalog\.|$)/ } $code =~ /\b(?:FROM|JOIN)\s+([\w.]+)/gi), '',
			"$name: relations are qualified");
		unlike($code =~ s/OPERATOR\(pg_catalog\.[^)]+\)//gr =~ s/USING ERRCODE = |DETAIL = |HINT = //gr,
			qr/[<>=~!@#%^&|`?*\/+]/, "$name: operators are qualified");
		is(join(' ', grep { !/^(?:EXISTS|OPERATOR)$/i } $code =~ /(\w[\w.]*)\s*\(/g), '',
			"$name: functions are qualified");
	}
}

# ---- look-alikes ----

# Every function of the extension over built-in types, every operator over the types that the
# server and the script compare, types and casts of its names: by a role that may make schemas.
$node->safe_psql('postgres', "CREATE DATABASE victim; CREATE ROLE mallory LOGIN;
	GRANT CREATE ON DATABASE victim TO mallory");
my @look_alikes = split /\n/, sql(<<'SQL');
SELECT DISTINCT format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql IMMUTABLE AS %L', proname,
	pg_get_function_identity_arguments(p.oid), prorettype::regtype, 'BEGIN RAISE EXCEPTION ''trap''; END')
FROM pg_depend d JOIN pg_proc p ON p.oid = objid JOIN pg_extension e ON e.oid = refobjid
WHERE extname = 'omendb' AND classid = 'pg_proc'::regclass AND deptype = 'e' AND prokind = 'f' AND NOT proretset
	AND NOT EXISTS (SELECT FROM unnest(proargtypes || prorettype) a WHERE a >= 16384
		OR a IN ('internal'::regtype, 'cstring'::regtype, 'cstring[]'::regtype, 'index_am_handler'::regtype))
UNION ALL
SELECT format('CREATE FUNCTION evil.%s(%s) RETURNS %s LANGUAGE plpgsql IMMUTABLE AS %L', f, a, r,
	'BEGIN RAISE EXCEPTION ''trap''; END')
FROM unnest(ARRAY['format_type', 'to_regclass', 'current_setting', 'float8', 'l2_distance', 'lower', 'text',
	'quote_ident', 'vector', 'halfvec', 'sparsevec', 'vector_dims', 'l2_norm', 'array_to_vector', 'count', 'abs']) f,
	(VALUES ('text', 'text'), ('float8, float8', 'float8'), ('anyelement', 'text'), ('name', 'text')) v (a, r)
UNION ALL
SELECT format('CREATE FUNCTION evil.compare(%s, %1$s) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS %L; '
	|| 'CREATE OPERATOR evil.= (LEFTARG = %1$s, RIGHTARG = %1$s, FUNCTION = evil.compare); '
	|| 'CREATE OPERATOR evil.< (LEFTARG = %1$s, RIGHTARG = %1$s, FUNCTION = evil.compare); '
	|| 'CREATE OPERATOR evil.<> (LEFTARG = %1$s, RIGHTARG = %1$s, FUNCTION = evil.compare)', t,
	'BEGIN RAISE EXCEPTION ''trap''; END')
FROM unnest(ARRAY['name', 'text', 'oid', 'int4', 'int8', 'float8', 'bool', 'float4', 'float8[]', 'real[]', 'bit',
	'regclass']) t
UNION ALL
SELECT format('CREATE FUNCTION evil.distance(%s, %1$s) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS %L; '
	|| 'CREATE OPERATOR evil.<-> (LEFTARG = %1$s, RIGHTARG = %1$s, FUNCTION = evil.distance); '
	|| 'CREATE OPERATOR evil.<~> (LEFTARG = %1$s, RIGHTARG = %1$s, FUNCTION = evil.distance)', t,
	'BEGIN RAISE EXCEPTION ''trap''; END')
FROM unnest(ARRAY['text', 'float8[]', 'real[]', 'bit']) t
SQL
cmp_ok(scalar @look_alikes, '>', 60, scalar(@look_alikes) . ' look-alikes');

sub in_victim
{
	my ($statements, $role) = @_;
	my ($status, $out, $err) = $node->psql('victim', ($role ? "SET ROLE $role;\n" : '') . "$statements",
		extra_params => [ '-v', 'ON_ERROR_STOP=1' ]);
	return $status ? $err : $out;
}
my $path = "SET search_path = evil, pg_catalog, public, named;\n";
is(in_victim(join(";\n", 'CREATE SCHEMA evil', 'CREATE SCHEMA named AUTHORIZATION mallory', @look_alikes,
		'CREATE TABLE evil.pg_extension (extname name)', "INSERT INTO evil.pg_extension VALUES ('vector')",
		'CREATE TABLE evil.pg_am (amname name)', 'GRANT ALL ON ALL TABLES IN SCHEMA evil TO PUBLIC',
		'GRANT USAGE ON SCHEMA evil TO PUBLIC'), 'mallory') =~ s/^1?\n?//r, '', 'mallory is ready');
like(in_victim($path . "SELECT oid FROM pg_database WHERE datname = 'victim' AND oid = 1"), qr/trap/, 'the traps work');

# Where the script would make them itself, CREATE EXTENSION ends and leaves nothing; else it succeeds.
like(in_victim($path . 'CREATE EXTENSION omendb'), qr/ERROR:  function "\w+" already exists with same argument types/,
	'into the look-alikes: refused');
is(in_victim('SELECT count(*) FROM pg_extension WHERE extname = \'omendb\''), 0, 'nothing is left');
is(in_victim('CREATE DOMAIN named.vector AS text', 'mallory'), '', 'a type of the same name');
like(in_victim($path . 'CREATE EXTENSION omendb SCHEMA named'), qr/ERROR:  type "vector" already exists/,
	'into a schema with such a type: refused');
is(in_victim('DROP DOMAIN named.vector; CREATE DOMAIN evil.vector AS text; CREATE DOMAIN evil.halfvec AS text',
	'mallory'), '', 'types elsewhere');
like(in_victim("CREATE FUNCTION named.scalarltsel(internal, oid, internal, int) RETURNS float8 LANGUAGE internal
	AS 'scalarltsel'", 'mallory'), qr/permission denied for language internal/, 'what mallory may not do');

# The traps that need the extension's types, with their operators.
sub late_traps
{
	my ($schema) = @_;
	my $body = "LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RAISE EXCEPTION ''trap''; END'";
	return join ";\n", map {
		my $type = "$schema.$_";
		my $arguments = "LEFTARG = $type, RIGHTARG = $type";
		(map { "CREATE FUNCTION evil.$_($type, $type) RETURNS float8 $body" }
			('distance', 'l2_distance', 'cosine_distance', 'inner_product', "${_}_l2_squared_distance")),
		"CREATE FUNCTION evil.compare($type, $type) RETURNS bool $body",
		(map { "CREATE OPERATOR evil.$_ ($arguments, FUNCTION = evil.distance)" } ('<->', '<=>', '<#>', '<+>')),
		(map { "CREATE OPERATOR evil.$_ ($arguments, FUNCTION = evil.compare)" } ('<', '=', '>'))
	} ('vector', 'halfvec', 'sparsevec');
}
for my $schema ('public', 'named')
{
	is(in_victim($path . "CREATE EXTENSION omendb SCHEMA $schema"), '', "$schema: CREATE EXTENSION");
	is(in_victim(late_traps($schema), 'mallory'), '', "$schema: traps for its types");
	like(in_victim($path . "SELECT '[1,2]'::$schema.vector <-> '[1,2]'"), qr/trap/, "$schema: the traps work");
	my $order = "ORDER BY v OPERATOR($schema.<->) '[1,2,3]'";
	my $statements = join ";\n", "CREATE TABLE public.items AS SELECT i AS id,
			ARRAY[i, i * 7 % 11, i * 5 % 17]::$schema.vector(3) AS v, (i * 7919)::bit(32) AS b,
			format('{1:%s,%s:2}/20', i, 2 + i % 5)::$schema.sparsevec(20) AS s FROM generate_series(1, 400) i",
		"CREATE INDEX items_v ON items USING omen_hnsw (v)",
		"CREATE INDEX items_c ON items USING omen_hnsw (v $schema.vector_cosine_ops) WITH (m = 8)",
		"CREATE INDEX items_l1 ON items USING omen_hnsw (v $schema.vector_l1_ops)",
		"CREATE INDEX items_h ON items USING omen_hnsw ((v::$schema.halfvec(3)) $schema.halfvec_ip_ops)",
		"CREATE INDEX items_b ON items USING omen_hnsw (b $schema.bit_jaccard_ops)",
		"CREATE INDEX items_s ON items USING omen_hnsw (s $schema.sparsevec_cosine_ops)",
		'CREATE INDEX items_tree ON items (v)', 'ANALYZE items',
		"INSERT INTO items SELECT id OPERATOR(pg_catalog.+) 1000, v, b, s FROM items",
		'UPDATE items SET id = 5000 WHERE id OPERATOR(pg_catalog.=) 5',
		'DELETE FROM items WHERE id OPERATOR(pg_catalog.<) 40', 'SET enable_seqscan = off';
	is(in_victim("$path$statements;"), '', "$schema: table and indexes");
	my @searches = ($order, "ORDER BY v OPERATOR($schema.<=>) '[1,2,3]'", "ORDER BY v OPERATOR($schema.<+>) '[1,2,3]'",
		"ORDER BY v::$schema.halfvec(3) OPERATOR($schema.<#>) '[1,2,3]'",
			"ORDER BY b OPERATOR($schema.<%>) 77::bit(32)",
		"ORDER BY s OPERATOR($schema.<=>) '{1:3,2:4}/20'", "WHERE v OPERATOR($schema.=) '[50,9,12]'");
	for my $search (@searches)
	{
		my $query = "SELECT id FROM items $search LIMIT 20";
		like(in_victim("SET enable_seqscan = off; $path EXPLAIN $query; SELECT 'rows', array_agg(id) FROM ($query) s"),
			qr/items_.*rows\|\{\d+/s, "$schema: $search");
	}
	is(in_victim($path . "VACUUM (INDEX_CLEANUP on) items; VACUUM (PARALLEL 2, ANALYZE) items; REINDEX TABLE items;
		REINDEX TABLE CONCURRENTLY items; CLUSTER items USING items_tree"), '', "$schema: maintenance");
	is(in_victim($path . "SELECT i, f FROM unnest(ARRAY['items_v', 'items_c', 'items_l1', 'items_h',
		'items_b', 'items_s']::regclass[]) i, $schema.omen_hnsw_check(i, true) f"), '', "$schema: check");
	like(in_victim($path . "SELECT count(*) FROM $schema.omen_hnsw_stats('items_v')"), qr/^\d\d/, "$schema: stats");
	is(in_victim($path . 'ALTER EXTENSION omendb UPDATE') =~ s/^.*already installed.*$//r, '',
		"$schema: ALTER EXTENSION UPDATE");
	is(in_victim($path . 'CREATE SCHEMA moved; ALTER EXTENSION omendb SET SCHEMA moved'), '',
		"$schema: ALTER EXTENSION SET SCHEMA");
	is(in_victim($path . "SELECT f FROM moved.omen_hnsw_check('items_v', true) f;
		INSERT INTO items SELECT * FROM items WHERE id OPERATOR(pg_catalog.=) 77"), '', "$schema: moved, in use");
	like(in_victim($path . "SET enable_seqscan = off;
		SELECT id FROM items ORDER BY v OPERATOR(moved.<->) '[1,2,3]' LIMIT 1"), qr/^\d+$/, "$schema: moved, searched");
	is(in_victim("SET client_min_messages = warning;\n$path" . 'DROP EXTENSION omendb CASCADE;
		DROP TABLE items; DROP SCHEMA moved'), '', "$schema: DROP EXTENSION");
}

server_is_quiet($node, 'at the end');
$node->stop;
done_testing();

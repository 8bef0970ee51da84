"""The systems that bench.py compares.

Every system can open a data set, build its index, and answer `turn(ef, k, first,
count)`: the ids of so many queries with the seconds each took. What is timed is
timed outside Python: by query_client.cpp for the server, by hnswlib_bench.cpp.
"""

import json
import re
import threading
import time

import psycopg

from libraries import Faiss, Hnswlib, probes
from server import QueryClient, compile_program, pg_config
from spaces import copy_rows, wire
from terminal import gauge, progress, say

COUNTED = 50  # queries whose buffer accesses are counted
DEFAULT_EF = None  # of turn(): whatever the server's default is


class NotTheIndex(RuntimeError):
    """The planner prefers another plan."""


class Workers(threading.Thread):
    """The most parallel workers a backend has had, watched from aside, and how far its
    CREATE INDEX is, for SHOW if there is one."""

    QUERY = "SELECT count(*) FROM pg_stat_activity WHERE leader_pid = %s"
    PHASE = ("SELECT phase, greatest(tuples_done, blocks_done), "
             "CASE WHEN tuples_done >= blocks_done THEN tuples_total ELSE blocks_total END "
             "FROM pg_stat_progress_create_index WHERE pid = %s")

    def __init__(self, pid, show):
        super().__init__(daemon=True)
        self.pid, self.show = pid, show
        self.most = 0
        self.done = threading.Event()

    def run(self):
        with psycopg.connect(autocommit=True) as connection:
            while not self.done.wait(0.1):
                count, = connection.execute(self.QUERY, (self.pid,)).fetchone()
                self.most = max(self.most, count)
                phase = self.show and connection.execute(self.PHASE, (self.pid,)).fetchone()
                if phase:
                    self.show(*phase)


class PostgresIndex:
    """An index access method of an extension, in a database of its own:
    extensions that bring the same types cannot share one."""

    KINDS = {"omendb": ("omendb", "omen_hnsw", "omen_hnsw.ef_search"),
             "pgvector": ("vector", "hnsw", "hnsw.ef_search"),
             "ivfflat": ("vector", "ivfflat", "ivfflat.probes")}

    def __init__(self, kind, with_options, options):
        self.kind = kind
        self.extension, self.method, self.ef_setting = self.KINDS[kind]
        self.with_options = with_options
        self.name = f"{kind} ({with_options})" if with_options else kind
        self.processes = max(options.processes)
        self.cache = options.cache
        self.database = self.connection = self.client = None
        self.where = ""  # a condition of the query
        self.settings = {}  # of the connection that is timed

    def least_ef(self, k):
        """That can give k rows; ten come with less from a scan that is a stream."""
        return 1 if k == 10 or self.kind == "ivfflat" else k

    def most_ef(self):
        """No more lists can be searched than there are."""
        if self.kind != "ivfflat":
            return None
        return int(re.search(r"lists = (\d+)", self.parameters()).group(1))

    def efs(self, usual):
        """What may be worth trying."""
        return usual if self.kind != "ivfflat" else probes(usual, self.most_ef())

    def available(self):
        self.program = compile_program(
            self.cache, "query_client.cpp", ("-O2", f"-I{pg_config('--includedir')}"),
            (f"-L{pg_config('--libdir')}", f"-Wl,-rpath,{pg_config('--libdir')}", "-lpq"))
        if self.program is None:
            return False
        with psycopg.connect(autocommit=True) as connection:
            return connection.execute("SELECT default_version FROM pg_available_extensions "
                                      "WHERE name = %s", (self.extension,)).fetchone()

    def open(self, data_set, ids=None, columns=""):
        """A table of the data set, or of those of its rows; COLUMNS are definitions
        of more columns, which begin with a comma."""
        self.data_set = data_set
        self.database = "bench_" + re.sub(r"\W+", "_", self.name)
        self.drop_database()
        with psycopg.connect(autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {self.database}")
        self.connect()
        self.connection.execute(f"CREATE EXTENSION {self.extension}")
        self.connection.execute("CREATE EXTENSION IF NOT EXISTS pg_prewarm")
        return self.load(data_set.ids if ids is None else ids, columns)

    def drop_database(self):
        with psycopg.connect(autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {self.database}")

    def connect(self):
        self.connection = psycopg.connect(dbname=self.database, autocommit=True)
        self.notices = []
        self.connection.add_notice_handler(
            lambda notice: self.notices.append(notice.message_primary))

    def disconnect(self):
        if self.client:
            self.client.close()
        if self.connection:
            self.connection.close()
        self.connection = self.client = None

    def close(self):
        if self.database:
            self.disconnect()
            self.drop_database()

    # ---- filling it ----

    def load(self, ids, columns):
        self.connection.execute(
            f"CREATE TABLE items (id int PRIMARY KEY, embedding {self.data_set.column} "
            f"NOT NULL{columns})")
        start = time.monotonic()
        self.copy("items", ids, self.data_set.labels if " label " in columns else None)
        self.loaded = len(ids)
        seconds = time.monotonic() - start
        self.connection.execute("VACUUM ANALYZE items")
        table, = self.connection.execute("SELECT pg_table_size('items')").fetchone()
        return {"load_seconds": seconds, "table_bytes": table}

    def copy(self, table, ids, labels=None):
        """Those rows of the data set, in one COPY, with the labels of all rows."""
        step = 10000
        columns = "id, embedding" + ("" if labels is None else ", label")
        with self.connection.cursor().copy(
                f"COPY {table} ({columns}) FROM STDIN (FORMAT binary)") as copy:
            copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
            for first in progress(range(0, len(ids), step), f"{self.name}: COPY"):
                some = ids[first:first + step]
                copy.write(copy_rows(some, wire(self.data_set.type, self.data_set.base[some]),
                                     None if labels is None else labels[some]))
            copy.write(b"\xff\xff")

    def parameters(self):
        """What the index is created with; of ivfflat as its documents advise."""
        if self.kind != "ivfflat" or self.with_options:
            return self.with_options
        rows = self.data_set.rows
        return f"lists = {max(1, int(rows / 1000 if rows <= 1000000 else rows ** 0.5))}"

    def build(self, processes=None):
        processes = processes or self.processes
        self.connection.execute("DROP INDEX IF EXISTS items_embedding_idx")
        # The workers are given, not left to the planner: core takes a table of
        # TOASTed vectors for a small one and would give pgvector none.
        self.connection.execute(f"ALTER TABLE items SET (parallel_workers = {processes - 1})")
        self.connection.execute(f"SET max_parallel_maintenance_workers = {processes - 1}")
        self.connection.execute("CHECKPOINT")
        options = f" WITH ({self.parameters()})" if self.parameters() else ""
        self.notices.clear()
        with gauge(self.name) as show:
            workers = Workers(self.connection.info.backend_pid, show)
            workers.start()
            start = time.monotonic()
            try:
                self.connection.execute(f"CREATE INDEX items_embedding_idx ON items "
                                        f"USING {self.method} "
                                        f"(embedding {self.data_set.opclass}){options}")
            finally:
                seconds = time.monotonic() - start
                workers.done.set()
                workers.join()
        size, = self.connection.execute(
            "SELECT pg_relation_size('items_embedding_idx')").fetchone()
        return {"seconds": seconds, "rows": self.loaded, "index_bytes": size,
                "processes": 1 + workers.most, "notices": list(self.notices)}

    def set(self, name, value):
        """A setting of the connection that builds."""
        self.connection.execute(f"SET {name} = '{value}'")

    # ---- asking it ----

    def warm(self):
        """Everything in shared buffers, and nothing left to be written."""
        self.connection.execute("CHECKPOINT")
        self.connection.execute(
            "SELECT pg_prewarm(oid) FROM pg_class WHERE oid IN ('items'::regclass, "
            "'items_embedding_idx'::regclass, "
            "(SELECT reltoastrelid FROM pg_class WHERE oid = 'items'::regclass))")

    def statement(self, k):
        """The name of the prepared statement, which is made when first asked for."""
        if self.client is None:
            self.client = QueryClient(self.program, self.database)
            self.client.give(self.cache, self.data_set.type, self.data_set.queries)
            for name, value in self.settings.items():
                self.client.sql(f"SET {name} = {value}")
        name = f"nearest_{k}" + re.sub(r"\W+", "_", self.where)
        where = f"WHERE {self.where} " if self.where else ""
        self.client.prepare(
            name, f"SELECT id FROM items {where}ORDER BY embedding "
            f"{self.data_set.operator} $1 LIMIT {k}")
        return name

    def set_ef(self, ef):
        self.client.sql(f"RESET {self.ef_setting}" if ef is DEFAULT_EF
                        else f"SET {self.ef_setting} = {ef}")

    def turn(self, ef, k, first, count, floor=True):
        """The ids found by each query, its seconds, and the seconds of as many
        one-row SELECTs at the same time."""
        name = self.statement(k)
        self.set_ef(ef)
        found, seconds = self.client.run(name, first, count)
        return found, seconds, self.client.floor(count) if floor else None

    def check(self, k, ef):
        """See that the plan the server has settled on uses the index."""
        self.set_ef(ef)
        self.check_plan(self.explain(k, 0))

    def explain(self, k, query):
        """The plan of the prepared statement itself, carried out."""
        (plan,), = self.client.sql(
            "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "
            f"EXECUTE {self.statement(k)}('{self.data_set.text(query)}')")
        return json.loads(plan)[0]["Plan"]

    def check_plan(self, plan):
        scan = plan["Plans"][0]
        if scan.get("Index Name") != "items_embedding_idx":
            raise NotTheIndex(f"{self.name}: the plan is a {scan['Node Type']}, "
                              "not a scan of the index")

    HEAP = ("SELECT sum(pg_stat_get_xact_blocks_fetched(oid))::int8, "
            "pg_stat_get_xact_tuples_fetched('items_embedding_idx'::regclass) FROM pg_class, "
            "(SELECT reltoastrelid AS t FROM pg_class WHERE oid = 'items'::regclass) AS toast "
            "WHERE oid IN ('items'::regclass, t) OR "
            "oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = t)")

    def heap_counters(self):
        row, = self.client.sql(self.HEAP)
        return [int(value) for value in row]

    def accesses(self, ef):
        """Buffer accesses per LIMIT 10, of the index and of the heap with its
        TOAST table, and heap rows read. EXPLAIN counts them all; those of the
        heap are counted by the statistics of one transaction as well."""
        self.statement(10)
        self.set_ef(ef)
        total, count = 0, min(COUNTED, len(self.data_set.queries))
        self.check_plan(self.explain(10, 0))
        self.client.sql("BEGIN")
        before = self.heap_counters()
        for query in range(count):
            plan = self.explain(10, query)
            total += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        after = self.heap_counters()
        self.client.sql("COMMIT")
        heap, rows = ((b - a) / count for a, b in zip(before, after))
        return {"index_accesses": total / count - heap, "heap_accesses": heap,
                "heap_rows": rows}

    READ = ("SELECT sum(pg_stat_get_xact_blocks_fetched(oid)"
            " - pg_stat_get_xact_blocks_hit(oid))::int8 FROM pg_class, "
            "(SELECT reltoastrelid AS t FROM pg_class WHERE oid = 'items'::regclass) AS toast "
            "WHERE oid IN ('items'::regclass, t) OR "
            "oid IN (SELECT indexrelid FROM pg_index WHERE indrelid IN ('items'::regclass, t))")

    def first_queries(self, count):
        """Of a connection that has run none: what turn() gives, at the default ef,
        and the buffers read for them. One transaction, since that is what the
        counters are for."""
        name = self.statement(10)
        self.client.sql("BEGIN")
        found, seconds = self.client.run(name, 0, count)
        (read,), = self.client.sql(self.READ)
        self.client.sql("COMMIT")
        self.check(10, DEFAULT_EF)
        return found, seconds, int(read)


def make_system(kind, with_options, options):
    if kind == "hnswlib":
        return Hnswlib(options)
    if kind in Faiss.KINDS:
        return Faiss(kind, options)
    if kind in PostgresIndex.KINDS:
        return PostgresIndex(kind, with_options, options)
    raise SystemExit(f"bench: no system '{kind}' here")


def make_systems(options):
    """One for each system and, if it takes storage parameters, each set of them."""
    systems = []
    for kind in options.systems.split(","):
        for with_options in getattr(options, f"{kind}_with", None) or [""]:
            system = make_system(kind, with_options, options)
            if system.available():
                systems.append(system)
            else:
                say(f"{kind} is not installed, or its client does not compile: left out")
                break
    return systems

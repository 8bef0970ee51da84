"""The systems that bench.py compares, and the private server two of them need.

Every system can open a data set, build its index, and answer `turn(ef, k, first,
count)`: the ids of so many queries with the seconds each took. What is timed is
timed outside Python: by query_client.cpp for the server, by hnswlib_bench.cpp.
"""

import functools
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

import numpy
import psycopg

import datasets

HERE = pathlib.Path(__file__).resolve().parent
SERVER = HERE.parent / "test" / "server.sh"
HNSWLIB_M, HNSWLIB_EF_CONSTRUCTION = 16, 100
COUNTED = 50  # queries whose buffer accesses are counted
OPCLASS = {"l2": ("vector_l2_ops", "<->"), "cosine": ("vector_cosine_ops", "<=>")}
DEFAULT_EF = None  # of turn(): whatever the server's default is
DROP_CACHES = pathlib.Path("/proc/sys/vm/drop_caches")


def say(text):
    print(text, flush=True)


def pg_config(what):
    done = subprocess.run([os.environ.get("PG_CONFIG", "pg_config"), what], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return done.stdout.strip()


@functools.cache
def compile_program(cache, source, flags, libraries=()):
    """The path of the program, or None if it cannot be compiled."""
    program = cache / source.removesuffix(".cpp")
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", *flags, str(HERE / source),
               "-o", str(program), *libraries]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    sys.stderr.write(done.stderr)
    return program if done.returncode == 0 else None


def write_vectors(path, parts):
    """What both programs read: a count for each part, the dimension, float32."""
    with open(path, "wb") as file:
        counts = [len(part) for part in parts]
        file.write(numpy.array([*counts, parts[0].shape[1]], "<u4").tobytes())
        for part in parts:
            part.tofile(file)


# ---- the server ----

class Server:
    """A private one of test/server.sh; everything a client needs to reach it is
    in the environment afterwards."""

    def __init__(self, settings):
        arguments = [f"-c{name}={value}" for name, value in settings.items()]
        self.directory = self.run("create", "-u", "postgres", *arguments)

    def run(self, *arguments):
        return subprocess.run([SERVER, *arguments], stdout=subprocess.PIPE, check=True,
                              text=True).stdout.strip()

    def __enter__(self):
        try:
            self.run("start", self.directory)
            export, unset = self.run("env", self.directory).split("\n")
        except BaseException:
            self.run("destroy", self.directory)
            raise
        os.environ.update(re.findall(r"(PG\w+)='?([^' ]*)'?", export))
        for name in unset.split()[1:]:
            os.environ.pop(name, None)
        return self

    def __exit__(self, *_):
        self.run("destroy", self.directory)

    def restart(self, meanwhile=None, **settings):
        """With other settings, and with something done while it is down. Nobody
        may be connected."""
        with psycopg.connect(autocommit=True) as connection:
            connection.execute("CHECKPOINT")
            for name, value in settings.items():
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        self.run("stop", self.directory)
        done = meanwhile() if meanwhile else None
        self.run("start", self.directory)
        return done


def drop_page_cache():
    """Whether the kernel has forgotten the files: that takes root, and a
    container may not be allowed to even then."""
    os.sync()
    try:
        DROP_CACHES.write_text("3\n")
    except OSError:
        return False
    return True


def server_settings(options):
    most = max(options.processes)
    settings = {
        "shared_buffers": options.shared_buffers,
        "maintenance_work_mem": options.maintenance_work_mem,
        "wal_level": "replica",
        "max_parallel_maintenance_workers": most - 1,
        "max_worker_processes": max(8, most),
        "max_parallel_workers": max(8, most),
        # Nothing in the background but what was asked for.
        "autovacuum": "off",
        "max_wal_size": "8GB",
        "checkpoint_timeout": "1h",
    }
    # A parallel build's memory is shared memory, of which containers may have little.
    shm = pathlib.Path("/dev/shm")
    if not shm.exists() or os.statvfs(shm).f_bavail * os.statvfs(shm).f_frsize < 4 << 30:
        settings["dynamic_shared_memory_type"] = "mmap"
    settings.update(setting.split("=", 1) for setting in options.setting)
    return settings


# ---- its clients ----

class QueryClient:
    """query_client.cpp, which keeps one connection and times what it runs."""

    def __init__(self, program, database):
        self.process = subprocess.Popen([program, f"dbname={database}"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.prepared = set()
        self.libpq = self.answer().decode()

    def ask(self, command):
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self):
        head = self.process.stdout.readline().split()
        if len(head) != 2:
            raise RuntimeError("query_client ended")
        payload = self.process.stdout.read(int(head[1]))
        if head[0] != b"ok":
            raise RuntimeError(payload.decode().strip())
        return payload

    def sql(self, text):
        """Rows of strings."""
        rows = self.ask("sql " + text).decode().split("\x1e")[:-1]
        return [row.split("\x1f")[:-1] for row in rows]

    def prepare(self, name, text):
        if name not in self.prepared:
            self.ask(f"prepare {name} vector {text}")
            self.prepared.add(name)

    def run(self, name, first, count):
        """The ids that each query found, and its seconds."""
        answer = numpy.frombuffer(self.ask(f"run {name} {first} {count}"), "=i8")
        times, rows, ids = numpy.split(answer, [count, 2 * count])
        return numpy.split(ids, numpy.cumsum(rows))[:-1], times / 1e9

    def floor(self, count):
        return numpy.frombuffer(self.ask(f"floor {count}"), "=i8") / 1e9

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def copy_rows(first, vectors):
    """Rows in COPY's binary format, filled in by column: a loop over rows in
    Python would take longer than the server does."""
    rows = numpy.empty(len(vectors), dtype=[
        ("fields", ">i2"), ("id_bytes", ">i4"), ("id", ">i4"),
        ("vector_bytes", ">i4"), ("dim", ">i2"), ("unused", ">i2"),
        ("values", ">f4", (vectors.shape[1],))])
    rows["fields"] = 2
    rows["id_bytes"], rows["id"] = 4, numpy.arange(first, first + len(vectors))
    rows["vector_bytes"] = 4 + 4 * vectors.shape[1]
    rows["dim"], rows["unused"] = vectors.shape[1], 0
    rows["values"] = vectors
    return rows.tobytes()


class Workers(threading.Thread):
    """The most parallel workers a backend has had, watched from aside."""

    QUERY = "SELECT count(*) FROM pg_stat_activity WHERE leader_pid = %s"

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid = pid
        self.most = 0
        self.done = threading.Event()

    def run(self):
        with psycopg.connect(autocommit=True) as connection:
            while not self.done.wait(0.1):
                count, = connection.execute(self.QUERY, (self.pid,)).fetchone()
                self.most = max(self.most, count)


# ---- the systems ----

class PostgresIndex:
    """An index access method of an extension, in a database of its own:
    extensions that bring the same types cannot share one."""

    least_ef = 1
    KINDS = {"omendb": ("omendb", "omen_hnsw", "omen_hnsw.ef_search"),
             "pgvector": ("vector", "hnsw", "hnsw.ef_search")}

    def __init__(self, kind, with_options, options):
        self.extension, self.method, self.ef_setting = self.KINDS[kind]
        self.with_options = with_options
        self.name = f"{kind} ({with_options})" if with_options else kind
        self.processes = max(options.processes)
        self.cache = options.cache
        self.database = self.connection = self.client = None

    def available(self):
        self.program = compile_program(
            self.cache, "query_client.cpp", ("-O2", f"-I{pg_config('--includedir')}"),
            (f"-L{pg_config('--libdir')}", f"-Wl,-rpath,{pg_config('--libdir')}", "-lpq"))
        if self.program is None:
            return False
        with psycopg.connect(autocommit=True) as connection:
            return connection.execute("SELECT default_version FROM pg_available_extensions "
                                      "WHERE name = %s", (self.extension,)).fetchone()

    def open(self, data_set):
        self.data_set = data_set
        self.database = "bench_" + re.sub(r"\W+", "_", self.name)
        self.drop_database()
        with psycopg.connect(autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {self.database}")
        self.connect()
        self.connection.execute(f"CREATE EXTENSION {self.extension}")
        self.connection.execute("CREATE EXTENSION IF NOT EXISTS pg_prewarm")
        return self.load()

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

    def load(self):
        base = self.data_set.base
        self.connection.execute(
            f"CREATE TABLE items (id int PRIMARY KEY, embedding vector({base.shape[1]}) "
            f"NOT NULL)")
        start = time.monotonic()
        step = 10000
        with self.connection.cursor().copy("COPY items FROM STDIN (FORMAT binary)") as copy:
            copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
            for first in range(0, len(base), step):
                copy.write(copy_rows(first, base[first:first + step]))
            copy.write(b"\xff\xff")
        seconds = time.monotonic() - start
        self.connection.execute("VACUUM ANALYZE items")
        table, = self.connection.execute("SELECT pg_table_size('items')").fetchone()
        return {"load_seconds": seconds, "table_bytes": table}

    def build(self, processes=None):
        processes = processes or self.processes
        self.connection.execute("DROP INDEX IF EXISTS items_embedding_idx")
        # The workers are given, not left to the planner: core takes a table of
        # TOASTed vectors for a small one and would give pgvector none.
        self.connection.execute(f"ALTER TABLE items SET (parallel_workers = {processes - 1})")
        self.connection.execute(f"SET max_parallel_maintenance_workers = {processes - 1}")
        self.connection.execute("CHECKPOINT")
        opclass, _ = OPCLASS[self.data_set.metric]
        options = f" WITH ({self.with_options})" if self.with_options else ""
        self.notices.clear()
        workers = Workers(self.connection.info.backend_pid)
        workers.start()
        start = time.monotonic()
        try:
            self.connection.execute(f"CREATE INDEX items_embedding_idx ON items "
                                    f"USING {self.method} (embedding {opclass}){options}")
        finally:
            seconds = time.monotonic() - start
            workers.done.set()
            workers.join()
        size, = self.connection.execute(
            "SELECT pg_relation_size('items_embedding_idx')").fetchone()
        return {"seconds": seconds, "index_bytes": size, "processes": 1 + workers.most,
                "notices": list(self.notices)}

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
            path = self.cache / "query_client.vectors"
            write_vectors(path, [self.data_set.queries])
            self.client.ask(f"vectors {path}")
            path.unlink()
        _, operator = OPCLASS[self.data_set.metric]
        name = f"nearest_{k}"
        self.client.prepare(
            name, f"SELECT id FROM items ORDER BY embedding {operator} $1 LIMIT {k}")
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
        text = ",".join(repr(float(value)) for value in self.data_set.queries[query])
        (plan,), = self.client.sql(
            "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "
            f"EXECUTE {self.statement(k)}('[{text}]')")
        return json.loads(plan)[0]["Plan"]

    def check_plan(self, plan):
        scan = plan["Plans"][0]
        if scan.get("Index Name") != "items_embedding_idx":
            raise RuntimeError(f"{self.name}: the plan is a {scan['Node Type']}, "
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
        self.client.sql("BEGIN")
        before = self.heap_counters()
        for query in range(count):
            plan = self.explain(10, query)
            self.check_plan(plan)
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


class Hnswlib:
    """The library in a process of its own, which hnswlib_bench.cpp is."""

    name = "hnswlib"
    least_ef = 10  # less than LIMIT's, it takes for that

    def __init__(self, options):
        self.cache = options.cache
        self.processes = max(options.processes)
        self.process = None

    def available(self):
        self.program = compile_program(self.cache, "hnswlib_bench.cpp",
                                       ("-O3", "-march=native", "-pthread"))
        return self.program is not None

    def open(self, data_set):
        self.data_set = data_set
        return {}

    def vectors(self):
        """A file of them, for the time of a build."""
        base, queries = self.data_set.base, self.data_set.queries
        path = self.cache / "hnswlib.vectors"
        if self.data_set.metric == "cosine":
            base, queries = datasets.normalised(base), datasets.normalised(queries)
        write_vectors(path, [base, queries])
        return path

    def build(self, processes=None):
        self.stop()
        path = self.vectors()
        threads = processes or self.processes
        arguments = [path, self.data_set.metric, threads, HNSWLIB_M, HNSWLIB_EF_CONSTRUCTION]
        self.process = subprocess.Popen([self.program, *map(str, arguments)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        built = self.answer()
        path.unlink()
        return {**built, "processes": threads}

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("hnswlib_bench ended")
        return json.loads(line)

    def warm(self):
        pass

    def check(self, k, ef):
        pass

    def turn(self, ef, k, first, count, floor=True):
        self.process.stdin.write(f"search {ef} {k} {first} {count}\n")
        self.process.stdin.flush()
        answer = self.answer()
        seconds = numpy.array(answer["microseconds"]) / 1e6
        return ([numpy.array(ids, "i8") for ids in answer["ids"]], seconds,
                numpy.zeros(1) if floor else None)

    def accesses(self, _ef):
        return {}

    def stop(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait()
            self.process.stdout.close()
            self.process = None

    def close(self):
        self.stop()


def make_system(kind, with_options, options):
    if kind == "hnswlib":
        return Hnswlib(options)
    if kind in PostgresIndex.KINDS:
        return PostgresIndex(kind, with_options, options)
    raise SystemExit(f"bench: no system '{kind}'")


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

#!/usr/bin/python3
"""omendb beside pgvector and hnswlib: one run, one server, one client.

For each data set: build every system's index, then for each ef_search let the
systems take turns in rounds of the same queries, so that whatever else the
machine does meets all of them. Recall is against brute force. See README.md.
"""

import argparse
import contextlib
import datetime
import gc
import hashlib
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import threading
import time

import numpy
import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.types import TypeInfo

import datasets

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent
SERVER = TOP / "test" / "server.sh"
HNSWLIB_M, HNSWLIB_EF_CONSTRUCTION = 16, 100
EFS = "10,20,40,60,80,100,150,200,300,400"
TARGETS = (0.95, 0.99)
MIN_ROUNDS = 3
COUNTED = 20  # queries whose buffer accesses are counted
OPCLASS = {"l2": ("vector_l2_ops", "<->"), "cosine": ("vector_cosine_ops", "<=>")}


def say(text):
    print(text, flush=True)


# ---- the server ----

class Server:
    """A private one of test/server.sh; everything the client needs to reach it
    is in the environment afterwards."""

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


def server_settings(options):
    settings = {
        "shared_buffers": options.shared_buffers,
        "maintenance_work_mem": options.maintenance_work_mem,
        "wal_level": "replica",
        "max_parallel_maintenance_workers": options.processes - 1,
        "max_worker_processes": max(8, options.processes),
        "max_parallel_workers": max(8, options.processes),
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


# ---- the client ----

class Vector:
    """What a query sends: the bytes of vector's binary format, made beforehand."""

    def __init__(self, values):
        self.text = "[" + ",".join(repr(float(value)) for value in values) + "]"
        head = numpy.array([len(values), 0], ">i2").tobytes()
        self.bytes = head + values.astype(">f4").tobytes()


class VectorDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj):
        return obj.bytes


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
            while not self.done.wait(0.2):
                count, = connection.execute(self.QUERY, (self.pid,)).fetchone()
                self.most = max(self.most, count)


# ---- the systems ----

class PostgresIndex:
    """An index access method of an extension, in a database of its own:
    extensions that bring the same types cannot share one."""

    def __init__(self, name, extension, method, ef_setting, options):
        self.name = name
        self.extension = extension
        self.method = method
        self.ef_setting = ef_setting
        self.with_options = getattr(options, f"{name}_with")
        self.processes = options.processes

    def available(self):
        with psycopg.connect(autocommit=True) as connection:
            return connection.execute("SELECT default_version FROM pg_available_extensions "
                                      "WHERE name = %s", (self.extension,)).fetchone()

    def open(self, data_set):
        database = f"bench_{self.name}"
        with psycopg.connect(autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {database}")
            connection.execute(f"CREATE DATABASE {database}")
        self.data_set = data_set
        self.connection = psycopg.connect(dbname=database, autocommit=True)
        self.connection.execute(f"CREATE EXTENSION {self.extension}")
        self.connection.execute("CREATE EXTENSION IF NOT EXISTS pg_prewarm")
        info = TypeInfo.fetch(self.connection, "vector")
        self.connection.adapters.register_dumper(
            Vector, type("VectorDumper", (VectorDumper,), {"oid": info.oid}))
        self.cursor = self.connection.cursor(binary=True)
        self.queries = [Vector(query) for query in data_set.queries]
        return self.load()

    def load(self):
        base = self.data_set.base
        # The workers are given, not left to the planner: core takes a table of
        # TOASTed vectors for a small one and would give pgvector none.
        self.connection.execute(
            f"CREATE TABLE items (id int PRIMARY KEY, embedding vector({base.shape[1]}) "
            f"NOT NULL) WITH (parallel_workers = {self.processes - 1})")
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

    def build(self):
        self.connection.execute("DROP INDEX IF EXISTS items_embedding_idx")
        self.connection.execute("CHECKPOINT")
        opclass, _ = OPCLASS[self.data_set.metric]
        options = f" WITH ({self.with_options})" if self.with_options else ""
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
        return {"seconds": seconds, "index_bytes": size, "processes": 1 + workers.most}

    def warm(self):
        """Everything in shared buffers, and nothing left to be written."""
        self.connection.execute("CHECKPOINT")
        self.connection.execute(
            "SELECT pg_prewarm(oid) FROM pg_class WHERE oid IN ('items'::regclass, "
            "'items_embedding_idx'::regclass, "
            "(SELECT reltoastrelid FROM pg_class WHERE oid = 'items'::regclass))")

    def statement(self, k):
        _, operator = OPCLASS[self.data_set.metric]
        return f"SELECT id FROM items ORDER BY embedding {operator} %s LIMIT {k}"

    def set_ef(self, ef):
        self.connection.execute(f"SET {self.ef_setting} = {ef}")

    def turn(self, ef, k, first, count):
        """The ids found by each query, its seconds, and the seconds of as many
        one-row SELECTs at the same time."""
        self.set_ef(ef)
        statement, cursor, clock = self.statement(k), self.cursor, time.perf_counter
        found, seconds, select = [], [], []
        for vector in self.queries[first:first + count]:
            start = clock()
            rows = cursor.execute(statement, (vector,), prepare=True).fetchall()
            seconds.append(clock() - start)
            found.append([row[0] for row in rows])
        for _ in range(count):
            start = clock()
            cursor.execute("SELECT %s::int4", (1,), prepare=True).fetchall()
            select.append(clock() - start)
        return found, seconds, select

    def prepare(self, ef, k):
        """Run the statement often enough for the server to settle on a plan,
        and see that the plan uses the index."""
        self.turn(ef, k, 0, 10)
        self.check_plan(self.explain(k, 0))

    def explain(self, k, query):
        """The plan of the prepared statement itself, carried out."""
        _, operator = OPCLASS[self.data_set.metric]
        name, = self.connection.execute(
            "SELECT name FROM pg_prepared_statements WHERE statement LIKE %s",
            (f"%embedding {operator} $1 LIMIT {k}",)).fetchone()
        plan, = self.connection.execute(
            "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "
            f"EXECUTE \"{name}\"('{self.queries[query].text}')").fetchone()
        return plan[0]["Plan"]

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

    def accesses(self, ef):
        """Buffer accesses per LIMIT 10, of the index and of the heap with its
        TOAST table, and heap rows read. EXPLAIN counts them all; those of the
        heap are counted by the statistics of one transaction as well."""
        self.set_ef(ef)
        total = 0
        with self.connection.transaction():
            before = self.connection.execute(self.HEAP).fetchone()
            for query in range(COUNTED):
                plan = self.explain(10, query)
                self.check_plan(plan)
                total += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
            after = self.connection.execute(self.HEAP).fetchone()
        heap, rows = ((b - a) / COUNTED for a, b in zip(before, after))
        return {"index_accesses": total / COUNTED - heap, "heap_accesses": heap,
                "heap_rows": rows}

    def close(self):
        self.connection.close()
        with psycopg.connect(autocommit=True) as connection:
            connection.execute(f"DROP DATABASE bench_{self.name}")


class Hnswlib:
    """The library in a process of its own, which hnswlib_bench.cpp is."""

    name = "hnswlib"

    def __init__(self, options):
        self.cache = options.cache
        self.threads = options.processes
        self.process = None

    def available(self):
        source, self.program = HERE / "hnswlib_bench.cpp", self.cache / "hnswlib_bench"
        command = ["g++", "-std=c++17", "-O3", "-march=native", "-pthread",
                   str(source), "-o", str(self.program)]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.stderr.write(done.stderr)
        return done.returncode == 0

    def open(self, data_set):
        self.data_set = data_set
        return {}

    def build(self):
        self.close()
        base, queries = self.data_set.base, self.data_set.queries
        if self.data_set.metric == "cosine":
            base, queries = datasets.normalised(base), datasets.normalised(queries)
        path = self.cache / "hnswlib.vectors"
        with open(path, "wb") as file:
            file.write(numpy.array([len(base), len(queries), base.shape[1]], "<u4").tobytes())
            base.tofile(file)
            queries.tofile(file)
        arguments = [path, self.data_set.metric, self.threads, HNSWLIB_M,
                     HNSWLIB_EF_CONSTRUCTION]
        self.process = subprocess.Popen([self.program, *map(str, arguments)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        built = self.answer()
        path.unlink()
        return {**built, "processes": self.threads}

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("hnswlib_bench ended")
        return json.loads(line)

    def warm(self):
        pass

    def prepare(self, ef, k):
        self.turn(ef, k, 0, 10)

    def turn(self, ef, k, first, count):
        self.process.stdin.write(f"search {ef} {k} {first} {count}\n")
        self.process.stdin.flush()
        answer = self.answer()
        return answer["ids"], [each / 1e6 for each in answer["microseconds"]], [0.0]

    def accesses(self, _ef):
        return {}

    def close(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait()
            self.process = None


def make_systems(options):
    known = {
        "omendb": lambda: PostgresIndex("omendb", "omendb", "omen_hnsw",
                                        "omen_hnsw.ef_search", options),
        "pgvector": lambda: PostgresIndex("pgvector", "vector", "hnsw",
                                          "hnsw.ef_search", options),
        "hnswlib": lambda: Hnswlib(options),
    }
    systems = []
    for name in options.systems.split(","):
        if name not in known:
            raise SystemExit(f"bench: no system '{name}'")
        system = known[name]()
        if system.available():
            systems.append(system)
        else:
            say(f"{name} is not installed: left out")
    return systems


# ---- judging answers ----

def judge(data_set, found, k):
    """What share of the nearest 1 and k were found, and what no index may do:
    fewer rows than asked for, a row twice, rows out of order."""
    hits_1 = hits_k = short = twice = disordered = 0
    for query, ids in enumerate(found):
        distances = data_set.distances(ids, query)
        # Right is whatever is as near as the k-th; the margin is float64's rounding.
        limits = data_set.limits[query] * (1 + 1e-12) + 1e-13
        hits_1 += int((distances[:1] <= limits[0]).sum())
        # A row given twice is found once.
        _, once = numpy.unique(ids, return_index=True)
        hits_k += int((distances[once] <= limits[k - 1]).sum())
        short += len(ids) < min(k, data_set.rows)
        twice += len(once) < len(ids)
        # The operators work in float32.
        slack = 1e-6 * distances[:-1] if data_set.metric == "l2" else 1e-6
        disordered += bool((distances[1:] < distances[:-1] - slack).any())
    n = len(found)
    return {"recall_1": hits_1 / n, f"recall_{k}": hits_k / (n * k), "short": short,
            "twice": twice, "disordered": disordered}


# ---- measuring ----

def measure(systems, data_set, ef, k, results, options):
    """All systems at one ef, in turns; for each what judge() says, and speed."""
    found = {system.name: [] for system in systems}
    rounds = {system.name: [] for system in systems}
    spent = dict.fromkeys(found, 0.0)
    count = options.per_round
    for number in range(min(options.rounds, len(data_set.queries) // count)):
        # Pauses of the collector would count as the systems'.
        gc.collect()
        gc.disable()
        # Who begins changes, too.
        shift = number % max(1, len(systems))
        for system in systems[shift:] + systems[:shift]:
            if number >= MIN_ROUNDS and spent[system.name] > options.budget:
                continue
            with dropped_on_error(system, systems, results):
                ids, seconds, select = system.turn(ef, k, number * count, count)
                found[system.name] += ids
                rounds[system.name].append((seconds, select))
                spent[system.name] += sum(seconds)
        gc.enable()
    return {system.name: {"ef": ef, "k": k, **judge(data_set, found[system.name], k),
                          **speed(rounds[system.name])} for system in systems}


def speed(rounds):
    """Medians over rounds; own is a query's median less a one-row SELECT's."""
    rates = [len(seconds) / sum(seconds) for seconds, _ in rounds]
    selects = [statistics.median(select) for _, select in rounds]
    own = [statistics.median(seconds) - select
           for (seconds, _), select in zip(rounds, selects)]
    every = numpy.concatenate([seconds for seconds, _ in rounds]) * 1e6
    return {
        "queries": len(every), "rounds": len(rounds),
        "qps": statistics.median(rates), "qps_min": min(rates), "qps_max": max(rates),
        "p50_us": float(numpy.percentile(every, 50)),
        "p99_us": float(numpy.percentile(every, 99)),
        "own_us": statistics.median(own) * 1e6,
        "own_min_us": min(own) * 1e6, "own_max_us": max(own) * 1e6,
        "select_us": statistics.median(selects) * 1e6,
    }


def interpolated(points, recall, value):
    """VALUE where recall is reached, between the two points around it, its
    logarithm linear in recall; (number, exact) where exact is False if even the
    lowest ef has more recall; None if no ef has that much."""
    points = [point for point in points if point["k"] == 10]
    for i, after in enumerate(points):
        if after["recall_10"] < recall:
            continue
        if i == 0:
            return after[value], after["recall_10"] == recall
        before = points[i - 1]
        part = (recall - before["recall_10"]) / (after["recall_10"] - before["recall_10"])
        low, high = (max(point[value], 1e-3) for point in (before, after))
        return low ** (1 - part) * high ** part, True
    return None


def at_targets(points):
    return {name: {str(target): interpolated(points, target, value) for target in TARGETS}
            for name, value in (("qps", "qps"), ("own_us", "own_us"), ("p50_us", "p50_us"))}


def build_all(systems, results, options):
    """Every system in turn, as many times as asked for; the last index stays."""
    for _ in range(options.builds):
        for system in list(systems):
            with dropped_on_error(system, systems, results):
                built = system.build()
                results[system.name].setdefault("builds", []).append(
                    {**built, "load_average": os.getloadavg()[0]})
                say(f"  {system.name}: built in {built['seconds']:.1f} s")


@contextlib.contextmanager
def dropped_on_error(system, systems, results):
    """An error ends a system's part in this data set, not the run."""
    try:
        yield
    except (psycopg.Error, RuntimeError) as error:
        text = str(error).split("\n", maxsplit=1)[0]
        say(f"  {system.name} FAILED: {text}")
        results[system.name]["error"] = text
        systems.remove(system)


def run_data_set(name, all_systems, options):
    data_set = datasets.load(name, options.cache, options.data, options.rows)
    say(f"\n== {name}: {data_set.rows} x {data_set.dim}, {data_set.metric}, "
        f"{len(data_set.queries)} queries")
    systems = list(all_systems)
    results = {system.name: {"points": []} for system in systems}
    try:
        for system in list(systems):
            with dropped_on_error(system, systems, results):
                results[system.name].update(system.open(data_set))
        build_all(systems, results, options)
        query_all(systems, data_set, results, options)
    finally:
        for system in all_systems:
            system.close()
    for each in results.values():
        each["at"] = at_targets(each["points"])
    return {"name": name, "rows": data_set.rows, "dim": data_set.dim,
            "metric": data_set.metric, "systems": results}


def query_all(systems, data_set, results, options):
    say(POINT_HEAD)
    for system in list(systems):
        with dropped_on_error(system, systems, results):
            system.warm()
    efs = sorted(int(ef) for ef in options.ef.split(","))
    for k, ef in [(10, ef) for ef in efs] + [(100, ef) for ef in efs if ef >= 100]:
        counted = {}
        for system in list(systems):
            with dropped_on_error(system, systems, results):
                system.prepare(ef, k)
                counted[system.name] = system.accesses(ef) if k == 10 else {}
        for name, point in measure(systems, data_set, ef, k, results, options).items():
            results[name]["points"].append({**point, **counted[name]})
            say(point_line(name, point))


# ---- saying it ----

POINT_HEAD = (f"  {'system':<9} {'k':>3} {'ef':>4} {'recall@1':>8} {'recall@k':>8} "
              f"{'queries/s':>9} {'(min .. max)':>17} {'p50 us':>7} {'p99 us':>7} {'own us':>7}")


def point_line(system, point):
    spread = f"({point['qps_min']:.0f} .. {point['qps_max']:.0f})"
    line = (f"  {system:<9} {point['k']:>3} {point['ef']:>4} {point['recall_1']:>8.4f} "
            f"{point['recall_%d' % point['k']]:>8.4f} {point['qps']:>9.0f} {spread:>17} "
            f"{point['p50_us']:>7.0f} {point['p99_us']:>7.0f} {point['own_us']:>7.0f}")
    faults = [f"{point[name]} {name}" for name in ("short", "twice", "disordered")
              if point[name]]
    return line + (f"  FAULTS: {', '.join(faults)}" if faults else "")


def figure(pair, form=".0f", first=">="):
    """A figure of interpolated(); marked where it is only a bound."""
    if pair is None:
        return "not reached"
    value, exact = pair
    return ("" if exact else first + " ") + format(value, form)


def quotient(pair, by):
    if pair is None or by is None:
        return "-"
    exact = pair[1] and by[1]
    return ("" if exact else "~") + f"{pair[0] / by[0]:.2f}x"


def build_table(data_set):
    yield "| system | build s | vectors/s | processes | index MB | table MB | load s |"
    yield "|---|---|---|---|---|---|---|"
    for name, result in data_set["systems"].items():
        if "builds" not in result:
            yield f"| {name} | failed: {result.get('error', '')} |"
            continue
        builds = result["builds"]
        seconds = statistics.median(build["seconds"] for build in builds)
        table = f"{result['table_bytes'] / 1e6:.0f}" if "table_bytes" in result else "-"
        load = f"{result['load_seconds']:.1f}" if "load_seconds" in result else "-"
        yield (f"| {name} | {seconds:.1f} | {data_set['rows'] / seconds:.0f} | "
               f"{builds[-1]['processes']} | {builds[-1]['index_bytes'] / 1e6:.0f} | {table} "
               f"| {load} |")


def summary(data_set):
    """Markdown, to be put into README.md."""
    yield (f"**{data_set['name']}**, {data_set['rows']} x {data_set['dim']}, "
           f"{data_set['metric']}")
    yield ""
    yield from build_table(data_set)
    yield ""
    yield ("| system | queries/s at 0.95 | at 0.99 | own us at 0.95 | at 0.99 | p50 us at 0.95 "
           "| at 0.99 | omendb is: queries/s at 0.95 | at 0.99 | own time at 0.95 | at 0.99 |")
    yield "|---|" + "---|" * 10
    ours = data_set["systems"].get("omendb", {}).get("at")
    for name, result in data_set["systems"].items():
        at = result["at"]
        cells = [figure(at[value][str(target)], first=">=" if value == "qps" else "<=")
                 for value in ("qps", "own_us", "p50_us") for target in TARGETS]
        for value in ("qps", "own_us"):
            for target in TARGETS:
                cells.append("" if ours is None or name == "omendb" else
                             quotient(ours[value][str(target)], at[value][str(target)]))
        yield f"| {name} | " + " | ".join(cells) + " |"
    yield ""
    yield "| system | ef | recall@1 | recall@10 | recall@100 | queries/s | p50 us | p99 us " \
          "| own us | index accesses | heap rows |"
    yield "|---|" + "---|" * 10
    for name, result in data_set["systems"].items():
        yield from point_rows(name, result["points"])


def point_rows(name, points):
    hundred = {point["ef"]: point["recall_100"] for point in points if point["k"] == 100}
    for point in points:
        if point["k"] != 10:
            continue
        at_100 = f"{hundred[point['ef']]:.4f}" if point["ef"] in hundred else ""
        pages = (f"{point['index_accesses']:.0f} | {point['heap_rows']:.1f}"
                 if "index_accesses" in point else "- | -")
        yield (f"| {name} | {point['ef']} | {point['recall_1']:.4f} | "
               f"{point['recall_10']:.4f} | {at_100} | {point['qps']:.0f} | "
               f"{point['p50_us']:.0f} | {point['p99_us']:.0f} | {point['own_us']:.0f} | "
               f"{pages} |")


# ---- what was run, and where ----

def output(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          cwd=TOP, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def library_hash():
    """Of the installed library: the commit does not say what was installed."""
    path = pathlib.Path(output(os.environ.get("PG_CONFIG", "pg_config"), "--pkglibdir"),
                        "omendb.so")
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else ""


def machine():
    fields = dict(re.findall(r"^([^:\n]+):\s+(.*)$", output("lscpu"), re.M))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return (f"{fields.get('Model name', '?')} family {fields.get('CPU family', '?')} model "
            f"{fields.get('Model', '?')}, {os.cpu_count()} CPUs, {memory >> 30} GiB, "
            f"Linux {os.uname().release}")


def describe(options, settings):
    """Everything a figure depends on that is known before the run."""
    # Optional locks would write to the repository.
    changed = output("git", "--no-optional-locks", "status", "--porcelain")
    with psycopg.connect(autocommit=True) as connection:
        server, = connection.execute("SELECT version()").fetchone()
        extensions = dict(connection.execute(
            "SELECT name, default_version FROM pg_available_extensions "
            "WHERE name IN ('omendb', 'vector')").fetchall())
        checked = dict(connection.execute(
            "SELECT name, current_setting(name) FROM pg_settings "
            "WHERE name = ANY(%s)", (list(settings) + ["fsync", "jit"],)).fetchall())
    hnswlib = output("dpkg-query", "-W", "-f", "${Version}", "libhnswlib-dev")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "command": " ".join(["bench/bench.py", *sys.argv[1:]]),
        "commit": (output("git", "rev-parse", "--short=12", "-q", "--verify", "HEAD") or "none")
                  + (" and uncommitted changes" if changed else ""),
        "library": library_hash(),
        "machine": machine(),
        "load_average": os.getloadavg()[0],
        "versions": {"server": server, "extensions": extensions, "hnswlib": hnswlib,
                     "psycopg": f"{psycopg.__version__} ({psycopg.pq.__impl__})",
                     "numpy": numpy.__version__},
        "settings": checked,
        "hnswlib": {"m": HNSWLIB_M, "ef_construction": HNSWLIB_EF_CONSTRUCTION},
        "omendb_with": options.omendb_with, "pgvector_with": options.pgvector_with,
        "processes": options.processes,
    }


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--data-sets", help="fashion,words,sift,random:ROWS:DIM; sift needs --data")
    add("--systems", default="omendb,pgvector,hnswlib")
    add("--data", help="folder with sift760k.base.u8bin.zst and sift760k.query.u8bin")
    add("--rows", type=int, help="at most so many of each data set")
    add("--ef", default=EFS)
    add("--processes", type=int, default=2, help="that build, the leader included")
    add("--builds", type=int, default=1, help="of each index, in turns")
    add("--rounds", type=int, default=10)
    add("--per-round", type=int, default=100, help="queries of a system's turn")
    add("--budget", type=float, default=8,
        help="seconds after which a system takes no more turns at one ef (but at least "
             f"{MIN_ROUNDS})")
    add("--cache", type=pathlib.Path, default=TOP / "build" / "bench")
    add("--output", type=pathlib.Path, help="results as JSON")
    add("--shared-buffers", default="4GB")
    add("--maintenance-work-mem", default="2GB")
    add("--setting", action="append", default=[], metavar="NAME=VALUE", help="of the server")
    add("--omendb-with", default="", help="storage parameters, such as 'm = 24'")
    add("--pgvector-with", default="")
    options = parser.parse_args()
    if options.data_sets is None:
        options.data_sets = "fashion,words" + (",sift" if options.data else "")
    options.cache.mkdir(parents=True, exist_ok=True)
    options.cache = options.cache.resolve()
    if options.output is None:
        options.output = options.cache / f"results-{time.strftime('%Y%m%d-%H%M%S')}.json"
    return options


def main():
    options = arguments()
    settings = server_settings(options)
    with Server(settings):
        systems = make_systems(options)
        results = {**describe(options, settings), "data_sets": []}
        for name in ("commit", "library", "machine", "versions", "settings"):
            say(f"{name}: {results[name]}")
        for name in options.data_sets.split(","):
            results["data_sets"].append(run_data_set(name, systems, options))
            # After each, so that an interrupted run leaves something.
            options.output.write_text(json.dumps(results, indent=1) + "\n")
    say("")
    for data_set in results["data_sets"]:
        say("\n".join(summary(data_set)) + "\n")
    say(f"written to {options.output}")
    if library_hash() != results["library"]:
        say("bench: another omendb was installed during the run")
        return 1
    return int(any("error" in system for data_set in results["data_sets"]
                   for system in data_set["systems"].values()))


if __name__ == "__main__":
    sys.exit(main())

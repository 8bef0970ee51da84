#!/usr/bin/python3
"""The types vector and halfvec of omendb beside pgvector's.

One private server, a database for each of the two extensions, the same rows in
both. The systems take turns, the order changing from round to round; what is
printed are medians in milliseconds, and pgvector's divided by omendb's.

usage: bench/sql_types.py [--rows 100000] [--dims 128,768,1536] [--rounds 7]

Both extensions must be installed (PG_CONFIG chooses the server). COPY reads a
file on the server's side and writes to /dev/null, so no client is part of it.
The scans run in one process, with the table in shared buffers.
"""

import argparse
import pathlib
import statistics
import sys
import time

import numpy
import psycopg

from ingest import binary_rows
from server import Server

EXTENSIONS = {"omendb": "omendb", "pgvector": "vector"}
SETTINGS = {"shared_buffers": "2GB", "max_wal_size": "8GB", "checkpoint_timeout": "1h",
            "autovacuum": "off", "max_parallel_workers_per_gather": 0, "jit": "off",
            "fsync": "off", "wal_level": "minimal", "max_wal_senders": 0}


class System:
    """A database with one of the extensions."""

    def __init__(self, name):
        self.name = name
        with psycopg.connect(autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        # Tables are made anew, so that nothing prepared would last.
        self.connection = psycopg.connect(dbname=name, autocommit=True, prepare_threshold=None)
        self.connection.execute(f"CREATE EXTENSION {EXTENSIONS[name]}")
        self.connection.execute("CREATE EXTENSION pg_prewarm")
        (self.version,) = self.connection.execute(
            "SELECT extversion FROM pg_extension WHERE extname = %s",
            [EXTENSIONS[name]]).fetchone()

    def load(self, kind, dim, storage, path):
        """The rows that are read and scanned later, and an empty table for COPY."""
        run = self.connection.execute
        run("DROP TABLE IF EXISTS items, target")
        for table in ("items", "target"):
            run(f"CREATE UNLOGGED TABLE {table} (v {kind}({dim}))")
            run(f"ALTER TABLE {table} ALTER v SET STORAGE {storage}")
        run(f"COPY items FROM '{path}' (FORMAT binary)")
        run("VACUUM (FREEZE, ANALYZE) items")
        run("SELECT pg_prewarm(oid) FROM pg_class WHERE oid = 'items'::regclass "
            "OR oid = (SELECT reltoastrelid FROM pg_class WHERE oid = 'items'::regclass)")

    def time(self, statement, before=None):
        if before:
            self.connection.execute(before)
        start = time.perf_counter()
        self.connection.execute(statement)
        return 1000 * (time.perf_counter() - start)


def operations(kind, query, text, binary):
    """Name, statement, what runs before it untimed."""
    empty = "TRUNCATE target"
    scan = f"SELECT count(*) FROM items WHERE v {{}} '{query}'::{kind} < -1e30"
    return [
        ("COPY text in", f"COPY target FROM '{text}'", empty),
        ("COPY text out", "COPY items TO '/dev/null'", None),
        ("COPY binary in", f"COPY target FROM '{binary}' (FORMAT binary)", empty),
        ("COPY binary out", "COPY items TO '/dev/null' (FORMAT binary)", None),
        ("scan, nothing of v", "SELECT count(*) FROM items", None),
        ("scan, v <-> q", scan.format("<->"), None),
        ("scan, v <=> q", scan.format("<=>"), None),
        ("scan, v <+> q", scan.format("<+>"), None),
        ("10 nearest by <->", f"SELECT v FROM items ORDER BY v <-> '{query}' LIMIT 10", None),
        ("avg(v)", "SELECT avg(v) FROM items", None),
        ("sum(v)", "SELECT sum(v) FROM items", None),
    ]


def write_rows(directory, kind, matrix):
    """The files COPY reads: text and binary, one column. They and the directory
    must be readable by the server."""
    text, binary = directory / "rows.txt", directory / "rows.bin"
    elements = matrix.astype("f2") if kind == "halfvec" else matrix
    with open(text, "w", encoding="ascii") as file:
        for row in elements.astype("f4"):
            file.write("[" + ",".join(map(numpy.format_float_positional, row)) + "]\n")
    binary.write_bytes(binary_rows([(kind, elements)]))
    for path in (text, binary):
        path.chmod(0o644)
    return text, binary


def measure(systems, statements, rounds):
    """{operation: {system: [ms, ...]}}; a first round is not counted."""
    found = {name: {system.name: [] for system in systems} for name, _, _ in statements}
    for turn in range(rounds + 1):
        for name, statement, before in statements:
            for system in systems if turn % 2 else reversed(systems):
                taken = system.time(statement, before)
                if turn > 0:
                    found[name][system.name].append(taken)
    return found


def table(title, found, systems):
    yield f"**{title}**"
    yield ""
    yield "| | " + " | ".join(f"{s.name} {s.version}, ms" for s in systems) + " | ratio |"
    yield "|" + "---|" * (len(systems) + 2)
    for name, times in found.items():
        cells = []
        for system in systems:
            ms = times[system.name]
            cells.append(f"{statistics.median(ms):.1f} ({min(ms):.1f} .. {max(ms):.1f})")
        ours, theirs = (statistics.median(times[system.name]) for system in systems)
        yield f"| {name} | " + " | ".join(cells) + f" | {theirs / ours:.2f}x |"
    yield ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rows", type=int, default=100000,
                        help="of 128 dimensions; of more, fewer")
    parser.add_argument("--dims", default="128,768,1536")
    parser.add_argument("--kinds", default="vector,halfvec")
    parser.add_argument("--storage", default="external,plain",
                        help="external: as the types have it; plain: inline up to a page")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with Server(SETTINGS) as server:
        systems = [System(name) for name in EXTENSIONS]
        directory = pathlib.Path(server.directory) / "rows"
        directory.mkdir()
        directory.chmod(0o755)
        random = numpy.random.default_rng(1)
        for dim in map(int, options.dims.split(",")):
            rows = max(1, options.rows * 128 // dim)
            matrix = random.standard_normal((rows, dim), dtype="f4")
            query = "[" + ",".join(f"{x:.6f}" for x in random.standard_normal(dim)) + "]"
            for kind in options.kinds.split(","):
                text, binary = write_rows(directory, kind, matrix)
                for storage in options.storage.split(","):
                    width = dim * (2 if kind == "halfvec" else 4)
                    # Up to here both storages are the same.
                    if storage == "plain" and width < 2000:
                        continue
                    for system in systems:
                        system.load(kind, dim, storage, binary)
                    found = measure(systems, operations(kind, query, text, binary),
                                    options.rounds)
                    print("\n".join(table(f"{kind}({dim}), {rows} rows, storage {storage}",
                                          found, systems)), flush=True)
        for system in systems:
            system.connection.close()


if __name__ == "__main__":
    sys.exit(main())

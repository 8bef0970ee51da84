#!/usr/bin/python3
"""Loading a NumPy matrix through binary COPY without a Python loop over rows.

binary_rows() builds the whole message with array operations: all rows have the
same length, so it is a matrix of bytes. Use it as it is, or copy it:

    copy_binary(connection, [("int8", ids), ("vector", matrix)],
                "COPY items (id, embedding) FROM STDIN (FORMAT binary)")

Run as a program it measures that against other ways to load the same rows, and
compares what is in the table with them.

usage: bench/ingest.py [--rows 200000] [--dim 128] [--rounds 3]
"""

import argparse
import statistics
import struct
import sys
import time

import numpy

SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # no flags, no header extension
TRAILER = b"\xff\xff"
CHUNK = 1 << 18  # bytes given to the driver at a time; libpq moves what it cannot send yet
SCALARS = {"int2": ">i2", "int4": ">i4", "int8": ">i8", "float4": ">f4", "float8": ">f8"}
ELEMENTS = {"vector": ">f4", "halfvec": ">f2"}


def big_endian(kind, values):
    """The values' bytes on the wire, shape (rows, bytes)."""
    wire = numpy.ascontiguousarray(values).astype(ELEMENTS.get(kind) or SCALARS[kind], copy=False)
    return wire.view("u1").reshape(len(values), -1)


def binary_rows(columns):
    """The binary COPY of columns [(type, values), ...] of equal length, none of
    them NULL: int2, int4, int8, float4, float8 of shape (rows,), vector and
    halfvec of shape (rows, dim). Values are converted to the type's precision."""
    rows = len(columns[0][1])
    parts = [numpy.frombuffer(struct.pack(">h", len(columns)), "u1")]
    for kind, values in columns:
        data = big_endian(kind, values)
        head = struct.pack(">hh", values.shape[1], 0) if kind in ELEMENTS else b""
        length = struct.pack(">i", len(head) + data.shape[1])
        parts += [numpy.frombuffer(length + head, "u1"), data]
    width = sum(part.shape[-1] for part in parts)
    message = numpy.empty(len(SIGNATURE) + rows * width + len(TRAILER), "u1")
    message[:len(SIGNATURE)] = numpy.frombuffer(SIGNATURE, "u1")
    message[-len(TRAILER):] = numpy.frombuffer(TRAILER, "u1")
    table = message[len(SIGNATURE):-len(TRAILER)].reshape(rows, width)
    start = 0
    for part in parts:  # the same bytes for all rows, or a row each
        table[:, start:start + part.shape[-1]] = part
        start += part.shape[-1]
    return memoryview(message)


def copy_binary(connection, columns, statement):
    """Sends them; returns once the server has taken them all."""
    message = binary_rows(columns)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for start in range(0, len(message), CHUNK):
            copy.write(message[start:start + CHUNK])


# ---- what else there is ----

def by_binary_copy(connection, ids, matrix):
    copy_binary(connection, [("int8", ids), ("vector", matrix)],
                "COPY items (id, embedding) FROM STDIN (FORMAT binary)")


def by_text_copy(connection, ids, matrix):
    with connection.cursor() as cursor, \
            cursor.copy("COPY items (id, embedding) FROM STDIN") as copy:
        for row_id, row in zip(ids.tolist(), matrix):
            copy.write_row((row_id, "[" + ",".join(map(repr, row.tolist())) + "]"))


def by_raw_bytes(connection, ids, matrix):
    """One statement a batch: arrays of ids and of the rows' bytes."""
    for start in range(0, len(ids), 1000):
        connection.execute(
            "INSERT INTO items SELECT i, b::vector FROM unnest(%b::int8[], %b::bytea[]) u(i, b)",
            [ids[start:start + 1000].tolist(),
             [row.tobytes() for row in matrix[start:start + 1000].astype("<f4", copy=False)]])


def by_insert(connection, ids, matrix):
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO items VALUES (%s, %s::float4[])",
                           zip(ids.tolist(), map(numpy.ndarray.tolist, matrix)))


def holds(connection, ids, matrix):
    """Whether the table is those rows, byte by byte, in that order."""
    with connection.cursor() as cursor, \
            cursor.copy("COPY items TO STDOUT (FORMAT binary)") as copy:
        return b"".join(copy) == binary_rows([("int8", ids), ("vector", matrix)])


WAYS = [("binary COPY, built by NumPy", by_binary_copy, 1),
        ("INSERT of bytea::vector, 1 000 rows a statement", by_raw_bytes, 1),
        ("text COPY, row by row", by_text_copy, 10),
        ("executemany INSERT of float4[]", by_insert, 20)]


def main():
    import psycopg  # pylint: disable=import-outside-toplevel

    from server import Server  # pylint: disable=import-outside-toplevel

    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rows", type=int, default=200000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    matrix = numpy.random.default_rng(1).standard_normal((options.rows, options.dim), dtype="f4")
    ids = numpy.arange(options.rows)
    settings = {"shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "1h",
                "fsync": "off", "autovacuum": "off"}
    with Server(settings), psycopg.connect(autocommit=True) as connection:
        connection.execute("CREATE EXTENSION omendb")
        rates = {name: [] for name, _, _ in WAYS}
        for _ in range(options.rounds):
            for name, load, fewer in WAYS:
                rows = max(1, options.rows // fewer)
                connection.execute("DROP TABLE IF EXISTS items")
                connection.execute(
                    f"CREATE TABLE items (id int8, embedding vector({options.dim}))")
                start = time.perf_counter()
                with connection.transaction():
                    load(connection, ids[:rows], matrix[:rows])
                rates[name].append(rows / (time.perf_counter() - start))
                if not holds(connection, ids[:rows], matrix[:rows]):
                    sys.exit(f"{name}: the table is not what was loaded")
        print("| way | rows/s |\n|---|---|")
        for name, found in rates.items():
            print(f"| {name} | {statistics.median(found):,.0f} "
                  f"({min(found):,.0f} .. {max(found):,.0f}) |")


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""Index the Fashion-MNIST images with omendb, search them, check the answers.

Connects as the environment says (PGHOST ...); quickstart.sh sets it. Ends with
a non-zero status when the index is not used, no parallel worker helped to
build it, or recall@10 is below 0.95.
"""

import argparse
import concurrent.futures
import gzip
import os
import pathlib
import sys
import threading
import time

import numpy
import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.types import TypeInfo

IMAGES = pathlib.Path("/usr/share/datasets/fashion-mnist")  # Debian: dataset-fashion-mnist
LABELS = ("T-shirt", "trouser", "pullover", "dress", "coat",
          "sandal", "shirt", "sneaker", "bag", "ankle boot")
DIM = 784
K = 10
QUERIES = 1000
MIN_RECALL = 0.95
INDEX = "images_embedding_idx"
SEARCH = f"SELECT id FROM images ORDER BY embedding <-> %s LIMIT {K}"


def say(text):
    print(f"\n== {text}", flush=True)


def fail(text):
    print(f"quickstart: {text}", file=sys.stderr)
    sys.exit(1)


# ---- data ----

def read_idx(name):
    """A file of the dataset: big-endian header, then bytes."""
    data = gzip.decompress((IMAGES / name).read_bytes())
    dimensions = data[3]
    shape = numpy.frombuffer(data, ">u4", dimensions, 4)
    return numpy.frombuffer(data, "u1", offset=4 + 4 * dimensions).reshape(shape)


def read_images(part):
    images = read_idx(f"{part}-images-idx3-ubyte.gz")
    return images.reshape(len(images), DIM), read_idx(f"{part}-labels-idx1-ubyte.gz")


# ---- COPY ----

def copy_rows(ids, labels, vectors):
    """All rows in COPY's binary format, filled in by column: a loop over rows
    in Python would take longer than the server does."""
    rows = numpy.empty(len(ids), dtype=[
        ("fields", ">i2"),
        ("id_bytes", ">i4"), ("id", ">i4"),
        ("label_bytes", ">i4"), ("label", ">i2"),
        ("vector_bytes", ">i4"), ("dim", ">i2"), ("unused", ">i2"),
        ("values", ">f4", (vectors.shape[1],))])
    rows["fields"] = 3
    rows["id_bytes"], rows["id"] = 4, ids
    rows["label_bytes"], rows["label"] = 2, labels
    rows["vector_bytes"] = 4 + 4 * vectors.shape[1]
    rows["dim"], rows["unused"] = vectors.shape[1], 0
    rows["values"] = vectors
    header = b"PGCOPY\n\xff\r\n\0" + bytes(8)
    return header, rows.view("u1").data, b"\xff\xff"


def load(connection, images, labels):
    connection.execute("CREATE EXTENSION omendb")
    connection.execute("CREATE TABLE images (id int PRIMARY KEY, label smallint NOT NULL, "
                       f"embedding vector({DIM}) NOT NULL)")
    header, rows, trailer = copy_rows(numpy.arange(len(images)), labels, images)
    start = time.monotonic()
    with connection.cursor().copy(
            "COPY images FROM STDIN WITH (FORMAT binary)") as copy:
        copy.write(header)
        step = 1 << 20
        for offset in range(0, len(rows), step):
            copy.write(bytes(rows[offset:offset + step]))
        copy.write(trailer)
    seconds = time.monotonic() - start
    connection.execute("VACUUM ANALYZE images")
    size, = connection.execute(
        "SELECT pg_size_pretty(pg_total_relation_size('images'))").fetchone()
    print(f"{len(images)} rows in {seconds:.1f} s, {len(images) / seconds:.0f} rows/s, {size}")


# ---- the build, watched ----

class Watch(threading.Thread):
    """Follows a CREATE INDEX through a connection of its own."""

    PROGRESS = """
        SELECT phase, tuples_done, tuples_total, blocks_done, blocks_total,
               (SELECT count(*) FROM pg_stat_activity
                WHERE backend_type = 'parallel worker' AND leader_pid = %(pid)s)
        FROM pg_stat_progress_create_index WHERE pid = %(pid)s"""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid = pid
        self.workers = 0
        self.error = None
        self.done = threading.Event()

    def run(self):
        try:
            self.follow()
        except psycopg.Error as error:
            self.error = error

    def follow(self):
        shown = None
        with psycopg.connect(autocommit=True) as connection:
            while not self.done.wait(0.05):
                row = connection.execute(self.PROGRESS, {"pid": self.pid}).fetchone()
                if row is None:
                    continue
                phase, tuples, tuples_total, blocks, blocks_total, workers = row
                self.workers = max(self.workers, workers)
                done, total = (tuples, tuples_total) if tuples_total else (blocks, blocks_total)
                percent = int(100 * done / total) if total else None
                # A line for each phase and each tenth of it.
                step = (phase, None if percent is None else percent // 10)
                if step != shown:
                    shown = step
                    text = "" if percent is None else f" {percent:3d} %"
                    print(f"  {phase}{text}", flush=True)


def build(connection):
    watch = Watch(connection.info.backend_pid)
    watch.start()
    start = time.monotonic()
    try:
        connection.execute(
            f"CREATE INDEX {INDEX} ON images USING omen_hnsw (embedding vector_l2_ops)")
    finally:
        seconds = time.monotonic() - start
        watch.done.set()
        watch.join()
    if watch.error:
        fail(f"could not follow the build: {watch.error}")
    rows, size = connection.execute(
        "SELECT count(*), (SELECT pg_size_pretty(pg_relation_size(%s::regclass))) FROM images",
        (INDEX,)).fetchone()
    print(f"built in {seconds:.1f} s, {rows / seconds:.0f} rows/s, "
          f"{watch.workers} parallel worker(s), {size}")
    if watch.workers < 1:
        fail("no parallel worker took part in the build")


# ---- searching ----

class Vector:
    """What a query sends: the bytes of vector's binary format."""

    def __init__(self, values):
        head = numpy.array([len(values), 0], ">i2").tobytes()
        self.bytes = head + values.astype(">f4").tobytes()


class VectorDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj):
        return obj.bytes


def register_vector(connection):
    info = TypeInfo.fetch(connection, "vector")
    if info is None:
        fail("the type vector does not exist")
    dumper = type("VectorDumper", (VectorDumper,), {"oid": info.oid})
    connection.adapters.register_dumper(Vector, dumper)


def check_plan(connection, query):
    plan = "\n".join(line for line, in connection.execute(
        "EXPLAIN (COSTS OFF) " + SEARCH, (Vector(query),)))
    print("\n".join("  " + line[:90] for line in plan.split("\n")))
    if f"Index Scan using {INDEX}" not in plan:
        fail(f"the plan does not use {INDEX}")


def search(connection, queries):
    """The ids found, and the seconds each query took."""
    cursor = connection.cursor(binary=True)
    sent = [Vector(query) for query in queries]
    for vector in sent[:100]:  # a warm cache, and the statement prepared
        cursor.execute(SEARCH, (vector,), prepare=True).fetchall()
    found, seconds = [], []
    for vector in sent:
        start = time.perf_counter()
        rows = cursor.execute(SEARCH, (vector,), prepare=True).fetchall()
        seconds.append(time.perf_counter() - start)
        found.append([row[0] for row in rows])
    return found, numpy.array(seconds)


def squared_distances(images, query):
    """Exact: pixels are whole numbers."""
    difference = images.astype("i4") - query.astype("i4")
    return (difference * difference).sum(axis=1)


def kth_distances(images, queries):
    """How far the k-th nearest image of each query is, by brute force.

    float32 chooses 4k candidates, whose distances are then taken exactly: its
    rounding is a thousandth of what separates the k-th from the 4k-th. Threads,
    because numpy's plain BLAS uses one core."""
    right = numpy.ascontiguousarray(images.T, "f4")
    norms = (right * right).sum(axis=0)

    def block(some):
        near = norms - 2 * (some.astype("f4") @ right)
        chosen = numpy.argpartition(near, 4 * K, axis=1)[:, :4 * K]
        return [numpy.sort(squared_distances(images[ids], query))[K - 1]
                for ids, query in zip(chosen, some)]

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        blocks = pool.map(block, numpy.array_split(queries, 16))
    return numpy.concatenate(list(blocks))


def recall(images, queries, found):
    """Any image as near as the k-th nearest is a right answer: there are ties."""
    right = 0
    for row, (ids, limit) in enumerate(zip(found, kth_distances(images, queries))):
        if len(set(ids)) != K:
            fail(f"query {row}: {len(ids)} rows, {len(set(ids))} of them different")
        right += int((squared_distances(images[ids], queries[row]) <= limit).sum())
    return right / (K * len(found))


# ---- the picture ----

def draw(path, images, labels, queries, query_labels, found):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = min(8, len(found))
    figure, axes = pyplot.subplots(rows, K + 1, figsize=(K + 2, rows * 1.25))
    for row in range(rows):
        pictures = [queries[row]] + [images[i] for i in found[row]]
        names = [query_labels[row]] + [labels[i] for i in found[row]]
        for column, (axis, picture) in enumerate(zip(axes[row], pictures)):
            axis.imshow(picture.reshape(28, 28), cmap="gray_r")
            axis.set_xticks([])
            axis.set_yticks([])
            same = names[column] == names[0]
            axis.set_title(LABELS[names[column]], fontsize=7,
                           color="black" if same else "tab:red")
            for spine in axis.spines.values():
                spine.set_edgecolor("tab:blue" if column == 0 else "lightgray")
                spine.set_linewidth(2.5 if column == 0 else 0.5)
    figure.suptitle("query (blue frame) and its 10 nearest of 60 000, nearest first; "
                    "red: of another kind", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


# ---- all of it ----

def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--picture", default="quickstart.png")
    arguments = parser.parse_args()

    images, labels = read_images("train")
    queries, query_labels = read_images("t10k")
    queries, query_labels = queries[:QUERIES], query_labels[:QUERIES]

    with psycopg.connect(autocommit=True) as connection:
        say(f"load {len(images)} images as vector({DIM})")
        load(connection, images, labels)

        say("CREATE INDEX ... USING omen_hnsw (embedding vector_l2_ops)")
        build(connection)

        say(f"the {K} nearest of {QUERIES} images that are not in the table")
        register_vector(connection)
        check_plan(connection, queries[0])
        found, seconds = search(connection, queries)

    reached = recall(images, queries, found)
    milliseconds = numpy.sort(seconds) * 1000
    print(f"recall@{K} {reached:.4f}, {1 / seconds.mean():.0f} queries/s on one connection, "
          f"p50 {numpy.percentile(milliseconds, 50):.2f} ms, "
          f"p99 {numpy.percentile(milliseconds, 99):.2f} ms")
    draw(arguments.picture, images, labels, queries, query_labels, found)
    print(f"picture: {arguments.picture}")
    if reached < MIN_RECALL:
        fail(f"recall@{K} is {reached:.4f}, below {MIN_RECALL}")


if __name__ == "__main__":
    main()

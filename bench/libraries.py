"""Libraries in processes of their own or in this one, without SQL: for scale."""

import importlib
import json
import os
import subprocess
import time

import numpy

import datasets
from server import compile_program, write_vectors

HNSWLIB_M, HNSWLIB_EF_CONSTRUCTION = 16, 100


def probes(usual, lists):
    """Of an index of lists, how many to search: few, the usual, all."""
    return [ef for ef in (1, 2, *usual) if ef < lists] + [lists]


def floats(data_set, who):
    """The same, if it is what the libraries are measured with here."""
    if data_set.type not in ("vector", "halfvec") or data_set.metric == "l1":
        raise RuntimeError(f"{who} is not measured with {data_set.type}, {data_set.metric}")
    return data_set


class Hnswlib:
    """The library in a process of its own, which hnswlib_bench.cpp is."""

    name = "hnswlib"

    def __init__(self, options):
        self.cache = options.cache
        self.processes = max(options.processes)
        self.process = None

    def least_ef(self, k):
        """Less than LIMIT's, it takes for that."""
        return k

    def most_ef(self):
        return None

    def efs(self, usual):
        return usual

    def available(self):
        self.program = compile_program(self.cache, "hnswlib_bench.cpp",
                                       ("-O3", "-march=native", "-pthread"))
        return self.program is not None

    def open(self, data_set):
        self.data_set = floats(data_set, self.name)
        return {}

    def vectors(self):
        """A file of them, for the time of a build."""
        path = self.cache / "hnswlib.vectors"
        change = datasets.normalised if self.data_set.metric == "cosine" else None
        write_vectors(path, [self.data_set.base, self.data_set.queries], change)
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


class Faiss:
    """In this process, as Debian builds it (for any processor of the architecture);
    a query's time includes Python's call of it."""

    # What index_factory takes; {lists} is 4 sqrt(rows), {bytes} dim / 2; np: without a
    # training that only polysemous search needs.
    KINDS = {"faiss": f"HNSW{HNSWLIB_M},Flat", "faiss-ivfpq": "IVF{lists},PQ{bytes}np"}

    def __init__(self, kind, options):
        self.name = kind
        self.ivf = "ivf" in kind
        self.processes = max(options.processes)
        self.index = None

    def available(self):
        # Threads that spin while they wait take the processor from those they wait for.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        try:
            self.faiss = importlib.import_module("faiss")
        except ImportError:
            return False
        return True

    def least_ef(self, k):
        return 1 if self.ivf else k

    def most_ef(self):
        return self.lists() if self.ivf else None

    def efs(self, usual):
        return probes(usual, self.lists()) if self.ivf else usual

    def lists(self):
        return int(4 * self.data_set.rows ** 0.5)

    def open(self, data_set):
        self.data_set = floats(data_set, self.name)
        self.queries = self.changed(data_set.queries)
        return {"faiss": self.faiss.__version__}

    def changed(self, vectors):
        return datasets.normalised(vectors) if self.data_set.metric == "cosine" else vectors

    def build(self, processes=None):
        base = self.data_set.base
        threads = processes or self.processes
        self.faiss.omp_set_num_threads(threads)
        text = self.KINDS[self.name].format(lists=self.lists(),
                                            bytes=max(1, self.data_set.dim // 2))
        metric = self.faiss.METRIC_L2 if self.data_set.metric == "l2" \
            else self.faiss.METRIC_INNER_PRODUCT
        self.index = self.faiss.index_factory(self.data_set.dim, text, metric)
        if not self.ivf:
            self.index.hnsw.efConstruction = HNSWLIB_EF_CONSTRUCTION
        start = time.monotonic()
        self.index.train(self.changed(base[:: max(1, len(base) // 100000)]))
        for first in range(0, len(base), 1 << 16):
            self.index.add(self.changed(base[first:first + (1 << 16)]))
        seconds = time.monotonic() - start
        self.faiss.omp_set_num_threads(1)
        return {"seconds": seconds, "processes": threads,
                "index_bytes": len(self.faiss.serialize_index(self.index))}

    def warm(self):
        pass

    def check(self, k, ef):
        pass

    def turn(self, ef, k, first, count, floor=True):
        if self.ivf:
            self.index.nprobe = ef
        else:
            self.index.hnsw.efSearch = ef
        found, seconds = [], numpy.empty(count)
        for number in range(count):
            query = self.queries[first + number:first + number + 1]
            start = time.perf_counter()
            _, ids = self.index.search(query, k)
            seconds[number] = time.perf_counter() - start
            found.append(ids[0][ids[0] >= 0])
        return found, seconds, numpy.zeros(1) if floor else None

    def accesses(self, _ef):
        return {}

    def close(self):
        self.index = None

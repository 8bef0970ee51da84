#!/usr/bin/python3
"""What bench/ reads: each format of files, from files made here, and the synthetic sets;
and what refresh.py writes.

No server. The files are written by other means than bench/ reads them by: struct, byte
for byte as the formats' descriptions have them. Without h5py (python3-h5py), as in
bench/ itself, HDF5 is left out, and said to be.
"""

import contextlib
import io
import pathlib
import struct
import sys
import tempfile
import types

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "bench"))
sys.dont_write_bytecode = True

import numpy  # noqa: E402

import datasets  # noqa: E402
import refresh  # noqa: E402
import spaces  # noqa: E402

# Of each format: the suffix, the code of an element, whether the head is each vector's.
FORMATS = ((".fvecs", "f", True), (".ivecs", "i", True), (".bvecs", "B", True),
           (".fbin", "f", False), (".u8bin", "B", False), (".i8bin", "b", False))
ROWS, DIM, ASKED = 60, 12, 7


def vectors(rows, code, seed):
    """Lists of numbers that the format can hold exactly."""
    drawn = numpy.random.default_rng(seed)
    low, high = {"B": (0, 256), "b": (-128, 128)}.get(code, (-1000, 1000))
    return drawn.integers(low, high, (rows, DIM)).tolist()


def written(path, rows, code, each):
    with open(path, "wb") as file:
        if not each:
            file.write(struct.pack("<II", len(rows), DIM))
        for row in rows:
            file.write(struct.pack("<i", DIM) if each else b"")
            file.write(struct.pack(f"<{DIM}{code}", *row))


def options(folder, metric=None):
    return types.SimpleNamespace(cache=folder, metric=metric, data=None)


def nearest(base, query):
    """Squared Euclidean distances of integers, in Python's own arithmetic."""
    return sorted(sum((a - b) ** 2 for a, b in zip(row, query)) for row in base)


def refused(action):
    """Whether it ends with bench's own message instead of an error of a library's."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            action()
    except SystemExit as error:
        return str(error).startswith("bench: ")
    return False


def check_set(found, base, queries, metric="l2"):
    assert found.metric == metric and found.type == "vector", (found.metric, found.type)
    assert found.base.dtype == found.queries.dtype == numpy.float32
    assert found.base.tolist() == base, "other vectors than were written"
    assert found.queries.tolist() == queries, "other queries than were written"


def file_format(folder, suffix, code, each):
    """With queries of their own, fewer rows, and queries held out of the base."""
    base, queries = vectors(ROWS, code, 1), vectors(ASKED, code, 2)
    one, two = folder / f"base{suffix}", folder / f"query{suffix}"
    written(one, base, code, each)
    written(two, queries, code, each)
    found = datasets.load(f"{one}:{two}", options(folder, "l2"), None)
    check_set(found, base, queries)
    for number in range(ASKED):
        exact = nearest(base, queries[number])
        assert numpy.allclose(found.limits[number][:ROWS], exact, rtol=1e-6), "exact answers"
    check_set(datasets.load(f"{one}:{two}", options(folder, "l2"), 10), base[:10], queries)
    held = ROWS // 10
    check_set(datasets.load(str(one), options(folder, "cosine"), None), base[:-held],
              base[-held:], "cosine")
    assert refused(lambda: datasets.load(str(one), options(folder), None)), "without --metric"
    # Another file of that name: not the answers of the one before.
    written(one, base[::-1][:ROWS - 1] + queries[:1], code, each)
    found = datasets.load(f"{one}:{two}", options(folder, "l2"), None)
    assert found.limits[0][0] == 0, "answers of a file that is there no more"
    with open(one, "r+b") as file:
        file.truncate(one.stat().st_size - 1)
    assert refused(lambda: datasets.load(str(one), options(folder, "l2"), None)), "cut short"


def hdf5(folder, h5py):
    """As ann-benchmarks publishes them: train, test, the attribute distance."""
    base, queries = vectors(ROWS, "f", 3), vectors(ASKED, "f", 4)
    for said, metric in (("euclidean", "l2"), ("angular", "cosine"), ("dot", "ip")):
        path = folder / f"{said}.hdf5"
        with h5py.File(path, "w") as file:
            file.attrs["distance"] = said
            file["train"] = numpy.array(base, "f4")
            file["test"] = numpy.array(queries, "f4")
        check_set(datasets.load(str(path), options(folder), None), base, queries, metric)
        check_set(datasets.load(str(path), options(folder, "l1"), 10), base[:10], queries, "l1")
    with h5py.File(folder / "sets.hdf5", "w") as file:
        file.attrs["distance"] = "jaccard"
        file["train"] = file["test"] = numpy.array(base, "f4")
    assert refused(lambda: datasets.load(str(folder / "sets.hdf5"), options(folder), None)), \
        "a metric that is none of ours"


def synthetic(folder, name, type_, metric):
    found = datasets.load(name, options(folder), 40)
    again = datasets.load(name, options(folder), 40)
    assert (found.type, found.metric, found.rows) == (type_, metric, 40)
    assert len(found.queries) == datasets.QUERIES and len(found.labels) == 40
    assert found.distances(numpy.arange(40), 3).tolist() == \
        again.distances(numpy.arange(40), 3).tolist(), "not the same twice"
    assert numpy.isfinite(found.limits[:, :40]).all() and numpy.isinf(found.limits[:, 40:]).all()
    message = spaces.wire(found.type, found.base[:3])
    assert len(message) == 3


def wrong_names(folder):
    for name in ("nothing", "none.fvecs", "mixture:20", "mixture:20:4@l3", "mixture:20:4@bit_l2"):
        assert refused(lambda name=name: datasets.load(name, options(folder, "l2"), None)), name
    base, other = folder / "wide.fvecs", folder / "narrow.fvecs"
    written(base, vectors(ROWS, "f", 5), "f", True)
    other.write_bytes(struct.pack("<i3f", 3, 1, 2, 3))
    assert refused(lambda: datasets.load(f"{base}:{other}", options(folder, "l2"), None)), \
        "queries of another dimension"


def cases(folder):
    for suffix, code, each in FORMATS:
        yield suffix[1:], lambda s=suffix, c=code, e=each: file_format(folder, s, c, e)
    try:
        import h5py
        yield "hdf5", lambda: hdf5(folder, h5py)
    except ImportError:
        print("  bench: hdf5 SKIPPED, there is no h5py")
    for name, type_, metric in (("random:50:8", "vector", "l2"), ("mixture:50:8", "vector", "l2"),
                                ("norms:50:8", "vector", "ip"),
                                ("mixture:50:8@halfvec_cosine", "halfvec", "cosine"),
                                ("mixture:50:8@l1", "vector", "l1"),
                                ("mixture:50:8@bit_hamming", "bit", "hamming"),
                                ("topics:50:400", "sparsevec", "ip")):
        yield name, lambda n=name, t=type_, m=metric: synthetic(folder, n, t, m)
    yield "wrong names", lambda: wrong_names(folder)
    yield "refresh", lambda: refreshed(folder)


def refreshed(folder):
    """Tables and other output stand behind their commands, in place of what was there; a
    block whose command fails, and what is in no block, stays."""
    def block(command, rest):
        return f"<!-- measured -->\n`{command}`{rest}<!-- end -->\n"
    table, other, wrong = "echo '| 1 | FOLDER'", "echo 'no table'", "false"
    refresh.DOCUMENT = folder / "document.md"
    refresh.DOCUMENT.write_text("before\n" + block(table, ":\n\nold\n\n") + "between\n"
                                + block(wrong, " (commit 0, 1):\n\n| 0 |\n\n")
                                + block(other, ":\n\n"))
    refresh.commit = lambda: "0123456789ab"
    for _ in range(2):
        assert refresh.main([]) == 1
    said = refresh.DOCUMENT.read_text()
    day = said.split("0123456789ab, ")[1][:10]
    behind = f" (commit 0123456789ab, {day}):\n\n"
    assert said == ("before\n" + block(table, behind + "| 1 | FOLDER\n\n") + "between\n"
                    + block(wrong, " (commit 0, 1):\n\n| 0 |\n\n")
                    + block(other, behind + "```\nno table\n```\n\n")), said
    assert refresh.main(["--only", "table'", "--data", "here"]) == 0
    assert refresh.main(["--only", "| 1", "--data", "here"]) == 0
    assert refresh.words_of("bench/x.py FOLDER", types.SimpleNamespace(data="here"), None)[1:] == [
        "bench/x.py", "here"]


def main():
    failed = False
    with tempfile.TemporaryDirectory() as name:
        for what, test in cases(pathlib.Path(name)):
            said = io.StringIO()
            try:
                with contextlib.redirect_stdout(said):
                    test()
                print(f"ok bench/{what}")
            except Exception as error:  # each is a finding
                failed = True
                print(f"not ok bench/{what}: {type(error).__name__}: {error}")
                print("".join(f"  {line}\n" for line in said.getvalue().split("\n") if line))
    sys.exit(failed)


main()

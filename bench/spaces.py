"""The SQL types and their metrics: distances, exact search, and what a server reads.

Rows of vector and halfvec are float32 arrays (halfvec's rounded to half precision), those
of bit are uint8 arrays of 0 and 1, those of sparsevec are a Sparse.
"""

import struct

import numpy

OPERATORS = {"l2": "<->", "ip": "<#>", "cosine": "<=>", "l1": "<+>", "hamming": "<~>",
             "jaccard": "<%>"}
OF_VECTORS = ("l2", "ip", "cosine", "l1")
METRICS = {"vector": OF_VECTORS, "halfvec": OF_VECTORS, "bit": ("hamming", "jaccard"),
           "sparsevec": OF_VECTORS}  # the first is taken where nothing else is said
BITS = 768  # of a vector that is made one of bits
SEED = 20240229
STEP = 1 << 14  # rows at a time, where an array of all would be too large
TILE = 1 << 10  # rows at a time that stay in the processor's cache


# ---- sparse rows ----

class Sparse:
    """Row i has elements STARTS[i] .. STARTS[i + 1] of INDICES, which ascend, and VALUES."""

    def __init__(self, starts, indices, values, dim):
        self.starts, self.indices, self.values = starts, indices, values
        self.shape = len(starts) - 1, dim

    def __len__(self):
        return self.shape[0]

    def lengths(self):
        return numpy.diff(self.starts)

    def owners(self):
        """The row of every element."""
        return numpy.repeat(numpy.arange(len(self)), self.lengths())

    def __getitem__(self, rows):
        """Some of them, as a slice or by number."""
        if isinstance(rows, slice):
            rows = numpy.arange(len(self))[rows]
        lengths = self.lengths()[rows]
        starts = numpy.concatenate([[0], numpy.cumsum(lengths)])
        taken = numpy.arange(starts[-1]) + numpy.repeat(self.starts[rows] - starts[:-1], lengths)
        return Sparse(starts, self.indices[taken], self.values[taken], self.shape[1])

    def row(self, number):
        """(indices, values)"""
        part = slice(self.starts[number], self.starts[number + 1])
        return self.indices[part], self.values[part]

    def dense(self, number):
        """In float64."""
        indices, values = self.row(number)
        full = numpy.zeros(self.shape[1])
        full[indices] = values
        return full

    def tobytes(self):
        return self.starts.tobytes() + self.indices.tobytes() + self.values.tobytes()


def sparse_of(dense):
    rows, indices = numpy.nonzero(dense)
    starts = numpy.searchsorted(rows, numpy.arange(len(dense) + 1))
    return Sparse(starts, indices.astype("i4"), dense[rows, indices].astype("f4"),
                  dense.shape[1])


# ---- into a type ----

def parsed(text, type_, metric):
    """TYPE, METRIC or TYPE_METRIC, as in the names of operator classes; what it does not
    say is as given."""
    said = text.split("_") if text else []
    for word in said:
        if word in METRICS:
            type_ = word
        elif word in OPERATORS:
            metric = word
        else:
            raise SystemExit(f"bench: '{word}' is neither a type nor a metric")
    if metric not in METRICS[type_] and not set(said) & set(OPERATORS):
        metric = METRICS[type_][0]
    if metric not in METRICS[type_]:
        raise SystemExit(f"bench: {type_} has no metric '{metric}'")
    return type_, metric


def converted(type_, base, queries):
    """Both as rows of that type."""
    if isinstance(base, Sparse):
        if type_ != "sparsevec":
            raise SystemExit(f"bench: sparse rows are not made {type_}")
        return base, queries
    if type_ == "bit":
        mean = base[:100000].mean(axis=0, dtype="f8").astype("f4")
        axes = numpy.random.default_rng(SEED).standard_normal((base.shape[1], BITS), "f4")
        return signs(base, mean, axes), signs(queries, mean, axes)
    if type_ == "sparsevec":
        return sparse_of(base), sparse_of(queries)
    # Float32 once: what is that already is not copied, nor read from its file.
    base, queries = (numpy.ascontiguousarray(each, "f4") for each in (base, queries))
    if type_ == "halfvec":
        return base.astype("f2").astype("f4"), queries.astype("f2").astype("f4")
    return base, queries


def signs(rows, mean, axes):
    """On which side of random planes through the mean they lie: 0 or 1."""
    found = numpy.empty((len(rows), axes.shape[1]), "u1")
    for first in range(0, len(rows), STEP):
        found[first:first + STEP] = (rows[first:first + STEP] - mean) @ axes > 0
    return found


# ---- distances ----

def distances(metric, rows, queries, number):
    """Of those rows from that query, in float64: what the operator gives, but squared
    for L2."""
    if isinstance(rows, Sparse):
        return sparse_distances(metric, rows, queries.dense(number))
    far = queries[number].astype("f8")
    if metric in ("l2", "hamming"):
        apart = rows - far
        return numpy.einsum("ij,ij->i", apart, apart)
    if metric == "l1":
        return abs(rows - far).sum(axis=1)
    near = rows.astype("f8")
    inner = numpy.einsum("ij,j->i", near, far)
    if metric == "ip":
        return -inner
    if metric == "jaccard":
        either = near.sum(axis=1) + far.sum() - inner
        return 1 - numpy.divide(inner, either, out=numpy.zeros(len(near)), where=either > 0)
    return 1 - inner / numpy.sqrt((near ** 2).sum(axis=1) * (far ** 2).sum())


def sparse_distances(metric, rows, query):
    owners, far = rows.owners(), query[rows.indices]
    near = rows.values.astype("f8")

    def total(each):
        return numpy.bincount(owners, each, len(rows))

    if metric == "l1":
        return total(abs(near - far) - abs(far)) + abs(query).sum()
    if metric == "l2":
        return total((near - far) ** 2 - far ** 2) + (query ** 2).sum()
    inner = total(near * far)
    if metric == "ip":
        return -inner
    return 1 - inner / numpy.sqrt(total(near ** 2) * (query ** 2).sum())


# ---- exact search ----

def normalised(vectors):
    return vectors / numpy.sqrt((vectors.astype("f8") ** 2).sum(axis=1))[:, None].astype("f4")


def searcher(metric, base, ids, count):
    """A function of queries that gives the ids of the COUNT nearest of the rows IDS, in any
    order. Its arithmetic is float32: the rounding is far smaller than what separates the
    nearest that matter from the last of COUNT."""
    if isinstance(base, Sparse):
        lists = InvertedLists(metric, base[ids])
        return lambda queries: ids[lists.nearest(queries, count)]
    return lambda queries: nearest(metric, base, ids, queries, count)


def nearest(metric, base, ids, queries, count):
    queries = queries.astype("f4", copy=False)
    if metric == "cosine":
        queries = normalised(queries)
    found = numpy.empty((len(queries), 0), "i8")
    near = numpy.empty((len(queries), 0), "f4")
    for start in range(0, len(ids), STEP):
        here_ids = ids[start:start + STEP]
        here = order_of(metric, base[here_ids].astype("f4", copy=False), queries)
        near = numpy.concatenate([near, here], axis=1)
        found = numpy.concatenate([found, numpy.broadcast_to(here_ids, here.shape)], axis=1)
        if near.shape[1] > count:
            kept = numpy.argpartition(near, count, axis=1)[:, :count]
            near = numpy.take_along_axis(near, kept, axis=1)
            found = numpy.take_along_axis(found, kept, axis=1)
    return found


def order_of(metric, block, queries):
    """What orders the rows of the block as their distances do, for each query."""
    if metric == "l1":
        return taxicab(block, queries)
    if metric == "cosine":
        block = normalised(block)
    inner = queries @ block.T
    if metric in ("ip", "cosine"):
        return -inner
    if metric == "jaccard":
        either = block.sum(axis=1) + queries.sum(axis=1)[:, None] - inner
        return -inner / numpy.maximum(either, 1)
    inner *= -2
    inner += (block * block).sum(axis=1)
    return inner


def taxicab(block, queries):
    found = numpy.empty((len(queries), len(block)), "f4")
    ones = numpy.ones(block.shape[1], "f4")
    for first in range(0, len(block), TILE):
        tile = block[first:first + TILE]
        apart = numpy.empty_like(tile)
        for number, query in enumerate(queries):
            numpy.subtract(tile, query, out=apart)
            numpy.abs(apart, out=apart)
            found[number, first:first + TILE] = apart @ ones
    return found


class InvertedLists:
    """Of each dimension the rows that have it: a query meets nothing else."""

    def __init__(self, metric, rows):
        self.metric, self.rows = metric, len(rows)
        order = numpy.argsort(rows.indices, kind="stable")
        self.owners, self.values = rows.owners()[order], rows.values[order].astype("f8")
        counts = numpy.bincount(rows.indices, minlength=rows.shape[1])
        self.starts = numpy.concatenate([[0], numpy.cumsum(counts)])
        self.squares = numpy.bincount(self.owners, self.values ** 2, self.rows)
        self.sums = numpy.bincount(self.owners, abs(self.values), self.rows)

    def nearest(self, queries, count):
        found = [self.nearest_to(*queries.row(number), count) for number in range(len(queries))]
        return numpy.array(found)

    def nearest_to(self, indices, values, count):
        shared = numpy.zeros(self.rows)
        for index, far in zip(indices, values.astype("f8")):
            part = slice(self.starts[index], self.starts[index + 1])
            near = self.values[part]
            shared[self.owners[part]] += near * far if self.metric != "l1" \
                else abs(near) + abs(far) - abs(near - far)
        order = {"l1": lambda: self.sums - shared, "ip": lambda: -shared,
                 "l2": lambda: self.squares - 2 * shared,
                 "cosine": lambda: -shared / numpy.sqrt(self.squares)}[self.metric]()
        if count >= self.rows:
            return numpy.arange(self.rows)
        return numpy.argpartition(order, count)[:count]


# ---- what a server reads ----

def wire(type_, rows):
    """What the type's receive function takes: an array of shape (rows, bytes), of
    sparsevec a list of bytes."""
    if type_ == "sparsevec":
        return [sparse_wire(*rows.row(number), rows.shape[1]) for number in range(len(rows))]
    if type_ == "bit":
        head = struct.pack(">i", rows.shape[1])
        body = numpy.packbits(rows, axis=1)
    else:
        head = struct.pack(">hh", rows.shape[1], 0)
        body = rows.astype(">f4" if type_ == "vector" else ">f2").view("u1")
    found = numpy.empty((len(rows), len(head) + body.shape[1]), "u1")
    found[:, :len(head)] = numpy.frombuffer(head, "u1")
    found[:, len(head):] = body
    return found


def sparse_wire(indices, values, dim):
    return (struct.pack(">iii", dim, len(indices), 0) + indices.astype(">i4").tobytes()
            + values.astype(">f4").tobytes())


def text(type_, rows, number):
    """The literal of a row."""
    if type_ == "bit":
        return "".join(map(str, rows[number]))
    if type_ == "sparsevec":
        pairs = (f"{index + 1}:{float(value)!r}" for index, value in zip(*rows.row(number)))
        return "{" + ",".join(pairs) + f"}}/{rows.shape[1]}"
    return "[" + ",".join(repr(float(value)) for value in rows[number]) + "]"


def copy_rows(ids, messages, labels=None):
    """Rows of (id, value) or (id, value, label) in COPY's binary format, from what wire()
    made. Filled in by column: a loop in Python takes longer than the server does."""
    fields = 2 if labels is None else 3
    if isinstance(messages, list):
        tails = [b""] * len(ids) if labels is None \
            else [struct.pack(">ii", 4, label) for label in labels]
        return b"".join(struct.pack(">hiii", fields, 4, id_, len(message)) + message + tail
                        for id_, message, tail in zip(ids, messages, tails))
    columns = [("fields", ">i2"), ("id_bytes", ">i4"), ("id", ">i4"), ("length", ">i4"),
               ("value", "u1", (messages.shape[1],))]
    if labels is not None:
        columns += [("label_bytes", ">i4"), ("label", ">i4")]
    rows = numpy.empty(len(messages), dtype=columns)
    rows["fields"], rows["id_bytes"], rows["id"] = fields, 4, ids
    rows["length"], rows["value"] = messages.shape[1], messages
    if labels is not None:
        rows["label_bytes"], rows["label"] = 4, labels
    return rows.tobytes()


def write_messages(path, type_, rows):
    """What query_client.cpp reads: how many, then of each its bytes' count and bytes."""
    with open(path, "wb") as file:
        file.write(struct.pack("=I", len(rows)))
        for first in range(0, len(rows), STEP):
            messages = wire(type_, rows[first:first + STEP])
            if isinstance(messages, list):
                file.write(b"".join(struct.pack("=I", len(each)) + each for each in messages))
                continue
            some = numpy.empty(len(messages), [("length", "=u4"),
                                               ("value", "u1", (messages.shape[1],))])
            some["length"], some["value"] = messages.shape[1], messages
            some.tofile(file)

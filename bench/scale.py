#!/usr/bin/python3
"""The mode scale: what a row costs, and what that says of a thousand million of them.

usage: scale.py RESULTS.json    the tables again, from what `bench.py scale` wrote

The model is made from builds of up to FIT_ROWS rows. Larger ones that were measured as
well check it.
"""

import json
import math
import pathlib
import re
import statistics
import sys

import numpy

from measure import at_default, build_one, fault
from modes import close_all
from systems import make_systems
from tables import head, row, times
from terminal import progress, say
from writes import timed, wal_position

FIT_ROWS = 400000
MEMORY_ROWS = 100000  # at most, of the build whose NOTICE tells what memory it wanted
SMALL_MEMORY = "16MB"
INSERTED = 1000
QUERIES = 200
MILLIONS = (1, 10, 100, 1000)

PAGE = 8192
# A level is kept with probability 1/32 (src/README): so many records are there of a row.
RECORDS = 1 + 1 / 31
# An address has 32 bits, 6 of them for the place in a page (src/store/layout.h).
LARGEST_INDEX = PAGE << 26


# ---- measuring ----

def scale(run):
    """Of the first system: builds of several sizes, each with its WAL, memory, searches
    and, where rows are left for it, insertion."""
    for data_set, result in run.data_sets():
        data_set.queries = data_set.queries[:QUERIES]
        result["sizes"] = []
        for rows in progress(run.row_counts(data_set), "sizes"):
            result["sizes"].append(one_size(run, data_set, rows))
            run.save()
    return list(tables(run.results))


def one_size(run, data_set, rows):
    everyone = make_systems(run.options)[:1]
    found = {"rows": rows, "system": everyone[0].name}
    some = data_set.first(rows)
    try:
        with fault(f"{found['system']}, {rows} rows", found):
            system, = everyone
            found.update(system.open(some))
            for number in range(run.options.builds if rows <= FIT_ROWS else 1):
                before = wal_position(system)
                build_one(system, found)
                if number == 0:
                    found["build_wal"] = wal_position(system) - before
            found["seconds"] = statistics.median(each["seconds"] for each in found["builds"])
            found["index_bytes"] = found["builds"][-1]["index_bytes"]
            found["stats"] = stats(system)
            system.warm()
            found["queries"] = at_default(system, len(some.queries))
            say(f"  {rows} rows: recall@10 {found['queries']['recall_10']:.4f}, p50 "
                f"{found['queries']['p50_us']:.0f} us")
            if rows <= FIT_ROWS and rows + 2 * INSERTED <= data_set.rows:
                found["inserted"] = insertion(run, system, data_set, rows)
            if rows <= MEMORY_ROWS:
                found["memory_bytes"] = memory(system)
    finally:
        close_all(everyone)
    return found


def stats(system):
    if system.kind != "omendb":
        return {}
    return dict(system.connection.execute(
        "SELECT name, value FROM omen_hnsw_stats('items_embedding_idx')").fetchall())


def insertion(run, system, data_set, rows):
    """Bytes of WAL of an inserted row: after a checkpoint, which makes each page that is
    touched a full image once, and without such images."""
    system.data_set = data_set
    system.connection.execute("CHECKPOINT")
    first, second = (numpy.arange(rows + number * INSERTED, rows + (number + 1) * INSERTED)
                     for number in range(2))
    images = copied(system, first)
    run.server.set("full_page_writes", "off")
    alone = copied(system, second)
    run.server.set("full_page_writes", "on")
    return {"rows": INSERTED, "wal_with_images": images / INSERTED,
            "wal_without": alone / INSERTED}


def copied(system, ids):
    before = wal_position(system)
    system.copy("items", ids)
    return wal_position(system) - before


def memory(system):
    """What a build says it wanted when it has far less; None if it says nothing."""
    hints = []
    system.connection.add_notice_handler(
        lambda notice: hints.append(notice.message_hint or ""))
    system.set("maintenance_work_mem", SMALL_MEMORY)
    indexed, = system.connection.execute("SELECT count(*) FROM items").fetchone()
    timed(system, "DROP INDEX items_embedding_idx")
    system.build(1)
    found = [re.search(r"to (\d+) MB", hint) for hint in hints]
    wanted = [int(match.group(1)) << 20 for match in found if match]
    # Of so many rows: those that were inserted above are among them.
    return wanted[0] / indexed if wanted else None


# ---- the model ----

def fitted(result):
    return [size for size in result["sizes"] if "error" not in size
            and (size["rows"] <= FIT_ROWS or size is result["sizes"][0])]


def exponent_of(results):
    """Of the rows, in the time of a build: least squares over the data set that has most
    sizes; None if none has two."""
    sizes = max((fitted(result) for result in results["data_sets"]), key=len)
    if len(sizes) < 2:
        return None
    return float(numpy.polyfit(numpy.log([size["rows"] for size in sizes]),
                               numpy.log([size["seconds"] for size in sizes]), 1)[0])


class Model:
    """Of the rows of one data set."""

    def __init__(self, result, exponent):
        last = fitted(result)[-1]
        self.dim, self.exponent = result["dim"], exponent or 1
        self.rows, self.measured = last["rows"], last["seconds"]
        # By arithmetic where the index says its shape, else what was measured.
        slots = int(last["stats"].get("slots_per_page", 0))
        self.index_row = PAGE / slots * RECORDS if slots else last["index_bytes"] / last["rows"]
        self.slots = slots
        self.table_row = last["table_bytes"] / last["rows"]
        self.wal_row = self.index_row * last["build_wal"] / last["index_bytes"]
        self.memory_row = next((size["memory_bytes"] for size in reversed(fitted(result))
                                if size.get("memory_bytes")), None)
        self.inserted = next((size["inserted"] for size in reversed(fitted(result))
                              if "inserted" in size), None)

    def partitions(self, rows):
        return math.ceil(rows * self.index_row / LARGEST_INDEX)

    def seconds(self, rows):
        """Of all partitions, one after the other."""
        parts = self.partitions(rows)
        return parts * self.measured * (rows / parts / self.rows) ** self.exponent


# ---- tables ----

def tables(results):
    exponent = exponent_of(results)
    models = [Model(result, exponent) for result in results["data_sets"] if fitted(result)]
    yield (f"Build time grows with the power {exponent:.3f} of the rows up to "
           f"{FIT_ROWS}." if exponent else "One size only: build time taken to be linear.")
    yield ""
    yield from constants(models)
    yield ""
    yield from predictions(models)
    yield ""
    yield from checks(results, exponent)


def amount(value, form=".0f"):
    return "-" if value is None else format(value, form)


def constants(models):
    yield from head("dimensions", "records a page", "index bytes a row", "table bytes a row",
                    "WAL bytes a row built", "inserted, with full-page images", "without",
                    "build memory, bytes a row", "build us a row", "of rows")
    for model in models:
        inserted = model.inserted or {}
        yield row(model.dim, model.slots or "-", f"{model.index_row:.0f}",
                  f"{model.table_row:.0f}", f"{model.wal_row:.0f}",
                  amount(inserted.get("wal_with_images")), amount(inserted.get("wal_without")),
                  amount(model.memory_row), f"{model.measured / model.rows * 1e6:.1f}",
                  model.rows)


def predictions(models):
    yield from head("million rows", "dimensions", "index GB", "table GB", "WAL of the build GB",
                    "build memory GB", "build hours", "indexes")
    for millions in MILLIONS:
        rows = millions * 1000000
        for model in models:
            parts = model.partitions(rows)
            # One after the other: the memory of one.
            wanted = None if model.memory_row is None else rows / parts * model.memory_row / 1e9
            yield row(millions, model.dim, f"{rows * model.index_row / 1e9:.1f}",
                      f"{rows * model.table_row / 1e9:.1f}",
                      f"{rows * model.wal_row / 1e9:.1f}", amount(wanted, ".1f"),
                      f"{model.seconds(rows) / 3600:.2f}", parts)


def checks(results, exponent):
    """Every size that was measured: measured, and as a multiple of what the model says."""
    yield from head("rows", "dimensions", "in the model", "index bytes a row", "of the model's",
                    "build s", "of the model's", "WAL bytes a row built", "of the model's",
                    "recall@10", "p50 us", "p99 us")
    for result in results["data_sets"]:
        if not fitted(result):
            continue
        model = Model(result, exponent)
        for size in result["sizes"]:
            rows = size["rows"]
            if "error" in size:
                yield row(rows, result["dim"], f"failed: {size['error']}")
                continue
            index_row, wal_row = size["index_bytes"] / rows, size["build_wal"] / rows
            queries = size["queries"]
            yield row(rows, result["dim"], "yes" if size in fitted(result) else "no",
                      f"{index_row:.0f}", times(index_row, model.index_row),
                      f"{size['seconds']:.1f}", times(size["seconds"], model.seconds(rows)),
                      f"{wal_row:.0f}", times(wal_row, model.wal_row),
                      f"{queries['recall_10']:.4f}", f"{queries['p50_us']:.0f}",
                      f"{queries['p99_us']:.0f}")


RUNS = {"scale": scale}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    print("\n".join(tables(json.loads(pathlib.Path(sys.argv[1]).read_text()))))

"""What bench.py can be asked for: each mode runs it, fills in run.results (which is
written after each step, so that an interrupted run leaves something), and returns
the lines to be printed at the end."""

import dataclasses
import statistics

import numpy

import datasets
import tables
from measure import (ENOUGH, MARGIN, TARGETS, at_default, build_all, build_one, build_seconds,
                     dropped_on_error, fault, open_all, query_all)
from server import drop_page_cache
from systems import make_systems
from terminal import say

MEGABYTE = 1 << 20


@dataclasses.dataclass
class Run:
    options: object
    server: object
    results: dict
    save: object

    def data_sets(self, rows=None):
        """Each that was asked for, of so many rows, and a place for its results."""
        self.results["data_sets"] = []
        rows = rows or max(self.options.rows, default=None)
        for name in self.options.data_sets:
            data_set = datasets.load(name, self.options, rows)
            say(f"\n== {data_set.name}: {data_set.rows} x {data_set.dim}, {data_set.type}, "
                f"{data_set.metric}, {len(data_set.queries)} queries")
            result = {"name": data_set.name, "rows": data_set.rows, "dim": data_set.dim,
                      "type": data_set.type, "metric": data_set.metric}
            self.results["data_sets"].append(result)
            yield data_set, result
            self.save()

    def row_counts(self, data_set):
        """Those asked for, as far as there are rows; the last stands for all."""
        return sorted({min(rows, data_set.rows) for rows in self.options.rows})


def close_all(systems):
    for system in systems:
        system.close()


# ---- compare, shapes ----

def compare_one(run, data_set, result, ks, enough=ENOUGH):
    everyone = make_systems(run.options)
    systems = list(everyone)
    results = result["systems"] = {system.name: {"points": []} for system in systems}
    try:
        open_all(systems, results, data_set)
        build_all(systems, results, run.options.builds)
        query_all(systems, results, run.options, ks, enough)
        if systems:
            result["intrinsic"] = data_set.intrinsic
    finally:
        close_all(everyone)


def compare(run):
    """Build, then queries/s against recall: every system, each data set."""
    for data_set, result in run.data_sets():
        compare_one(run, data_set, result, (10, 100))
    return [line for result in run.results["data_sets"] for line in tables.comparison(result)]


def shapes(run):
    """The same with several sets of storage parameters, over several dimensions."""
    for data_set, result in run.data_sets():
        compare_one(run, data_set, result, (10,))
    return list(tables.shapes(run.results["data_sets"]))


def types(run):
    """The same over types and operator classes: what each takes and gives."""
    for data_set, result in run.data_sets():
        compare_one(run, data_set, result, (10,), TARGETS[0] + 2 * MARGIN)
    data_sets = run.results["data_sets"]
    return [*tables.types(data_sets), "", *tables.type_points(data_sets)]


# ---- build ----

def build(run):
    """Builds only: rows by processes by system, as many times as asked for."""
    for data_set, result in run.data_sets():
        result["cases"] = []
        for rows in run.row_counts(data_set):
            build_rows(run, data_set.first(rows), result["cases"])
            run.save()
    return [line for result in run.results["data_sets"]
            for line in [*tables.builds(result), ""]]


def build_rows(run, data_set, cases):
    everyone = make_systems(run.options)
    systems = list(everyone)
    opened = {system.name: {} for system in systems}
    here = {(processes, system.name): {"rows": data_set.rows, "processes": processes,
                                       "system": system.name}
            for processes in run.options.processes for system in systems}
    cases += here.values()
    try:
        open_all(systems, opened, data_set)
        for number in range(run.options.builds):
            shift = number % max(1, len(systems))
            for processes in run.options.processes:
                for system in systems[shift:] + systems[:shift]:
                    case = here[processes, system.name]
                    with fault(system.name, case):
                        build_one(system, case, processes)
    finally:
        close_all(everyone)


# ---- scaling ----

def scaling(run):
    """Growth with the rows: all sizes are built first and then take turns, so that
    a slow minute does not pass for growth."""
    for data_set, result in run.data_sets():
        everyone = []
        for rows in run.row_counts(data_set):
            for system in make_systems(run.options):
                system.label, system.rows = system.name, rows
                system.name += f" {rows}"
                everyone.append(system)
        systems = list(everyone)
        results = {system.name: {} for system in systems}
        try:
            for system in everyone:
                some = [system]
                open_all(some, results, data_set.first(system.rows))
                build_all(some, results, run.options.builds)
                if not some:
                    systems.remove(system)
            # No more recall than the figure needs.
            query_all(systems, results, run.options, (10,), TARGETS[0] + 2 * MARGIN)
        finally:
            close_all(everyone)
        labels = dict.fromkeys(system.label for system in everyone)
        result["growth"] = {label: growth(label, everyone, results) for label in labels}
    return [line for result in run.results["data_sets"]
            for line in [*tables.scaling(result), ""]]


def growth(label, everyone, results):
    by_rows = {system.rows: results[system.name] for system in everyone
               if system.label == label}
    points = {"own_us": [], "build_us": []}
    for rows, result in by_rows.items():
        if "at" not in result:
            continue
        result["build_us"] = build_seconds(result) / rows * 1e6
        points["build_us"].append((rows, result["build_us"]))
        pair = result["at"]["own_us"][str(TARGETS[0])]
        # A bound of a figure says nothing about growth.
        if pair and pair[1]:
            points["own_us"].append((rows, pair[0]))
    start = 100000 if 100000 in by_rows else min(by_rows)
    return {"by_rows": by_rows, "from": start, "to": max(by_rows),
            **{value: fitted(pairs, start, max(by_rows)) for value, pairs in points.items()}}


def fitted(pairs, start, end):
    """The exponent of a power of the rows, least squares of the logarithms, and
    the measured figure at END over that at START."""
    values = dict(pairs)
    if start not in values or end not in values or start == end:
        return None
    slope = numpy.polyfit(*numpy.log(numpy.array(pairs, "f8")).T, 1)[0]
    return {"exponent": float(slope), "ratio": values[end] / values[start]}


# ---- memory ----

def memory(run):
    """Builds whose graph does not fit into maintenance_work_mem, with room for the
    index in shared_buffers and without, beside the build that has room."""
    options = run.options
    for data_set, result in run.data_sets():
        cases = result["cases"] = []
        systems = make_systems(options)
        opened = {system.name: {} for system in systems}
        try:
            open_all(systems, opened, data_set)
            memory_builds(run, systems, cases, options.maintenance_work_mem, False)
            need = index_bytes(cases)
            result["graph_bytes"] = need
            if need is None:
                say("  no index was built, so nobody knows what a part of it is")
                continue
            limit = f"{max(MEGABYTE, int(need * options.fraction)) >> 10}kB"
            for shared in (options.shared_buffers, options.small_shared_buffers):
                restart(run.server, systems, shared_buffers=shared)
                memory_builds(run, systems, cases, limit, True)
                run.save()
            restart(run.server, systems, shared_buffers=options.shared_buffers)
        finally:
            close_all(systems)
    return [line for result in run.results["data_sets"]
            for line in [*tables.memory(result), ""]]


def index_bytes(cases):
    """omendb's if it is there: one limit for all."""
    sizes = {case["system"]: case["builds"][-1]["index_bytes"] for case in cases
             if "builds" in case}
    return sizes.get(tables.leader(sizes), next(iter(sizes.values()), None))


def restart(server, systems, meanwhile=None, **settings):
    for system in systems:
        system.disconnect()
    done = server.restart(meanwhile, **settings)
    for system in systems:
        system.connect()
    return done


def memory_builds(run, systems, cases, limit, limited):
    options = run.options
    here = {}
    for number in range(options.builds):
        for system in systems:
            if number == 0:
                shared, = system.connection.execute("SHOW shared_buffers").fetchone()
                here[system.name] = {"system": system.name, "shared_buffers": shared,
                                     "maintenance_work_mem": limit, "limited": limited}
                cases.append(here[system.name])
            case = here[system.name]
            with fault(f"{system.name}, {limit} of {case['shared_buffers']}", case):
                system.set("maintenance_work_mem", limit)
                system.set("statement_timeout", f"{options.build_timeout}s")
                build_one(system, case)
                case["rate"] = system.data_set.rows / build_seconds(case)
    for system in systems:
        case = here[system.name]
        if "error" not in case:
            with fault(system.name, case):
                system.set("statement_timeout", 0)
                system.warm()
                case["queries"] = at_default(system, len(system.data_set.queries))
                say(f"  {system.name}: recall@10 {case['queries']['recall_10']:.4f}")


# ---- cold ----

def cold(run):
    """The first queries after a restart, from the disk where the page cache may be
    dropped."""
    options = run.options
    for data_set, result in run.data_sets():
        everyone = make_systems(options)
        systems = list(everyone)
        results = result["systems"] = {system.name: {"starts": []} for system in systems}
        count = min(options.queries, len(data_set.queries))
        dropped = []
        try:
            open_all(systems, results, data_set)
            build_all(systems, results, options.builds)
            for number in range(options.starts):
                shift = number % max(1, len(systems))
                for system in systems[shift:] + systems[:shift]:
                    # Each its own: the first to ask would read for the others.
                    dropped.append(restart(run.server, systems, drop_page_cache))
                    with dropped_on_error(system, systems, results):
                        results[system.name]["starts"].append(cold_start(system, count))
        finally:
            close_all(everyone)
        result.update(queries=count, starts=options.starts, page_cache_dropped=all(dropped))
        for each in results.values():
            if "error" not in each:
                each["cold"] = {name: statistics.median(start[name] for start in each["starts"])
                                for name in each["starts"][0]}
    return [line for result in run.results["data_sets"]
            for line in [*tables.cold(result), ""]]


def cold_start(system, count):
    found, seconds, read = system.first_queries(count)
    again = at_default(system, count)
    say(f"  {system.name}: p50 {numpy.median(seconds) * 1e6:.0f} us, mean "
        f"{seconds.mean() * 1e6:.0f} us, {read / count:.1f} buffers read")
    return {"p50_us": float(numpy.median(seconds)) * 1e6,
            "mean_us": float(seconds.mean()) * 1e6, "first_us": float(seconds[0]) * 1e6,
            "slowest_us": float(seconds.max()) * 1e6, "read": read / count,
            "again_us": again["p50_us"], "recall_10": again["recall_10"],
            "found": float(sum(map(len, found)))}


RUNS = {"compare": compare, "build": build, "scaling": scaling, "memory": memory,
        "cold": cold, "shapes": shapes, "types": types}

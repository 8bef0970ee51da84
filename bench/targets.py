"""The mode targets: what the project promises, measured in one run."""

import subprocess

import numpy

import tables
from measure import at_default, build_seconds, fault, judge, open_all
from modes import build_rows, close_all
from options import TOP
from systems import make_systems
from terminal import progress
from workload import SEARCH, pgbench, prepare
from writes import COLUMN, Load, Writer, insert_load

INSERTION = {100: 20000, 1000: 15000, 10000: 25000}  # rows of a batch: vectors/s
RECALL = {1: 0.90, 10: 0.95, 100: 0.98}
RECALL_100_EF = 100
LATENCY_US = 1000
BUILD_MS = 50  # of 1 000 vectors
ROOF = 2  # times the roof's time that a call of a distance kernel may take
ROOF_DIMS = (128, 768, 1536)
ROOF_KERNELS = ("l2_f32", "l2_f32_i8", "l2_f32_f16", "dot_i8", "fastscan", "scan_block 1bit")
SCALING = 0.8  # of each further core's worth


def line(what, target, value, unit, met, note=""):
    return {"what": what, "target": target, "measured": value, "unit": unit,
            "met": bool(met), "note": note}


def targets(run):
    """Of the first system and each data set: target, measured, met or not."""
    more = sum(load.rows * load.turns for load in loads(run.options.builds))
    for data_set, result in run.data_sets(run.options.rows[0] + more):
        result["indexed"] = min(run.options.rows[0], data_set.rows - more)
        if result["indexed"] < max(INSERTION):
            raise SystemExit(f"bench: {data_set.name} has too few rows for {more} more")
        result["targets"] = lines = []
        steps = {"builds": of_builds, "an indexed table": of_table, "kernels": of_kernels}
        for name, step in progress(steps.items(), "targets", len(steps)):
            failure = {}
            with fault(name, failure):
                lines += step(run, data_set, result)
            if failure:
                result.setdefault("failures", []).append(failure)
            run.save()
    return [text for result in run.results["data_sets"]
            for text in [*tables.targets(result), ""]]


def loads(turns):
    """COPYs of every size, some thousand rows of each a turn, and by two backends as many
    rows as the largest."""
    most = max(INSERTION)
    return [*(Load("COPY", batch, max(batch, 2000), turns) for batch in INSERTION),
            Load("COPY", most // 2, most, turns, backends=2)]


# ---- builds ----

def of_builds(run, data_set, result):
    """Builds of as many rows as a batch has, and of all rows by 1, 2, ... processes."""
    cases = result["cases"] = []
    rows = result["indexed"]
    for count in (*INSERTION, rows):
        build_rows(run, data_set.first(count), cases)
    seconds = {(case["rows"], case["processes"]): build_seconds(case) for case in cases
               if "builds" in case}
    failed = [case["error"] for case in cases if "error" in case]
    if failed:
        raise RuntimeError(failed[0])
    most = max(run.options.processes)
    for count, target in INSERTION.items():
        spent, processes = min((seconds[count, each], each) for each in run.options.processes)
        yield line(f"index build of {count} rows", f"> {target}", count / spent, "vectors/s",
                   count / spent > target, f"up to {processes} processes")
    for processes in run.options.processes:
        spent = seconds[rows, processes] / rows * 1e6
        yield line("build of 1000 vectors", f"< {BUILD_MS}", spent, "ms", spent < BUILD_MS,
                   f"of {rows}, {processes} processes")
    if most > 1 and 1 in run.options.processes:
        yield scaled("index build", seconds[rows, 1] / seconds[rows, most], most, "processes")


def scaled(what, ratio, count, name):
    target = 1 + SCALING * (count - 1)
    return line(f"{what} by {count} {name}", f"> {target:.1f}", ratio, "times one",
                ratio > target)


# ---- insertion and search ----

def of_table(run, data_set, result):
    """Insertion into a table of so many indexed rows; recall, time and scaling of
    searches in it, before."""
    rows = result["indexed"]
    everyone = make_systems(run.options)[:1]
    system, = everyone
    results = {system.name: {}}
    live = data_set.subset(numpy.arange(rows))
    try:
        open_all(list(everyone), results, live, columns=COLUMN)
        if "error" in results[system.name]:
            raise RuntimeError(results[system.name]["error"])
        system.build()
        prepare(system, data_set, rows)
        system.warm()
        yield from of_searches(system, live, run.options)
        yield from of_insertion(run, data_set, system, rows)
    finally:
        close_all(everyone)


def of_searches(system, live, options):
    count = len(live.queries)
    found = at_default(system, count)
    system.turn(RECALL_100_EF, 100, 0, count, floor=False)
    hundred, _, _ = system.turn(RECALL_100_EF, 100, 0, count, floor=False)
    recall = {1: found["recall_1"], 10: found["recall_10"],
              100: judge(live, hundred, 100)["recall_100"]}
    for k, target in RECALL.items():
        yield line(f"recall@{k}", f"> {target:.2f}", recall[k], "", recall[k] > target,
                   "default ef_search" if k < 100 else f"ef_search {RECALL_100_EF}")
    yield line("search for 10, p50", f"< {LATENCY_US}", found["p50_us"], "us",
               found["p50_us"] < LATENCY_US, f"recall@10 {found['recall_10']:.4f}")
    yield line("search for 10, p99", f"< {LATENCY_US}", found["p99_us"], "us",
               found["p99_us"] < LATENCY_US, f"recall@10 {found['recall_10']:.4f}")
    one, two = (pgbench(system, SEARCH, clients, 40, options)["rate"] for clients in (1, 2))
    yield scaled("searches", two / one, 2, "clients")


def of_insertion(run, data_set, system, rows):
    first, writer, result = rows, {system.name: Writer(system)}, {"cases": []}
    try:
        for load in loads(run.options.builds):
            insert_load(run, data_set, result, [system], writer, load, first)
            first += load.rows * load.turns
    finally:
        writer[system.name].close()
    for case in result["cases"]:
        if "error" in case:
            raise RuntimeError(case["error"])
        if case["backends"] > 1:
            yield scaled("COPY", case["rate"] / one, case["backends"], "backends")
            continue
        target, one = INSERTION[case["batch"]], case["rate"]
        yield line(f"COPY of {case['batch']} rows into {rows} indexed ones", f"> {target}",
                   case["rate"], "vectors/s", case["rate"] > target, "one backend")


# ---- kernels ----

def of_kernels(_run, _data_set, _result):
    """Of the best instruction set: a call against the roof of the machine."""
    program = TOP / "build" / "unit-bench" / "kernels_bench"
    # What it does not have to make again, make leaves alone.
    for command in (["make", "-s", "-C", TOP / "test" / "unit", "FLAVOUR=bench"],
                    [program, "--roofs"]):
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{command[0]}: status {done.returncode}")
    found = [each.split() for each in done.stdout.splitlines()[2:]]
    for words in found:
        # A name may be of two words; from the right the columns are always there.
        *name, isa, dim, _cycles, _roof, _call, ratio, _alone, _far, _far_ratio = words
        # The best instruction set comes first.
        if " ".join(name) in ROOF_KERNELS and isa == found[0][-9] and int(dim) in ROOF_DIMS:
            yield line(f"kernel {' '.join(name)}, {dim} dimensions", f"< {ROOF}", float(ratio),
                       "times the roof", float(ratio) < ROOF, isa)


RUNS = {"targets": targets}

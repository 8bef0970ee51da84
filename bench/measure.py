"""Queries in turns, what their answers are worth, and figures at equal recall."""

import contextlib
import gc
import os
import statistics

import numpy
import psycopg

from options import MIN_ROUNDS
from systems import DEFAULT_EF, NotTheIndex
from terminal import progress, say

TARGETS = (0.95, 0.99)
DEFAULT_EFS = (4, 7, 10, 15, 20, 30, 40, 60, 100, 200, 400, 800)
ENOUGH = 0.995  # recall of the last ef worth timing, unless they are given
DEFAULT_SEARCH = 40  # ef_search of both extensions, always among them
MARGIN = 0.01  # that the recall of the few queries of a warm-up may be off
WARM_UP = 300  # untimed queries of each system at each ef
INTERPOLATED = ("qps", "own_us", "p50_us", "index_accesses", "heap_rows")


@contextlib.contextmanager
def fault(who, result, systems=None, system=None):
    """An error ends one thing (of one system, which then leaves the others), not
    the run."""
    try:
        yield
    except (psycopg.Error, RuntimeError, BrokenPipeError) as error:
        text = str(error).split("\n", maxsplit=1)[0]
        say(f"  {who} FAILED: {text}")
        result["error"] = text
        if systems is not None:
            systems.remove(system)


def dropped_on_error(system, systems, results):
    return fault(system.name, results[system.name], systems, system)


# ---- judging answers ----

def judge(data_set, found, k):
    """What share of the nearest 1 and k were found, and what no index may do:
    fewer rows than asked for, a row twice, rows out of order, rows that the
    question excludes."""
    hits_1 = hits_k = short = twice = disordered = wrong = 0
    limit = min(k, data_set.rows)
    for query, ids in enumerate(found):
        distances = data_set.distances(ids, query)
        # Right is whatever is as near as the k-th; the margin is float64's rounding.
        limits = data_set.limits[query]
        limits = limits + abs(limits) * 1e-12 + 1e-13
        hits_1 += int((distances[:1] <= limits[0]).sum())
        # A row given twice is found once.
        _, once = numpy.unique(ids, return_index=True)
        hits_k += int((distances[once] <= limits[k - 1]).sum())
        short += len(ids) < limit
        wrong += not numpy.isin(ids, data_set.ids).all() if data_set.is_subset() else 0
        twice += len(once) < len(ids)
        # The operators work in float32.
        slack = 1e-6 * (1 if data_set.metric == "cosine" else abs(distances[:-1]))
        disordered += bool((distances[1:] < distances[:-1] - slack).any())
    n = len(found)
    return {"recall_1": hits_1 / n, f"recall_{k}": hits_k / (n * limit), "short": short,
            "twice": twice, "disordered": disordered, "wrong": wrong,
            "rows": sum(map(len, found)) / n}


def speed(rounds):
    """Medians over rounds; own is a query's median less a one-row SELECT's."""
    rates = [len(seconds) / sum(seconds) for seconds, _ in rounds]
    selects = [numpy.median(select) for _, select in rounds]
    own = [numpy.median(seconds) - select for (seconds, _), select in zip(rounds, selects)]
    every = numpy.concatenate([seconds for seconds, _ in rounds]) * 1e6
    figures = {
        "queries": len(every), "rounds": len(rounds),
        "qps": statistics.median(rates), "qps_min": min(rates), "qps_max": max(rates),
        "p50_us": numpy.percentile(every, 50), "p99_us": numpy.percentile(every, 99),
        "own_us": statistics.median(own) * 1e6,
        "own_min_us": min(own) * 1e6, "own_max_us": max(own) * 1e6,
        "select_us": statistics.median(selects) * 1e6,
    }
    return {name: float(value) if isinstance(value, float) else value
            for name, value in figures.items()}


def interpolated(points, recall, value):
    """VALUE where recall is reached, between the two points around it, its
    logarithm linear in recall; (number, exact) where exact is False if even the
    lowest ef has more recall; None if no ef has that much. Points that lack rows
    answer another question."""
    points = [point for point in points
              if point["k"] == 10 and not point["short"] and value in point]
    for i, after in enumerate(points):
        if after["recall_10"] < recall:
            continue
        if i == 0:
            return after[value], after["recall_10"] == recall
        before = points[i - 1]
        part = (recall - before["recall_10"]) / (after["recall_10"] - before["recall_10"])
        low, high = (max(point[value], 1e-3) for point in (before, after))
        return low ** (1 - part) * high ** part, True
    return None


def at_targets(points):
    return {value: {str(target): interpolated(points, target, value) for target in TARGETS}
            for value in INTERPOLATED}


# ---- building ----

def open_all(systems, results, data_set, **how):
    for system in list(systems):
        with dropped_on_error(system, systems, results):
            results[system.name].update(system.open(data_set, **how))


def build_one(system, result, processes=None):
    built = system.build(processes)
    result.setdefault("builds", []).append({**built, "load_average": os.getloadavg()[0]})
    rows = built.get("rows", system.data_set.rows)
    say(f"  {system.name}: {rows} rows built in {built['seconds']:.1f} s, "
        f"{built['processes']} processes")
    return built


def build_all(systems, results, builds):
    """Every system in turn, as many times as asked for; the last index stays."""
    for _ in range(builds):
        for system in list(systems):
            with dropped_on_error(system, systems, results):
                build_one(system, results[system.name])


def build_seconds(result):
    return statistics.median(build["seconds"] for build in result["builds"])


# ---- querying ----

def warm_up(system, k, efs, enough):
    """Untimed queries at each ef, lowest first, so that no ef pays for what all of
    them need: pages mapped, caches filled, plans settled. Returns the ef worth
    timing: up to ENOUGH recall and, of those below k, what 0.95 lies above.
    Without ENOUGH all are worth it."""
    tried = []
    for ef in efs:
        count = min(WARM_UP, len(system.data_set.queries))
        found, _, _ = system.turn(ef, k, 0, count, floor=False)
        judged = judge(system.data_set, found, k)
        # pgvector returns no more rows than ef.
        if not enough or ef >= k or not judged["short"]:
            tried.append((ef, judged[f"recall_{k}"]))
        if enough and judged[f"recall_{k}"] >= enough and ef >= DEFAULT_SEARCH:
            break
    while enough and len(tried) > 1 and tried[0][0] < k and \
            tried[1][1] < TARGETS[0] - MARGIN:
        tried.pop(0)
    return [ef for ef, _ in tried]


def plan(system, ks, given, enough):
    """The (k, ef) to be timed, and what is counted at each instead of timed. EF
    that were asked for are all timed, but none from where the planner would rather
    sort the table: few rows, many lists."""
    points = {}
    for k in ks:
        efs = given or system.efs(DEFAULT_EFS)
        most = system.most_ef()
        efs = [ef for ef in efs if system.least_ef(k) <= ef and (most is None or ef <= most)]
        say(f"  {system.name}: warming up, LIMIT {k}")
        for ef in warm_up(system, k, efs, None if given else enough):
            try:
                counted = system.accesses(ef) if k == 10 else {}
                system.check(k, ef)
            except NotTheIndex as error:
                if not points:
                    raise
                say(f"  {error}, from ef {ef} with LIMIT {k}")
                break
            points[k, ef] = counted
    return points


def rounds_of(systems, plans, options, results):
    """Each round goes over all ef, and at each the systems that have it take turns:
    what else the machine does then meets figures that are compared later, be
    they of one ef or of several. Yields (system, point, ids, seconds, floor)."""
    spent = {}
    points = sorted({point for each in plans.values() for point in each})
    queries = min(len(system.data_set.queries) for system in systems)
    count = min(options.per_round, queries)
    for number in progress(range(min(options.rounds, queries // count)), "rounds"):
        # Pauses of the collector would count as the systems'.
        gc.collect()
        gc.disable()
        for k, ef in points:
            turns = [system for system in systems if (k, ef) in plans[system.name]]
            # Who begins changes, too.
            shift = number % max(1, len(turns))
            for system in turns[shift:] + turns[:shift]:
                key = system.name, k, ef
                if number >= MIN_ROUNDS and spent[key] > options.budget:
                    continue
                with dropped_on_error(system, systems, results):
                    # The system before has filled the processor's caches with its own.
                    system.turn(ef, k, (number + 1) * count % queries, min(30, count))
                    ids, seconds, floor = system.turn(ef, k, number * count, count)
                    spent[key] = spent.get(key, 0) + seconds.sum()
                    yield system, (k, ef), ids, seconds, floor
        gc.enable()


def query_all(systems, results, options, ks=(10, 100), enough=ENOUGH):
    """Fills in the points of every system."""
    plans = {}
    for system in list(systems):
        with dropped_on_error(system, systems, results):
            system.warm()
            plans[system.name] = plan(system, ks, options.ef, enough)
            say(f"  {system.name}: warm, ef "
                + ", ".join(str(ef) for k, ef in plans[system.name] if k == 10))
    found, rounds = {}, {}
    if systems:
        for system, point, ids, seconds, floor in rounds_of(systems, plans, options, results):
            found.setdefault((system.name, point), []).extend(ids)
            rounds.setdefault((system.name, point), []).append((seconds, floor))
    for system in systems:
        points = results[system.name]["points"] = []
        for (k, ef), counted in plans[system.name].items():
            key = system.name, (k, ef)
            points.append({"ef": ef, "k": k, **judge(system.data_set, found[key], k),
                           **speed(rounds[key]), **counted})
        results[system.name]["at"] = at_targets(points)


def at_default(system, count, ef=DEFAULT_EF):
    """Recall and speed at the default ef_search or another, warm."""
    system.turn(ef, 10, 0, count, floor=False)
    ids, seconds, floor = system.turn(ef, 10, 0, count)
    system.check(10, ef)
    return {**judge(system.data_set, ids, 10), **speed([(seconds, floor)])}

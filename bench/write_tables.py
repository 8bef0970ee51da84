"""The tables of the modes that write, as those of tables.py."""

import statistics

from measure import build_seconds
from tables import failed, head, leader, row, soundness, target_table, times, title


# ---- insert ----

def insertion(data_set):
    yield from title(data_set)
    yield f"Into {data_set['indexed']} indexed rows."
    yield ""
    cases = data_set["cases"]
    first = leader(case["system"] for case in cases)
    yield from head("rows before", "statement", "rows in each", "backends", "full-page images",
                    "system", "rows/s", "(min .. max)", "against 1 backend", "omendb is",
                    "p50 ms", "p99 ms", "WAL bytes a row", "less the table's")
    for case in cases:
        begin = [case["before"], case["how"], case["batch"], case["backends"],
                 "on" if case["full_page_writes"] else "off",
                 case["system"] + (", no index" if case["table"] == "plain" else "")]
        if "rate" not in case:
            yield row(*begin, f"failed: {case.get('error', '')}")
            continue
        plain = like(cases, case, "how", "batch", "full_page_writes", "system", table="plain")
        ours = like(cases, case, "before", "table", system=first)
        yield row(*begin, f"{case['rate']:.0f}",
                  f"{case['rate_min']:.0f} .. {case['rate_max']:.0f}",
                  against_one(cases, case),
                  times(ours and ours["rate"], case["rate"])
                  if case["system"] != first and case["table"] == "items" else "",
                  f"{case['p50_ms']:.2f}", f"{case['p99_ms']:.2f}", f"{case['wal_row']:.0f}",
                  f"{case['wal_row'] - plain['wal_row']:.0f}"
                  if plain and case["table"] == "items" else "")
    yield ""
    yield from after(data_set)


def like(cases, case, *same, **other):
    """The case that is the same in these and has those values, if it did not fail."""
    wanted = {**{name: case[name] for name in same}, **other}
    return next((each for each in cases if "rate" in each
                 and all(each[name] == value for name, value in wanted.items())), None)


def against_one(cases, case):
    """Of as many rows a turn, by one backend."""
    one = like(cases, case, "how", "rows", "table", "full_page_writes", "system", backends=1)
    return times(case["rate"], one and one["rate"]) if case["backends"] > 1 else ""


def after(data_set):
    yield from head("system", "rows at the end", "index MB", "recall@10", "faults")
    for name, result in data_set["systems"].items():
        if "queries" not in result:
            yield failed(name, result)
            continue
        yield row(name, result["rows"], f"{result['index_bytes'] / 1e6:.0f}",
                  f"{result['queries']['recall_10']:.4f}", soundness(result))


# ---- inserted ----

def inserted(data_set):
    """Each way against the build of the same rows, at the same ef."""
    yield from title(data_set)
    yield from head("system", "rows/s", "index MB", "faults")
    for name, result in data_set["systems"].items():
        if "rate" not in result:
            yield failed(name, result)
            continue
        yield row(name, f"{result['rate']:.0f}", f"{result['index_bytes'] / 1e6:.0f}",
                  soundness(result))
    yield ""
    yield from target_table(data_set)
    yield ""
    ways = list(dict.fromkeys(result["way"] for result in data_set["systems"].values()))
    yield from head("system", "ef", *(f"recall@10 {way}" for way in ways),
                    *(f"queries/s {way}" for way in ways))
    for label in dict.fromkeys(each["label"] for each in data_set["systems"].values()):
        by_way = {each["way"]: {point["ef"]: point for point in each.get("points", [])}
                  for each in data_set["systems"].values() if each["label"] == label}
        for ef in sorted({ef for points in by_way.values() for ef in points}):
            points = [by_way.get(way, {}).get(ef) for way in ways]
            yield row(label, ef, *(f"{point['recall_10']:.4f}" if point else "-"
                                   for point in points),
                      *(f"{point['qps']:.0f}" if point else "-" for point in points))


# ---- vacuum, churn ----

def beside(point, other, result):
    """Recall, queries/s and faults of a point of RESULT beside a fresh index's."""
    return (f"{point['recall_10']:.4f}", f"{other['recall_10']:.4f}" if other else "-",
            f"{point['qps']:.0f}", f"{other['qps']:.0f}" if other else "-",
            soundness({**result, "points": [point]}))


def against_fresh(data_set):
    yield from head("system", "index MB", "fresh index MB", "ef", "recall@10",
                    "of a fresh build", "queries/s", "of a fresh build", "faults")
    for name, result in data_set["systems"].items():
        if "points" not in result:
            yield failed(name, result)
            continue
        fresh = {point["ef"]: point for point in result["fresh"]}
        for point in result["points"]:
            other = fresh.get(point["ef"])
            yield row(name, f"{result['index_bytes'] / 1e6:.0f}",
                      f"{result['fresh_bytes'] / 1e6:.0f}", point["ef"],
                      *beside(point, other, result))


def vacuum(data_set):
    yield from title(data_set)
    yield from head("deleted", "system", "DELETE s", "VACUUM s", "omendb is", "of its build",
                    "WAL of VACUUM, MB")
    first = leader(data_set["systems"])
    ours = {step["share"]: step for step in
            data_set["systems"].get(first, {}).get("steps", [])}
    steps = [(step, name, result) for name, result in data_set["systems"].items()
             for step in result["steps"]]
    for step, name, result in sorted(steps, key=lambda each: each[0]["number"]):
        other = ours.get(step["share"])
        yield row(step["deleted"], name, f"{step['delete_seconds']:.2f}",
                  f"{step['seconds']:.2f}",
                  times(step["seconds"], other and other["seconds"])
                  if name != first else "", times(step["seconds"], build_seconds(result)),
                  f"{step['wal'] / 1e6:.1f}")
    for name, result in data_set["systems"].items():
        if "error" in result:
            yield failed(name, result)
    yield ""
    yield from against_fresh(data_set)


def thinned(data_set):
    """The points of each share against a fresh index of what it left."""
    yield from title(data_set)
    yield from head("deleted", "system", "VACUUM s", "of its build", "ef", "recall@10",
                    "of a fresh build", "queries/s", "of a fresh build", "faults")
    for case in data_set["cases"]:
        for name, result in case["systems"].items():
            if "points" not in result:
                yield failed(name, result)
                continue
            fresh = {point["ef"]: point for point in result["fresh"]}
            for point in result["points"]:
                other = fresh.get(point["ef"])
                yield row(f"{case['share']:.0%}", name, f"{result['seconds']:.2f}",
                          times(result["seconds"], build_seconds(result)), point["ef"],
                          *beside(point, other, result))


def churn(data_set):
    yield from title(data_set)
    yield f"{data_set['indexed']} rows; in each round a fifth of them."
    yield ""
    yield from head("system", "round", "VACUUM s", "WAL of VACUUM, MB", "rows/s inserted",
                    "index MB", "recall@10")
    for name, result in data_set["systems"].items():
        for number, each in enumerate(result["rounds"], 1):
            yield row(name, number, f"{each['seconds']:.2f}", f"{each['wal'] / 1e6:.1f}",
                      f"{each['insert_rate']:.0f}", f"{each['index_bytes'] / 1e6:.0f}",
                      f"{each['queries']['recall_10']:.4f}")
        if "error" in result:
            yield failed(name, result)
    yield ""
    yield from against_fresh(data_set)


# ---- update ----

def update(data_set):
    yield from title(data_set)
    yield from head("changed", "system", "rows/s", "(min .. max)", "omendb is",
                    "WAL bytes a row")
    first = leader(data_set["systems"])
    ours = {case["what"]: case.get("rate") for case in
            data_set["systems"].get(first, {}).get("cases", [])}
    cases = [(case, name) for name, result in data_set["systems"].items()
             for case in result["cases"]]
    for case, name in sorted(cases, key=lambda each: each[0]["what"]):
        if "rate" not in case:
            yield row(case["what"], name, f"failed: {case.get('error', '')}")
            continue
        rates = [case["rows"] / each["seconds"] for each in case["runs"]]
        wal = statistics.median(each["wal"] for each in case["runs"]) / case["rows"]
        yield row(case["what"], name, f"{case['rate']:.0f}",
                  f"{min(rates):.0f} .. {max(rates):.0f}",
                  times(ours.get(case["what"]), case["rate"]) if name != first else "",
                  f"{wal:.0f}")
    yield ""
    yield from head("system", "VACUUM s", "index MB", "faults")
    for name, result in data_set["systems"].items():
        if "vacuum" not in result:
            yield failed(name, result)
            continue
        yield row(name, f"{result['vacuum']['seconds']:.2f}",
                  f"{result['index_bytes'] / 1e6:.0f}", soundness(result))

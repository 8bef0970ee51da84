"""What bench.py found, as Markdown to be put into README.md."""

from measure import TARGETS, build_seconds


def row(*cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def head(*names):
    yield row(*names)
    yield "|" + "---|" * len(names)


def title(data_set):
    intrinsic = data_set.get("intrinsic")
    yield (f"**{data_set['name']}**, {data_set['rows']} x {data_set['dim']}, "
           f"{data_set['metric']}"
           + (f", local intrinsic dimension {intrinsic:.0f}" if intrinsic else ""))
    yield ""


def figure(pair, form=".0f", first=">="):
    """A figure of interpolated(); marked where it is only a bound."""
    if pair is None:
        return "not reached"
    value, exact = pair
    return ("" if exact else first + " ") + format(value, form)


def quotient(pair, by):
    if pair is None or by is None:
        return "-"
    exact = pair[1] and by[1]
    return ("" if exact else "~") + f"{pair[0] / by[0]:.2f}x"


def times(value, by):
    return f"{value / by:.2f}x" if value and by else "-"


def leader(names):
    """The system that the others are held against: omendb, whatever its storage
    parameters; the first if there are several."""
    return next((name for name in names if name.split(" ")[0] == "omendb"), None)


def failed(name, result):
    return row(name, f"failed: {result.get('error', '')}")


# ---- one data set ----

def comparison(data_set):
    """Every table of one data set."""
    yield from title(data_set)
    for table in (build_table, target_table, ratio_table, point_table):
        yield from table(data_set)
        yield ""


def build_table(data_set):
    yield from head("system", "build s", "vectors/s", "processes", "index MB", "table MB",
                    "load s")
    for name, result in data_set["systems"].items():
        if "builds" not in result:
            yield failed(name, result)
            continue
        seconds, last = build_seconds(result), result["builds"][-1]
        yield row(name, f"{seconds:.1f}", f"{data_set['rows'] / seconds:.0f}",
                  last["processes"], f"{last['index_bytes'] / 1e6:.0f}",
                  f"{result['table_bytes'] / 1e6:.0f}" if "table_bytes" in result else "-",
                  f"{result['load_seconds']:.1f}" if "load_seconds" in result else "-")


def target_table(data_set):
    yield from head("system", "queries/s at 0.95", "at 0.99", "own us at 0.95", "at 0.99",
                    "p50 us at 0.95", "at 0.99", "index accesses at 0.95", "at 0.99",
                    "heap rows at 0.95", "at 0.99")
    for name, result in data_set["systems"].items():
        if "at" not in result:
            yield failed(name, result)
            continue
        cells = []
        for value in ("qps", "own_us", "p50_us", "index_accesses", "heap_rows"):
            known = any(value in point for point in result["points"])
            for target in TARGETS:
                cells.append("-" if not known else figure(
                    result["at"][value][str(target)], ".1f" if value == "heap_rows" else ".0f",
                    ">=" if value == "qps" else "<="))
        yield row(name, *cells)


def ratio_table(data_set):
    """omendb divided by each of the others."""
    yield from head("omendb against", "build rate", "index size", "queries/s at 0.95",
                    "at 0.99", "own time at 0.95", "at 0.99", "p50 at 0.95", "at 0.99",
                    "index accesses at 0.95", "at 0.99")
    first = leader(data_set["systems"])
    ours = data_set["systems"].get(first, {})
    for name, result in data_set["systems"].items():
        if name == first or "at" not in ours or "at" not in result:
            continue
        cells = [times(build_seconds(result), build_seconds(ours)),
                 times(ours["builds"][-1]["index_bytes"], result["builds"][-1]["index_bytes"])]
        for value in ("qps", "own_us", "p50_us", "index_accesses"):
            for target in TARGETS:
                cells.append(quotient(ours["at"][value][str(target)],
                                      result["at"][value][str(target)]))
        yield row(name, *cells)


def point_table(data_set):
    yield from head("system", "ef", "recall@1", "recall@10", "recall@100", "queries/s",
                    "(min .. max)", "p50 us", "p99 us", "own us", "index accesses", "heap rows",
                    "faults")
    for name, result in data_set["systems"].items():
        for ef in sorted({point["ef"] for point in result.get("points", [])}):
            yield point_row(name, ef, {point["k"]: point for point in result["points"]
                                       if point["ef"] == ef})


def point_row(name, ef, of_k):
    """LIMIT 10 and LIMIT 100 each stop at an ef of their own; all but recall@100 is
    of LIMIT 10."""
    hundred = f"{of_k[100]['recall_100']:.4f}" if 100 in of_k else ""
    faults = faults_of(*of_k.values())
    if 10 not in of_k:
        return row(name, ef, "", "", hundred, *[""] * 7, faults)
    point = of_k[10]
    pages = ["-", "-"]
    if "index_accesses" in point:
        pages = [f"{point['index_accesses']:.0f}", f"{point['heap_rows']:.1f}"]
    return row(name, ef, f"{point['recall_1']:.4f}", f"{point['recall_10']:.4f}", hundred,
               f"{point['qps']:.0f}", f"{point['qps_min']:.0f} .. {point['qps_max']:.0f}",
               f"{point['p50_us']:.0f}", f"{point['p99_us']:.0f}", f"{point['own_us']:.0f}",
               *pages, faults)


FAULTS = ("short", "twice", "disordered", "wrong")


def faults_of(*points):
    return ", ".join(f"{point[name]} {name}" for point in points
                     for name in FAULTS if point.get(name))


def soundness(result):
    """Faults of the answers and of the index itself."""
    found = [faults_of(result.get("queries", {}), *result.get("points", []))]
    if result.get("problems"):
        found.append(f"{result['problems']} problems in the index")
    return ", ".join(text for text in found if text)


# ---- several at once ----

def shapes(data_sets):
    """The storage parameters side by side: what they cost, what they give, and each
    against the first omendb, which has none unless asked otherwise."""
    yield from head("data set", "dim", "system", "vectors/s", "index MB", "queries/s at 0.95",
                    "at 0.99", "own us at 0.95", "at 0.99", "index accesses at 0.95", "at 0.99",
                    "own time at 0.95 against omendb", "at 0.99")
    for data_set in data_sets:
        ours = data_set["systems"].get(leader(data_set["systems"]), {}).get("at")
        for name, result in data_set["systems"].items():
            if "at" not in result:
                yield row(data_set["name"], data_set["dim"], name,
                          f"failed: {result.get('error', '')}")
                continue
            cells = [figure(result["at"][value][str(target)],
                            first=">=" if value == "qps" else "<=")
                     for value in ("qps", "own_us", "index_accesses") for target in TARGETS]
            cells += [quotient(result["at"]["own_us"][str(target)],
                               ours["own_us"][str(target)]) if ours else "-"
                      for target in TARGETS]
            yield row(data_set["name"], data_set["dim"], name,
                      f"{data_set['rows'] / build_seconds(result):.0f}",
                      f"{result['builds'][-1]['index_bytes'] / 1e6:.0f}", *cells)


# What omendb's queries/s at recall 0.95 are to be, as multiples of pgvector's; its build is
# to be no slower, its index of these no larger than so many times the other.
WANTED = {("halfvec", "l2"): 3, ("halfvec", "ip"): 3, ("halfvec", "cosine"): 3,
          ("bit", "hamming"): 2}
SIZES = {"bit": 1.1, "sparsevec": 1.1}


def types(data_sets):
    """One line for each type and metric: omendb and each of the others."""
    yield from head("type", "metric", "data", "rows", "intrinsic dim", "against",
                    "build s", "its", "omendb is", "bytes a row", "its", "omendb is",
                    "queries/s at 0.95", "its", "omendb is", "wanted", "not met", "faults")
    for data_set in data_sets:
        first = leader(data_set["systems"])
        ours = data_set["systems"].get(first, {})
        for name in [each for each in data_set["systems"] if each != first] or ["nothing"]:
            yield type_row(data_set, ours, name, data_set["systems"].get(name, {}))


def type_row(data_set, ours, name, theirs):
    space = data_set["type"], data_set["metric"]
    build = [build_seconds(each) if "builds" in each else None for each in (ours, theirs)]
    size = [each["builds"][-1]["index_bytes"] / data_set["rows"] if "builds" in each else None
            for each in (ours, theirs)]
    rate = [each["at"]["qps"]["0.95"] if "at" in each else None for each in (ours, theirs)]
    wanted = WANTED.get(space, 1)
    missed = []
    if all(rate) and rate[0][0] < wanted * rate[1][0] or rate[1] and not rate[0]:
        missed.append("queries/s")
    if all(build) and build[0] > build[1]:
        missed.append("build")
    if all(size) and space[0] in SIZES and size[0] > SIZES[space[0]] * size[1]:
        missed.append("size")
    faults = [f"{who}: {text}" for who, each in (("omendb", ours), (name, theirs))
              for text in (each.get("error"), faults_of(summed(each.get("points", []))))
              if text]
    return row(*space, data_set["name"].split("@")[0], data_set["rows"],
               f"{data_set['intrinsic']:.0f}" if data_set.get("intrinsic") else "-", name,
               *(f"{value:.2f}" if value else "-" for value in build), times(*build[::-1]),
               *(f"{value:.0f}" if value else "-" for value in size), times(*size),
               *(figure(pair) for pair in rate), quotient(*rate),
               f"{wanted}x", ", ".join(missed), ", ".join(faults))


def summed(points):
    """Their faults as those of one."""
    return {name: sum(point[name] for point in points) for name in FAULTS}


def type_points(data_sets):
    """What recall each ef gave."""
    yield from head("type", "metric", "system", "ef", "recall@10", "queries/s", "p50 us",
                    "own us", "index accesses", "heap rows", "faults")
    for data_set in data_sets:
        for name, result in data_set["systems"].items():
            for point in result.get("points", []):
                pages = [format(point[value], ".0f") if value in point else "-"
                         for value in ("index_accesses", "heap_rows")]
                yield row(data_set["type"], data_set["metric"], name, point["ef"],
                          f"{point['recall_10']:.4f}", f"{point['qps']:.0f}",
                          f"{point['p50_us']:.0f}", f"{point['own_us']:.0f}", *pages,
                          faults_of(point))


def builds(data_set):
    """Rates by rows and processes: against the others, and against one process."""
    yield f"**{data_set['name']}**, dim {data_set['dim']}, {data_set['metric']}"
    yield ""
    yield from head("rows", "processes", "system", "build s", "vectors/s", "(min .. max)",
                    "omendb is", "against 1 process", "more processes seen")
    median = {case_key(each): build_seconds(each) for each in data_set["cases"]
              if "builds" in each}
    first = leader(each["system"] for each in data_set["cases"])
    for each in data_set["cases"]:
        key = rows, processes, name = case_key(each)
        if key not in median:
            yield row(*key, f"failed: {each.get('error', '')}")
            continue
        seconds = [build["seconds"] for build in each["builds"]]
        ours = median.get((rows, processes, first))
        yield row(*key, f"{median[key]:.2f}", f"{rows / median[key]:.0f}",
                  f"{rows / max(seconds):.0f} .. {rows / min(seconds):.0f}",
                  times(median[key], ours) if name != first else "",
                  times(median.get((rows, 1, name)), median[key]),
                  each["builds"][-1]["processes"] - 1)


def case_key(case):
    return case["rows"], case["processes"], case["system"]


def scaling(data_set):
    yield f"**{data_set['name']}**, dim {data_set['dim']}, {data_set['metric']}"
    yield ""
    yield from head("system", "rows", "vectors/s", "build us per vector", "queries/s at 0.95",
                    "own us at 0.95", "index accesses at 0.95")
    for kind, growth in data_set["growth"].items():
        for rows, result in growth["by_rows"].items():
            if "at" not in result:
                yield row(kind, rows, f"failed: {result.get('error', '')}")
                continue
            at = result["at"]
            accesses = at["index_accesses"]["0.95"] if kind != "hnswlib" else None
            yield row(kind, rows, f"{1e6 / result['build_us']:.0f}", f"{result['build_us']:.1f}",
                      figure(at["qps"]["0.95"]), figure(at["own_us"]["0.95"], first="<="),
                      figure(accesses, first="<=") if accesses else "-")
    yield ""
    yield from head("system", "from", "to", "own time at 0.95", "exponent",
                    "build time per vector", "exponent")
    for kind, growth in data_set["growth"].items():
        cells = []
        for value in ("own_us", "build_us"):
            fit = growth[value]
            cells += [f"{fit['ratio']:.2f}x", f"{fit['exponent']:.3f}"] if fit else ["-", "-"]
        yield row(kind, growth["from"], growth["to"], *cells)


def memory(data_set):
    yield from title(data_set)
    yield from head("system", "shared_buffers", "maintenance_work_mem", "build s", "vectors/s",
                    "of its rate in memory", "omendb is", "recall@10", "notices", "faults")
    by_case = {(case["shared_buffers"], case["limited"], case["system"]): case
               for case in data_set["cases"]}
    first = leader(case["system"] for case in data_set["cases"])
    for case in data_set["cases"]:
        name, where = case["system"], (case["shared_buffers"], case["limited"])
        begin = [name, case["shared_buffers"], case["maintenance_work_mem"]]
        rate = case.get("rate")
        ours = by_case.get((*where, first), {}).get("rate")
        whole = next((other.get("rate") for other in data_set["cases"]
                      if other["system"] == name and not other["limited"]), None)
        recall = case.get("queries", {}).get("recall_10")
        faults = case.get("error", "") or faults_of(case.get("queries", {}))
        yield row(*begin, f"{data_set['rows'] / rate:.1f}" if rate else "-",
                  f"{rate:.0f}" if rate else "-", times(rate, whole),
                  times(ours, rate) if name != first else "",
                  f"{recall:.4f}" if recall is not None else "-",
                  len(case["builds"][-1]["notices"]) if "builds" in case else "-", faults)


def cold(data_set):
    yield from title(data_set)
    dropped = "dropped" if data_set["page_cache_dropped"] else "NOT dropped"
    yield (f"First {data_set['queries']} queries after a restart, page cache {dropped}, default "
           f"ef_search; medians of {data_set['starts']} starts.")
    yield ""
    yield from head("system", "p50 us", "mean us", "first us", "slowest us", "buffers read",
                    "p50 us when repeated", "recall@10", "omendb is: p50", "mean",
                    "buffers read")
    first = leader(data_set["systems"])
    ours = data_set["systems"].get(first, {}).get("cold")
    for name, result in data_set["systems"].items():
        if "cold" not in result:
            yield failed(name, result)
            continue
        each = result["cold"]
        ratios = [times(ours[value], each[value]) if ours and name != first else ""
                  for value in ("p50_us", "mean_us", "read")]
        yield row(name, f"{each['p50_us']:.0f}", f"{each['mean_us']:.0f}",
                  f"{each['first_us']:.0f}", f"{each['slowest_us']:.0f}", f"{each['read']:.1f}",
                  f"{each['again_us']:.0f}", f"{each['recall_10']:.4f}", *ratios)


def clients(data_set):
    yield from title(data_set)
    yield (f"{data_set['indexed']} rows; pgbench -M prepared, {data_set['seconds']} s each, "
           "scripts of bench/pgbench.")
    yield ""
    yield from head("load", "clients", "system", "transactions/s", "against 1 client",
                    "omendb is", "statement", "statements/s", "p50 us", "p99 us")
    first = leader(data_set["systems"])
    rates = {(name, each["load"], each["clients"]): each["rate"]
             for name, result in data_set["systems"].items() for each in result["runs"]}
    for load, count in dict.fromkeys(key[1:] for key in rates):
        for name, result in data_set["systems"].items():
            for each in result["runs"]:
                if (each["load"], each["clients"]) == (load, count):
                    yield from client_rows(name, each, rates, first)
    for name, result in data_set["systems"].items():
        if "error" in result:
            yield failed(name, result)
    yield ""
    yield from head("system", "ef", "recall@10 before", "after all runs", "after VACUUM",
                    "faults after VACUUM")
    for name, result in data_set["systems"].items():
        recalls = [f"{result[when]['recall_10']:.4f}" if when in result else "-"
                   for when in ("before", "after", "vacuumed")]
        yield row(name, result.get("ef", "-"), *recalls,
                  soundness({**result, "queries": result.get("vacuumed", {})}))


def client_rows(name, each, rates, first):
    """One for each statement of the load."""
    load, count, rate = each["load"], each["clients"], each["rate"]
    begin = [load, count, name, f"{rate:.0f}", times(rate, rates.get((name, load, 1))),
             times(rates.get((first, load, count)), rate) if name != first else ""]
    for statement, found in each["statements"].items():
        spread = [f"{found[p]:.0f}" if p in found else "-" for p in ("p50_us", "p99_us")]
        yield row(*begin, statement, f"{found['rate']:.0f}", *spread)
        begin = [""] * len(begin)


def filtered(data_set):
    yield from title(data_set)
    yield from head("filter", "rows that pass", "system", "ef", "rows returned", "recall@10",
                    "queries/s", "p50 us", "p99 us", "index accesses", "heap rows",
                    "planner would take", "faults")
    for each in data_set["filters"]:
        for name, result in each["systems"].items():
            begin = [each["share"], each["rows"], name]
            if "error" in result or not result["points"]:
                yield row(*begin, f"failed: {result.get('error', '')}")
                continue
            for point in result["points"]:
                yield row(*begin, point["ef"], f"{point['rows']:.2f}",
                          f"{point['recall_10']:.4f}", f"{point['qps']:.0f}",
                          f"{point['p50_us']:.0f}", f"{point['p99_us']:.0f}",
                          f"{point['index_accesses']:.0f}", f"{point['heap_rows']:.1f}",
                          result["plan"], faults_of(point))


def targets(data_set):
    yield from title(data_set)
    yield from head("what", "target", "measured", "unit", "met", "with")
    for each in data_set["targets"]:
        value, unit = each["measured"], each["unit"]
        # Recall has no unit.
        form = ".4f" if not unit else ".2f" if value < 100 else ".0f"
        yield row(each["what"], each["target"], format(value, form), unit,
                  "yes" if each["met"] else "**no**", each["note"])
    for each in data_set.get("failures", []):
        yield row("failed", each["error"])
    yield ""
    met = sum(each["met"] for each in data_set["targets"])
    yield f"{met} of {len(data_set['targets'])} met."

#!/usr/bin/python3
"""One page of result files of bench.py: curves, build rates, sizes, insertion.

usage: report.py RESULTS.json... PAGE.html

Every picture lies inside the page, which needs nothing else. Each file's command,
commit and machine stand above what it showed.
"""

import base64
import html
import io
import itertools
import json
import math
import pathlib
import re
import statistics
import sys

import matplotlib
import numpy

matplotlib.use("Agg")
from matplotlib import pyplot, ticker  # noqa: E402  (the backend comes first)

import plot  # noqa: E402
import scale  # noqa: E402
import tables  # noqa: E402

FAR_APART = 30  # the largest bar over the smallest, from which the axis is logarithmic
STYLE = ("body { font: 15px/1.4 sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em }"
         " img { max-width: 100% } dt { font-weight: bold } dd { margin: 0 0 .3em 0 }"
         " h2 { border-top: 1px solid #ccc; padding-top: 1em } code { font-size: 13px }"
         " table { border-collapse: collapse; font-size: 12px; margin: 1em 0 }"
         " td, th { border: 1px solid #ddd; padding: .2em .4em; text-align: left }")


def said(value):
    """Three digits, or all of a larger number."""
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def counted(number, what):
    """WHAT in the plural."""
    return f"{number:,} {what}" if number != 1 else \
        "1 " + re.sub(r"(?<=ss)es\b|s\b", "", what, count=1)


def groups(axis, values, label, logarithmic=False):
    """Bars side by side; VALUES are {group: {name: value}}. LOGARITHMIC where it must be,
    since such an axis begins anywhere."""
    names = list(dict.fromkeys(name for each in values.values() for name in each))
    painted = plot.colours(names)
    positive = [height for each in values.values() for height in each.values() if height > 0]
    logarithmic = logarithmic and positive and max(positive) > FAR_APART * min(positive)
    # Few bars do not fill the picture.
    width = min(0.8 / max(1, len(names)), 0.1 + 0.05 * len(values))
    for number, name in enumerate(names):
        # What failed leaves a gap.
        places = [place for place, each in enumerate(values.values()) if name in each]
        heights = [each[name] for each in values.values() if name in each]
        drawn = axis.bar([place + width * (number - (len(names) - 1) / 2) for place in places],
                         heights, width * 0.95, label=name, color=painted[name])
        axis.bar_label(drawn, list(map(said, heights)), fontsize=7, padding=1)
    axis.set_xticks(range(len(values)), list(values), fontsize=8)
    axis.set_xlim(-0.6, len(values) - 0.4)
    axis.set_title(label, fontsize=10)
    if logarithmic:
        plot.rate_axis(axis)
    else:
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
    axis.spines[["top", "right"]].set_visible(False)
    # Room for the legend above the bars.
    axis.margins(y=0.3)
    if logarithmic:
        bottom = 10 ** math.floor(math.log10(min(positive)) - 0.1)
        axis.set_ylim(bottom, max(positive) * (max(positive) / bottom) ** 0.3)
    axis.legend(fontsize=8, ncols=3, loc="upper center", frameon=False)


# ---- pictures of one data set ----

def has_curve(data_set):
    return any(point["k"] == 10 for each in data_set.get("systems", {}).values()
               for point in each.get("points", []))


def curve(data_set):
    """Recall against queries/s."""
    if has_curve(data_set):
        figure, axis = pyplot.subplots(figsize=(8, 5.5))
        plot.draw(axis, data_set)
        yield figure


def builds_of(data_set):
    """(name, rows, processes, seconds, bytes) of every index that was built."""
    for name, result in data_set.get("systems", {}).items():
        yield from each_build(name, data_set["rows"], result)
    for case in data_set.get("cases", []):
        if "processes" in case:
            yield from each_build(case["system"], case["rows"], case, case["processes"])
    for label, growth in data_set.get("growth", {}).items():
        for rows, result in growth["by_rows"].items():
            yield from each_build(label, int(rows), result)


def each_build(name, rows, result, processes=None):
    if "builds" in result:
        last = result["builds"][-1]
        yield (name, last.get("rows", rows), processes or last["processes"],
               statistics.median(each["seconds"] for each in result["builds"]),
               last["index_bytes"])


def builds(data_set):
    """Rates, and sizes of the largest."""
    found = list(builds_of(data_set))
    if not found:
        return
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.5))
    rates, sizes = {}, {}
    most = max(rows for _, rows, *_ in found)
    for name, rows, processes, seconds, size in found:
        group = counted(rows, "rows")
        if "cases" in data_set:
            group += "\n" + counted(processes, "processes")
        rates.setdefault(group, {})[name] = rows / seconds
        if rows == most:
            sizes.setdefault(counted(rows, "rows"), {})[name] = size / 1e6
    groups(left, rates, "build, vectors/s")
    groups(right, sizes, "index, MB")
    yield figure


def memory(data_set):
    """Builds beyond maintenance_work_mem."""
    rates = {}
    for case in data_set.get("cases", []):
        if "shared_buffers" in case and "rate" in case:
            group = (f"maintenance_work_mem {case['maintenance_work_mem']}\n"
                     f"shared_buffers {case['shared_buffers']}")
            rates.setdefault(group, {})[case["system"]] = case["rate"]
    yield from one(rates, "build, vectors/s")


def one(values, label, logarithmic=False):
    """A picture of groups, if there are any."""
    if values:
        figure, axis = pyplot.subplots(figsize=(max(6, 2 + 2 * len(values)), 4.2))
        groups(axis, values, label, logarithmic)
        yield figure


def insertion(data_set):
    """Rates and WAL of insert."""
    cases = [case for case in data_set.get("cases", []) if "wal_row" in case]
    rates, wal = {}, {}
    for case in cases:
        if case["table"] == "items" and case["full_page_writes"]:
            group = f"{case['how']}\n{counted(case['batch'], 'rows')}"
            if case["backends"] > 1:
                group += f"\n{case['backends']} backends"
            rates.setdefault(group, {})[case["system"]] = case["rate"]
    # Of the COPY that was done without full-page images, too.
    size = next((case["batch"] for case in cases if not case["full_page_writes"]), None)
    for case in cases:
        if (case["how"], case["batch"], case["backends"]) == ("COPY", size, 1):
            group = ("with" if case["full_page_writes"] else "without") + " full-page images"
            name = case["system"] if case["table"] == "items" else "the table alone"
            wal.setdefault(group, {})[name] = case["wal_row"]
    if rates:
        figure, (left, right) = pyplot.subplots(
            1, 2, figsize=(13, 4.5), gridspec_kw={"width_ratios": (2, 1)})
        groups(left, rates, f"rows/s into {counted(data_set['indexed'], 'indexed rows')}", True)
        groups(right, wal, "bytes of WAL a row", True)
        yield figure


def of_systems(data_set, name):
    """(system, each) of a list that every system has."""
    return [(system, each) for system, result in data_set.get("systems", {}).items()
            for each in result.get(name, [])]


def vacuums(data_set):
    seconds = {}
    for system, step in of_systems(data_set, "steps"):
        seconds.setdefault(counted(step["deleted"], "rows deleted"), {})[system] = \
            step["seconds"]
    yield from one(seconds, "VACUUM, s", True)


def updates(data_set):
    rates = {}
    for system, case in of_systems(data_set, "cases"):
        if "rate" in case:
            rates.setdefault(case["what"], {})[system] = case["rate"]
    yield from one(rates, "UPDATE, rows/s", True)


def first_queries(data_set):
    times = {}
    for system, result in data_set.get("systems", {}).items():
        for name, label in (("p50_us", "p50"), ("mean_us", "mean"), ("again_us", "p50 again")):
            if "cold" in result:
                times.setdefault(label, {})[system] = result["cold"][name]
    yield from one(times, "first queries after a restart, us", True)


def rounds(data_set):
    """Index size and recall over the rounds of churn."""
    systems = {name: each["rounds"] for name, each in data_set.get("systems", {}).items()
               if each.get("rounds")}
    if not systems:
        return
    painted = plot.colours(systems)
    figure, axes = pyplot.subplots(1, 3, figsize=(13, 4))
    for axis, label, value in zip(
            axes, ("index, MB", "recall@10 at the default ef_search", "VACUUM, s"),
            (lambda each: each["index_bytes"] / 1e6, lambda each: each["queries"]["recall_10"],
             lambda each: each["seconds"])):
        for name, each in systems.items():
            axis.plot(range(1, len(each) + 1), [value(one) for one in each], marker="o",
                      label=name, color=painted[name])
        axis.set_title(label, fontsize=10)
        axis.set_xlabel("round")
        axis.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        axis.legend(fontsize=8)
    axes[0].set_ylim(bottom=0)
    axes[2].set_ylim(bottom=0)
    yield figure


def several_clients(data_set):
    """Rates of clients."""
    rates = {}
    for name, each in data_set.get("systems", {}).items():
        for one in each.get("runs", []):
            if "clients" in one:
                rates.setdefault(one["load"], {}).setdefault(str(one["clients"]), {})[name] = \
                    one["rate"]
    if rates:
        figure, axes = pyplot.subplots(1, len(rates), figsize=(6 * len(rates), 4.2),
                                       squeeze=False)
        for axis, (load, each) in zip(axes[0], rates.items()):
            groups(axis, each, f"{load}: transactions/s by clients")
        yield figure


def conditions(data_set):
    """Rows and recall of filtered."""
    found = data_set.get("filters", [])
    rows, recall = {}, {}
    for each in found:
        for name, result in each["systems"].items():
            if result["points"]:
                point = result["points"][-1]
                rows.setdefault(each["share"], {})[name] = point["rows"]
                recall.setdefault(each["share"], {})[name] = point["recall_10"]
    if rows:
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(13, 4.2))
        groups(left, rows, "rows returned of LIMIT 10, by rows that pass")
        groups(right, recall, "recall@10 among them")
        yield figure


PICTURES = (curve, builds, memory, insertion, rounds, several_clients, conditions, vacuums,
            updates, first_queries)
# What a mode is about; where nothing is said, everything that there is.
OF_MODE = {"insert": (insertion,), "clients": (several_clients,), "filtered": (conditions,),
           "update": (updates,), "vacuum": (vacuums,), "churn": (rounds,), "memory": (memory,),
           "cold": (first_queries,), "inserted": (curve,), "types": (), "scale": (),
           "targets": (), "thinned": ()}


# ---- of all data sets of a file ----

def grid(data_sets):
    """Their curves side by side."""
    drawn = [data_set for data_set in data_sets if has_curve(data_set)]
    if not drawn:
        return
    rows = -(-len(drawn) // 3)
    figure, axes = pyplot.subplots(rows, 3, figsize=(15, 4 * rows), squeeze=False)
    for axis in axes.flat[len(drawn):]:
        axis.set_axis_off()
    for axis, data_set in zip(axes.flat, drawn):
        plot.draw(axis, data_set)
    yield figure


def types(data_sets):
    """Speed, build rate and size of every type and metric."""
    speed, built, size = {}, {}, {}
    for data_set in data_sets:
        group = f"{data_set['type']}\n{data_set['metric']}"
        for name, result in data_set["systems"].items():
            rate = result.get("at", {}).get("qps", {}).get("0.95")
            if rate:
                speed.setdefault(group, {})[name] = rate[0]
            for _, rows, _, seconds, size_bytes in each_build(name, data_set["rows"], result):
                built.setdefault(group, {})[name] = rows / seconds
                size.setdefault(group, {})[name] = size_bytes / rows
    if built:
        figure, axes = pyplot.subplots(3, 1, figsize=(13, 12))
        for axis, values, label in zip(axes, (speed, built, size), (
                "queries/s at recall@10 0.95 (or at what more the lowest ef_search gave)",
                "build, vectors/s", "index, bytes a row")):
            groups(axis, values, label, True)
        yield figure
    yield from grid(data_sets)


def growth(data_sets):
    """Build time and index size of scale, with the model's lines."""
    results = {"data_sets": data_sets}
    exponent = scale.exponent_of(results)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(13, 4.8))
    least = min(size["rows"] for result in data_sets for size in result["sizes"])
    rows = numpy.logspace(math.log10(least), 9, 100)
    for number, result in enumerate(data_sets):
        if not scale.fitted(result):
            continue
        model, colour = scale.Model(result, exponent), f"C{number}"
        done = [size for size in result["sizes"] if "error" not in size]
        left.plot(rows, [model.seconds(each) for each in rows], color=colour, linewidth=1)
        right.plot(rows, rows * model.index_row / 1e9, color=colour, linewidth=1)
        for axis, values in ((left, [size["seconds"] for size in done]),
                             (right, [size["index_bytes"] / 1e9 for size in done])):
            axis.plot([size["rows"] for size in done], values, "o", markersize=5, color=colour,
                      label=f"{result['dim']} dimensions")
    right.axhline(scale.LARGEST_INDEX / 1e9, color="black", linewidth=0.5, linestyle="--")
    right.annotate("the largest index", (least, scale.LARGEST_INDEX / 1e9), fontsize=8,
                   textcoords="offset points", xytext=(0, 3))
    for axis, label in ((left, "build, s"), (right, "index, GB")):
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_title(label + " (points: measured, lines: the model)", fontsize=10)
        axis.set_xlabel("rows")
        axis.grid(True, linewidth=0.3)
        axis.legend(fontsize=8)
    yield figure


OF_ALL = {"types": types, "scale": growth}


# ---- the page ----

def embedded(figure):
    figure.tight_layout()
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    pyplot.close(figure)
    return f'<p><img src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"></p>'


def section(results):
    """What a result file says of itself, and its pictures."""
    yield f"<h2>{html.escape(results['mode'])}</h2>\n<dl>"
    versions = results["versions"]
    said = {"command": f"<code>{html.escape(results['command'])}</code>",
            "commit": html.escape(f"{results['commit']}, {results['date']}"),
            "machine": html.escape(results["machine"]),
            "versions": html.escape(f"{versions['server'].split(' on ')[0]}, "
                                    f"extensions {versions['extensions']}"),
            "settings": html.escape(", ".join(f"{name} {value}" for name, value
                                              in results["settings"].items()))}
    yield from (f"<dt>{name}</dt><dd>{text}</dd>" for name, text in said.items())
    yield "</dl>"
    if results["mode"] in OF_ALL:
        yield from map(embedded, OF_ALL[results["mode"]](results["data_sets"]))
    for lines in tables_of(results):
        yield from html_table(lines)
    for data_set in results["data_sets"]:
        pictures = [picture for draw in OF_MODE.get(results["mode"], PICTURES)
                    for picture in draw(data_set)]
        if pictures:
            yield f"<h3>{html.escape(plot.title(data_set))}</h3>"
            yield from map(embedded, pictures)


def tables_of(results):
    """The tables of modes that are about figures more than about pictures, each as its
    lines of Markdown."""
    if results["mode"] == "types":
        yield list(tables.types(results["data_sets"]))
    elif results["mode"] == "targets":
        for data_set in results["data_sets"]:
            yield list(tables.targets(data_set))
    elif results["mode"] == "scale":
        for _, lines in itertools.groupby(scale.tables(results), bool):
            yield list(lines)


def html_table(lines):
    """Rows of Markdown as a table, other lines as paragraphs."""
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    yield from (f"<p>{html.escape(line)}</p>" for line in lines
                if line and not line.startswith("|"))
    if cells:
        yield "<table>"
        for number, row in enumerate(cells):
            tag = "td" if number else "th"
            yield "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>"
        yield "</table>"


def main():
    if len(sys.argv) < 3 or not sys.argv[-1].endswith(".html"):
        sys.exit(__doc__.strip())
    files = [json.loads(pathlib.Path(name).read_text()) for name in sys.argv[1:-1]]
    body = "\n".join(text for results in files for text in section(results))
    pathlib.Path(sys.argv[-1]).write_text(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">"
        f"<title>omendb benchmarks</title><style>{STYLE}</style>\n"
        f"<h1>omendb benchmarks</h1>\n{body}\n</html>\n", encoding="ascii",
        errors="xmlcharrefreplace")


if __name__ == "__main__":
    main()

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
import pathlib
import statistics
import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402  (the backend comes first)

import plot  # noqa: E402

STYLE = ("body { font: 15px/1.4 sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em }"
         " img { max-width: 100% } dt { font-weight: bold } dd { margin: 0 0 .3em 0 }"
         " h2 { border-top: 1px solid #ccc; padding-top: 1em } code { font-size: 13px }")


def colours(names):
    """Of each system, the same in all pictures; storage parameters take others."""
    spare = itertools.cycle(("tab:orange", "tab:cyan", "tab:brown", "tab:pink", "black"))
    return {name: plot.COLOURS.get(name) or next(spare) for name in names}


def bars(axis, values, label, form):
    """One bar a system; VALUES are {name: value}."""
    painted = colours(values)
    drawn = axis.bar(list(values), list(values.values()),
                     color=[painted[name] for name in values])
    axis.bar_label(drawn, [format(value, form) for value in values.values()], fontsize=8)
    axis.set_title(label, fontsize=10)
    axis.tick_params(axis="x", labelsize=8, labelrotation=20)
    axis.margins(y=0.15)


def groups(axis, values, label, logarithmic=False):
    """Bars side by side; VALUES are {group: {name: value}}."""
    names = list(dict.fromkeys(name for each in values.values() for name in each))
    painted = colours(names)
    width = 0.8 / max(1, len(names))
    for number, name in enumerate(names):
        # What failed leaves a gap.
        places = [place for place, each in enumerate(values.values()) if name in each]
        heights = [each[name] for each in values.values() if name in each]
        drawn = axis.bar([place + width * (number - (len(names) - 1) / 2) for place in places],
                         heights, width, label=name, color=painted[name])
        axis.bar_label(drawn, [f"{height:.3g}" if height < 10 else f"{height:.0f}"
                               for height in heights], fontsize=7)
    axis.set_xticks(range(len(values)), list(values), fontsize=8)
    axis.set_title(label, fontsize=10)
    if logarithmic:
        axis.set_yscale("log")
    # Room for the legend above the bars.
    axis.margins(y=0.3)
    axis.legend(fontsize=8, ncols=3, loc="upper center")


# ---- pictures of one data set ----

def curve(data_set):
    """Recall against queries/s."""
    systems = {name: each for name, each in data_set.get("systems", {}).items()
               if any(point["k"] == 10 for point in each.get("points", []))}
    if systems:
        figure, axis = pyplot.subplots(figsize=(8, 5.5))
        plot.draw(axis, {**data_set, "systems": systems})
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
    rates = {}
    for name, rows, processes, seconds, _ in found:
        group = f"{rows} rows" + (f"\n{processes} processes" if "cases" in data_set else "")
        rates.setdefault(group, {})[name] = rows / seconds
    groups(left, rates, "build, vectors/s")
    most = max(rows for _, rows, *_ in found)
    bars(right, {name: size / 1e6 for name, rows, _, _, size in found if rows == most},
         f"index of {most} rows, MB", ".0f")
    yield figure


def insertion(data_set):
    """Rates and WAL of insert."""
    cases = [case for case in data_set.get("cases", []) if "wal_row" in case]
    rates, wal = {}, {}
    for case in cases:
        if case["table"] == "items" and case["full_page_writes"]:
            group = f"{case['how']}\n{case['batch']} rows"
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
        groups(left, rates, f"rows/s into {data_set['indexed']} indexed rows", True)
        groups(right, wal, "bytes of WAL a row", True)
        yield figure


def rounds(data_set):
    """Index size and recall over the rounds of churn."""
    systems = {name: each["rounds"] for name, each in data_set.get("systems", {}).items()
               if each.get("rounds")}
    if not systems:
        return
    painted = colours(systems)
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


PICTURES = (curve, builds, insertion, rounds, several_clients, conditions)


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
    for data_set in results["data_sets"]:
        yield (f"<h3>{html.escape(data_set['name'])}, {data_set['rows']} x {data_set['dim']}, "
               f"{data_set['metric']}</h3>")
        for picture in PICTURES:
            yield from map(embedded, picture(data_set))


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

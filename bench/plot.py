#!/usr/bin/python3
"""Recall against queries/s, drawn from a result file of bench.py.

usage: plot.py RESULTS.json PICTURE.png
"""

import itertools
import json
import pathlib
import sys

import matplotlib
import numpy

matplotlib.use("Agg")
from matplotlib import colors, pyplot, ticker  # noqa: E402  (the backend comes first)

COLOURS = {"omendb": "tab:red", "pgvector": "tab:blue", "hnswlib": "tab:gray",
           "ivfflat": "tab:purple", "faiss": "tab:green", "faiss-ivfpq": "tab:olive"}
LIBRARIES = {"hnswlib", "faiss", "faiss-ivfpq"}
TINTS = (0, 0.5, -0.5)  # of a system's further variants, towards white or black
# The first that find room are shown.
RECALLS = (0.9, 0.95, 0.99, 1, 0.8, 0.98, 0.995, 0.999, 0.5, 0.7, 0.3, 0.85, 0.97, 0.6, 0.9975,
           0.92, 0.96)
ROOM = 0.1  # of the axis, from tick to tick
MISSED = 5e-4  # added to what is missed: recall 1 has a place, too


def colours(names):
    """Of each system, the same in all pictures; its storage parameters and other variants
    are tints of it, and what is more takes others."""
    spare = itertools.cycle(("tab:orange", "tab:cyan", "tab:brown", "tab:pink", "black"))
    found, seen = {}, {}
    for name in names:
        kind = name.split(" ")[0]
        number = seen[kind] = seen.get(kind, -1) + 1
        if kind not in COLOURS or number >= len(TINTS):
            found[name] = next(spare)
            continue
        colour = numpy.array(colors.to_rgb(COLOURS[kind]))
        tint = TINTS[number]
        found[name] = tuple(colour + ((1 if tint > 0 else 0) - colour) * abs(tint))
    return found


def placed(recall):
    return -numpy.log10(numpy.maximum(1 - numpy.asarray(recall, "f8") + MISSED, 1e-6))


def recall_axis(axis, least, most):
    """Equal steps for equal factors of what is missed: most of what matters lies
    above 0.9."""
    axis.set_xscale("function", functions=(placed, lambda place: 1 + MISSED - 10.0 ** -place))
    first, last = placed(least), placed(most)
    margin = 0.05 * max(last - first, 0.2)
    first, last = first - margin, last + margin
    axis.set_xlim(1 + MISSED - 10.0 ** -first, 1 + MISSED - 10.0 ** -last)
    shown = []
    for recall in RECALLS:
        place = placed(recall)
        if first < place < last and all(abs(place - placed(other)) > ROOM * (last - first)
                                        for other in shown):
            shown.append(recall)
    axis.xaxis.set_major_locator(ticker.FixedLocator(sorted(shown)))
    axis.xaxis.set_major_formatter(ticker.FuncFormatter(lambda recall, _: f"{recall:.4g}"))
    axis.xaxis.set_minor_locator(ticker.NullLocator())


def rate_axis(axis):
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(ticker.FuncFormatter(lambda rate, _: f"{rate:,.6g}"))
    axis.yaxis.set_minor_formatter(ticker.NullFormatter())


def draw(axis, data_set):
    painted, found = colours(data_set["systems"]), []
    for name, result in data_set["systems"].items():
        # Who returns fewer rows answers another question.
        points = [point for point in result.get("points", [])
                  if point["k"] == 10 and not point.get("short")]
        if not points:
            continue
        recall = [point["recall_10"] for point in points]
        rate = [point["qps"] for point in points]
        spread = [[point["qps"] - point["qps_min"] for point in points],
                  [point["qps_max"] - point["qps"] for point in points]]
        label = name + (" (no SQL)" if name in LIBRARIES else "")
        axis.errorbar(recall, rate, spread, marker="o", markersize=4, linewidth=1.5,
                      elinewidth=0.5, color=painted[name], label=label)
        found += recall
        for point in points:
            axis.annotate(point["ef"], (point["recall_10"], point["qps"]), fontsize=6,
                          textcoords="offset points", xytext=(3, 3), color=painted[name])
    rate_axis(axis)
    if found:
        recall_axis(axis, min(found), max(found))
    axis.set_xlabel("recall@10")
    axis.set_ylabel("queries/s, one connection")
    axis.set_title(title(data_set), fontsize=10)
    axis.grid(True, which="major", linewidth=0.3)
    if axis.get_legend_handles_labels()[0]:
        # Where more recall costs more there is nothing.
        axis.legend(fontsize=8, loc="lower left")


def title(data_set):
    space = " ".join(word for word in (data_set.get("type"), data_set["metric"])
                     if word and word != "vector")
    return (f"{data_set['name'].split('@')[0]}, {data_set['rows']:,} x {data_set['dim']}, "
            f"{space}")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    results = json.loads(pathlib.Path(sys.argv[1]).read_text())
    count = len(results["data_sets"])
    figure, axes = pyplot.subplots(1, count, figsize=(5.5 * count, 4.5), squeeze=False)
    for axis, data_set in zip(axes[0], results["data_sets"]):
        draw(axis, data_set)
    figure.suptitle(f"{results['machine']}, commit {results['commit']}; the numbers are ef_search",
                    fontsize=8)
    figure.tight_layout()
    figure.savefig(sys.argv[2], dpi=110)


if __name__ == "__main__":
    main()

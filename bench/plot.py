#!/usr/bin/python3
"""Recall against queries/s, drawn from a result file of bench.py.

usage: plot.py RESULTS.json PICTURE.png
"""

import json
import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402  (the backend comes first)

COLOURS = {"omendb": "tab:red", "pgvector": "tab:blue", "hnswlib": "tab:gray",
           "ivfflat": "tab:purple", "faiss": "tab:green", "faiss-ivfpq": "tab:olive"}
LIBRARIES = {"hnswlib", "faiss", "faiss-ivfpq"}


def draw(axis, data_set):
    for name, result in data_set["systems"].items():
        points = [point for point in result["points"] if point["k"] == 10]
        if not points:
            continue
        recall = [point["recall_10"] for point in points]
        rate = [point["qps"] for point in points]
        spread = [[point["qps"] - point["qps_min"] for point in points],
                  [point["qps_max"] - point["qps"] for point in points]]
        label = name + (" (no SQL)" if name in LIBRARIES else "")
        axis.errorbar(recall, rate, spread, marker="o", markersize=4, linewidth=1.5,
                      elinewidth=0.5, color=COLOURS.get(name), label=label)
        for point in points:
            axis.annotate(point["ef"], (point["recall_10"], point["qps"]), fontsize=6,
                          textcoords="offset points", xytext=(3, 3))
    axis.set_yscale("log")
    axis.set_xlabel("recall@10")
    axis.set_ylabel("queries/s, one connection")
    axis.set_title(f"{data_set['name']}, {data_set['rows']} x {data_set['dim']}, "
                   f"{data_set['metric']}", fontsize=10)
    axis.grid(True, which="both", linewidth=0.3)
    axis.legend(fontsize=8)


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

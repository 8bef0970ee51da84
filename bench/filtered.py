"""The mode filtered: nearest rows under a condition."""

import copy
import json

import numpy

import tables
from measure import build_all, dropped_on_error, fault, open_all, query_all
from modes import close_all
from systems import make_systems
from writes import only_servers

# Of a thousand buckets, which say nothing about the vectors.
BUCKET = (", bucket int GENERATED ALWAYS AS ((hashint4(id) & 2147483647) % 1000) STORED")
FILTERS = {"50 %": "bucket < 500", "10 %": "bucket < 100", "1 %": "bucket < 10",
           "0.1 %": "bucket < 1"}
VARIANTS = {
    "omendb": {"": {}},
    "pgvector": {"iterative_scan off": {"hnsw.iterative_scan": "off"},
                 "strict_order": {"hnsw.iterative_scan": "strict_order"}},
    "ivfflat": {"iterative_scan off": {"ivfflat.iterative_scan": "off"},
                "relaxed_order": {"ivfflat.iterative_scan": "relaxed_order"}},
}


def filters(data_set):
    """And, where the data set has clusters, one of about 1 %: its rows are near each
    other and far from most queries."""
    found = dict(FILTERS)
    if data_set.labels is not None:
        labels, counts = numpy.unique(data_set.labels, return_counts=True)
        label = labels[abs(counts - data_set.rows / 100).argmin()]
        found["a cluster"] = f"label = {label}"
    return found


def filtered(run):
    """Rows returned, recall against the exact answer of the same condition, time."""
    only_servers(run.options)
    for data_set, result in run.data_sets():
        everyone = make_systems(run.options)
        systems = list(everyone)
        opened = result["systems"] = {system.name: {} for system in systems}
        result["filters"] = []
        columns = BUCKET + ("" if data_set.labels is None else ", label int NOT NULL")
        try:
            open_all(systems, opened, data_set, columns=columns)
            build_all(systems, opened, run.options.builds)
            for share, where in filters(data_set).items():
                if systems:
                    result["filters"].append(one_filter(run, systems, data_set, share, where))
                    run.save()
        finally:
            close_all(everyone)
    return [line for result in run.results["data_sets"]
            for line in [*tables.filtered(result), ""]]


def one_filter(run, systems, data_set, share, where):
    ids = [id_ for id_, in systems[0].connection.execute(
        f"SELECT id FROM items WHERE {where}").fetchall()]
    live = data_set.subset(numpy.array(ids))
    variants = []
    for system in systems:
        for name, settings in VARIANTS[system.kind].items():
            each = copy.copy(system)
            each.client = None
            each.name = f"{system.name} {name}".strip()
            each.where, each.data_set = where, live
            # What is timed is the index; what the planner prefers is said beside it.
            each.settings = {**settings, "enable_seqscan": "off"}
            variants.append(each)
    results = {each.name: {"points": []} for each in variants}
    some = list(variants)
    try:
        for each in list(some):
            with dropped_on_error(each, some, results):
                results[each.name]["plan"] = chosen(each)
        query_all(some, results, run.options, (10,))
    finally:
        for each in variants:
            with fault(each.name, results[each.name]):
                if each.client:
                    each.client.close()
    return {"share": share, "where": where, "rows": live.rows, "systems": results}


def chosen(system):
    """The node that the planner puts under the Limit when nothing is forbidden."""
    data_set = system.data_set
    (plan,), = system.connection.execute(
        f"EXPLAIN (FORMAT JSON) SELECT id FROM items WHERE {system.where} "
        f"ORDER BY embedding {data_set.operator} '{data_set.text(0)}' LIMIT 10").fetchall()
    plan = json.loads(plan) if isinstance(plan, str) else plan
    node = plan[0]["Plan"]["Plans"][0]
    return "the index" if node.get("Index Name") == "items_embedding_idx" else node["Node Type"]


RUNS = {"filtered": filtered}

"""The mode clients: pgbench, with several clients at a time."""

import os
import pathlib
import re
import subprocess

import numpy

import tables
from measure import DEFAULT_EFS, TARGETS, at_default, build_all, dropped_on_error, open_all
from modes import close_all
from server import pg_config
from systems import make_systems
from terminal import say
from writes import COLUMN, VACUUM, in_turns, only_servers, problems

SCRIPTS = pathlib.Path(__file__).resolve().parent / "pgbench"
SEARCH = {"search": 1}
MIXED = {"search": 80, "insert": 10, "update": 5, "delete": 5}  # shares of the transactions
LOADS = {"search": SEARCH, "mixed": MIXED}
PRIME = 7919  # of delete.sql


def prepare(system, data_set, rows):
    """What the scripts need: queries, rows to be inserted, an index that makes
    every update a new entry."""
    execute = system.connection.execute
    for table, ids in (("queries", range(1, len(data_set.queries) + 1)),
                       ("spare", range(rows, len(data_set.base)))):
        execute(f"CREATE TABLE {table} (id int PRIMARY KEY, "
                f"embedding {data_set.column} NOT NULL)")
        if table == "spare":
            system.copy("spare", numpy.array(ids))
        else:
            with system.connection.cursor().copy("COPY queries FROM STDIN") as copy:
                for id_ in ids:
                    copy.write(f"{id_}\t{data_set.text(id_ - 1)}\n")
    execute(f"CREATE SEQUENCE next_spare MINVALUE {rows}")
    execute("CREATE SEQUENCE next_delete MINVALUE 0")
    execute("CREATE INDEX ON items (counter)")
    execute("VACUUM ANALYZE")


def script(name, operator, cache):
    """Its path; with the operator of another metric, of a copy."""
    path = SCRIPTS / f"{name}.sql"
    if operator == "<->":
        return path
    changed = cache / f"{name}.sql"
    changed.write_text(path.read_text().replace("<->", operator))
    return changed


def pgbench(system, weights, clients, ef, options):
    """Rate, and for each statement its rate and the percentiles of its latency."""
    data_set = system.data_set
    prefix = options.cache / "pgbench_log"
    for old in options.cache.glob("pgbench_log.*"):
        old.unlink()
    command = [pathlib.Path(pg_config("--bindir"), "pgbench"), "-n", "-M", "prepared",
               "-c", clients, "-j", min(clients, os.cpu_count() or 1), "-T", options.seconds,
               "-D", f"queries={len(data_set.queries)}", "-D", f"rows={data_set.rows}",
               "-l", f"--log-prefix={prefix}"]
    for name, weight in weights.items():
        command += ["-f", f"{script(name, data_set.operator, options.cache)}@{weight}"]
    environment = {**os.environ, "PGOPTIONS": f"-c {system.ef_setting}={ef}"}
    done = subprocess.run([*map(str, command), system.database], env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "rror" in line]
        raise RuntimeError(lines[0] if lines else f"pgbench: status {done.returncode}")
    logs = [numpy.loadtxt(path, usecols=(2, 3), ndmin=2)
            for path in options.cache.glob("pgbench_log.*") if path.stat().st_size]
    log = numpy.concatenate(logs)
    rate = float(re.search(r"^tps = ([0-9.]+)", done.stdout, re.M).group(1))
    return {"rate": rate, "statements": {
        name: latencies(log[log[:, 1] == number, 0], rate, len(log))
        for number, name in enumerate(weights)}}


def latencies(microseconds, rate, count):
    if not len(microseconds):
        return {"rate": 0}
    return {"rate": rate * len(microseconds) / count,
            **{f"p{each}_us": float(numpy.percentile(microseconds, each)) for each in (50, 99)}}


def ef_for(system, data_set, target):
    """The least of the usual that gives so much recall; with it what it gives."""
    for ef in DEFAULT_EFS:
        if ef >= 10:
            judged = at_default(system, len(data_set.queries), ef)
            if judged["recall_10"] >= target:
                break
    return ef, judged


def clients(run):
    """Searches alone and with writes, by 1, 2, 4, 8 clients, in turns."""
    options = run.options
    only_servers(options)
    for data_set, result in run.data_sets(2 * options.rows[0]):
        rows = min(options.rows[0], data_set.rows // 2)
        rows -= rows % PRIME == 0
        everyone = make_systems(options)
        systems = list(everyone)
        results = result["systems"] = {system.name: {"runs": []} for system in systems}
        result.update(indexed=rows, seconds=options.seconds)
        live = data_set.subset(numpy.arange(rows))
        try:
            open_all(systems, results, live, columns=COLUMN)
            build_all(systems, results, 1)
            for system in list(systems):
                with dropped_on_error(system, systems, results):
                    prepare(system, data_set, rows)
                    system.warm()
                    ef = options.ef[0] if options.ef else None
                    ef, judged = (ef, at_default(system, len(live.queries), ef)) if ef \
                        else ef_for(system, live, TARGETS[0])
                    results[system.name].update(ef=ef, before=judged)
                    say(f"  {system.name}: ef {ef}, recall@10 {judged['recall_10']:.4f}")
            for name, weights in LOADS.items():
                for number, count in enumerate(options.clients):
                    for system in in_turns(systems, number):
                        with dropped_on_error(system, systems, results):
                            one_run(system, results[system.name], name, weights, count, options)
                run.save()
            for system in list(systems):
                with dropped_on_error(system, systems, results):
                    results[system.name].update(afterwards(system, data_set, results))
        finally:
            close_all(everyone)
    return [line for result in run.results["data_sets"]
            for line in [*tables.clients(result), ""]]


def one_run(system, result, load, weights, count, options):
    system.connection.execute("CHECKPOINT")
    measured = pgbench(system, weights, count, result["ef"], options)
    result["runs"].append({"load": load, "clients": count, **measured})
    say(f"  {system.name}: {load} by {count}: {measured['rate']:.0f}/s")


def afterwards(system, data_set, results):
    """Recall among the rows that are there then, and whether any script ran dry."""
    used, last = system.connection.execute(
        "SELECT is_called, last_value FROM next_spare").fetchone()
    if used and last >= len(data_set.base):
        raise RuntimeError("all spare rows were inserted: take fewer --seconds or --rows")
    ids = [id_ for id_, in system.connection.execute("SELECT id FROM items").fetchall()]
    system.data_set = data_set.subset(numpy.array(ids))
    ef = results[system.name]["ef"]
    found = {"rows": len(ids)}
    for name in ("after", "vacuumed"):
        system.warm()
        found[name] = at_default(system, len(data_set.queries), ef)
        system.connection.execute(VACUUM)
    return {**found, "problems": problems(system)}


RUNS = {"clients": clients}

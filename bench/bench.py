#!/usr/bin/python3
"""omendb beside pgvector and hnswlib: one run, one server, the same queries.

The modes:

compare  build, then queries/s and own time against recall (the default)
build    builds only: rows by processes, repeated in turns
scaling  growth of build and search with the rows
memory   builds whose graph does not fit into maintenance_work_mem
cold     the first queries after a restart
shapes   storage parameters over data of several dimensions

Recall is against brute force. See README.md.
"""

import argparse
import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import numpy
import psycopg

from measure import MIN_ROUNDS
from modes import MODES, Run
from systems import (HNSWLIB_EF_CONSTRUCTION, HNSWLIB_M, Server, pg_config, say,
                     server_settings)

TOP = pathlib.Path(__file__).resolve().parent.parent
ALL_ROWS = 1 << 40

# What an option is in a mode when it is not given; the first column is for the
# modes that do not say.
DEFAULTS = {
    "data_sets": {"": "fashion,words,sift", "build": "sift", "scaling": "sift",
                  "memory": "sift", "cold": "sift",
                  "shapes": "mixture:100000:32,words,sift,mixture:100000:384,fashion,"
                            "mixture:30000:1536"},
    "rows": {"": [], "build": [10000, 100000, ALL_ROWS],
             "scaling": [50000, 100000, 200000, 400000, ALL_ROWS], "shapes": [100000]},
    "systems": {"": "omendb,pgvector,hnswlib", "memory": "omendb,pgvector",
                "cold": "omendb,pgvector", "shapes": "omendb,pgvector"},
    "processes": {"": [2], "build": [1, 2]},
    "builds": {"": 1, "build": 3},
    "omendb_with": {"": [""], "shapes": ["", "m = 8", "m = 12", "m = 24", "m = 32",
                                         "ef_construction = 32", "ef_construction = 128",
                                         "storage = half"]},
    # All sizes at once must fit.
    "shared_buffers": {"": "4GB", "scaling": "6GB", "shapes": "8GB"},
}
LISTS = {"rows": ("build", "scaling"), "processes": ("build",)}


# ---- what was run, and where ----

def output(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          cwd=TOP, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def library_hash():
    """Of the installed library: the commit does not say what was installed."""
    path = pathlib.Path(pg_config("--pkglibdir"), "omendb.so")
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else ""


def machine():
    fields = dict(re.findall(r"^([^:\n]+):\s+(.*)$", output("lscpu"), re.M))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return (f"{fields.get('Model name', '?')} family {fields.get('CPU family', '?')} model "
            f"{fields.get('Model', '?')}, {os.cpu_count()} CPUs, {memory >> 30} GiB, "
            f"Linux {os.uname().release}")


def describe(options, settings):
    """Everything a figure depends on that is known before the run."""
    # Optional locks would write to the repository.
    changed = output("git", "--no-optional-locks", "status", "--porcelain")
    with psycopg.connect(autocommit=True) as connection:
        server, = connection.execute("SELECT version()").fetchone()
        extensions = dict(connection.execute(
            "SELECT name, default_version FROM pg_available_extensions "
            "WHERE name IN ('omendb', 'vector')").fetchall())
        checked = dict(connection.execute(
            "SELECT name, current_setting(name) FROM pg_settings "
            "WHERE name = ANY(%s)", (list(settings) + ["fsync", "jit"],)).fetchall())
    hnswlib = output("dpkg-query", "-W", "-f", "${Version}", "libhnswlib-dev")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "command": " ".join(["bench/bench.py", *sys.argv[1:]]),
        "commit": (output("git", "rev-parse", "--short=12", "-q", "--verify", "HEAD") or "none")
                  + (" and uncommitted changes" if changed else ""),
        "library": library_hash(),
        "machine": machine(),
        "load_average": os.getloadavg()[0],
        "versions": {"server": server, "extensions": extensions, "hnswlib": hnswlib,
                     "libpq": psycopg.pq.version(), "psycopg": psycopg.__version__,
                     "numpy": numpy.__version__},
        "settings": checked,
        "hnswlib": {"m": HNSWLIB_M, "ef_construction": HNSWLIB_EF_CONSTRUCTION},
        "omendb_with": options.omendb_with, "pgvector_with": options.pgvector_with,
        "mode": options.mode, "processes": options.processes,
    }


def numbers(text):
    return [int(number) for number in text.split(",")]


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("mode", nargs="?", choices=list(MODES), default="compare")
    add("--data-sets", help="fashion,words,sift,random:ROWS:DIM,mixture:ROWS:DIM")
    add("--systems")
    add("--data", help="folder with sift760k.base.u8bin.zst and sift760k.query.u8bin")
    add("--rows", type=numbers, help="at most so many of each data set; a list for build, scaling")
    add("--ef", type=lambda text: sorted(numbers(text)), default=[])
    add("--processes", type=numbers, help="that build, the leader included; a list for build")
    add("--builds", type=int, help="of each index, in turns")
    add("--rounds", type=int, default=10)
    add("--per-round", type=int, default=100, help="queries of a system's turn")
    add("--budget", type=float, default=8,
        help="seconds after which a system takes no more turns at one ef (but at least "
             f"{MIN_ROUNDS})")
    add("--cache", type=pathlib.Path, default=TOP / "build" / "bench")
    add("--output", type=pathlib.Path, help="results as JSON")
    add("--shared-buffers")
    add("--maintenance-work-mem", default="2GB")
    add("--setting", action="append", default=[], metavar="NAME=VALUE", help="of the server")
    add("--omendb-with", action="append", help="storage parameters, such as 'm = 24'; each "
        "time it is given makes a system")
    add("--pgvector-with", action="append", default=[])
    add("--fraction", type=float, default=0.25, help="memory: of the graph's size")
    add("--small-shared-buffers", default="128MB", help="memory: of its last builds")
    add("--build-timeout", type=int, default=0, help="memory: seconds; 0 is none")
    add("--starts", type=int, default=3, help="cold: of each system, in turns")
    add("--queries", type=int, default=100, help="cold: after a start")
    return parser.parse_args()


def completed(options):
    """With what depends on the mode, and on each other."""
    for name, by_mode in DEFAULTS.items():
        if getattr(options, name) is None:
            setattr(options, name, by_mode.get(options.mode, by_mode[""]))
            if name == "data_sets" and not options.data:
                # Without its folder there is no sift.
                options.data_sets = re.sub(r"\bsift\b,?", "", options.data_sets) or "fashion"
    options.data_sets = options.data_sets.strip(",").split(",")
    for name, modes in LISTS.items():
        if len(getattr(options, name)) > 1 and options.mode not in modes:
            raise SystemExit(f"bench: {options.mode} takes one number of {name}")
    options.cache.mkdir(parents=True, exist_ok=True)
    options.cache = options.cache.resolve()
    if options.output is None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        options.output = options.cache / f"results-{options.mode}-{stamp}.json"
    return options


def errors(value):
    """How many things in the results failed."""
    if isinstance(value, dict):
        return ("error" in value) + sum(errors(each) for each in value.values())
    return sum(errors(each) for each in value) if isinstance(value, list) else 0


def main():
    options = completed(arguments())
    settings = server_settings(options)
    with Server(settings) as server:
        results = describe(options, settings)
        for name in ("commit", "library", "machine", "versions", "settings"):
            say(f"{name}: {results[name]}")
        run = Run(options, server, results,
                  lambda: options.output.write_text(json.dumps(results, indent=1) + "\n"))
        lines = MODES[options.mode](run)
        run.save()
    say("\n" + "\n".join(lines))
    say(f"written to {options.output}")
    if library_hash() != results["library"]:
        say("bench: another omendb was installed during the run")
        return 1
    return int(errors(results) > 0)


if __name__ == "__main__":
    sys.exit(main())

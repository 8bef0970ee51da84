#!/usr/bin/python3
"""omendb beside pgvector and libraries: one run, one server, the same queries.

Recall is against brute force. See README.md.
"""

import datetime
import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import numpy
import psycopg

import filtered
import modes
import options as choices
import scale
import targets
import workload
import writes
from libraries import HNSWLIB_EF_CONSTRUCTION, HNSWLIB_M
from server import Server, pg_config, server_settings
from terminal import say

TOP = choices.TOP
RUNS = {**modes.RUNS, **writes.RUNS, **workload.RUNS, **filtered.RUNS, **targets.RUNS,
        **scale.RUNS}


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


def errors(value):
    """How many things in the results failed."""
    if isinstance(value, dict):
        return ("error" in value) + sum(errors(each) for each in value.values())
    return sum(errors(each) for each in value) if isinstance(value, list) else 0


def main():
    # The server is stopped whatever ends the run.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: terminated"))
    options = choices.completed(choices.parser(__doc__).parse_args())
    settings = server_settings(options)
    with Server(settings) as server:
        results = describe(options, settings)
        for name in ("commit", "library", "machine", "versions", "settings"):
            say(f"{name}: {results[name]}")
        run = modes.Run(
            options, server, results,
            lambda: options.output.write_text(json.dumps(results, indent=1) + "\n"))
        results["tables"] = "\n".join(RUNS[options.mode](run))
        run.save()
    say("\n" + results["tables"])
    say(f"written to {options.output}")
    if library_hash() != results["library"]:
        say("bench: another omendb was installed during the run")
        return 1
    return int(errors(results) > 0)


if __name__ == "__main__":
    sys.exit(main())

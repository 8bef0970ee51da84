"""What bench.py can be asked for, and nothing else: no module but the standard
library's, because test/lint/check_bench.py reads the commands of the documents
with the parser made here."""

import argparse
import pathlib
import re
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
ALL_ROWS = 1 << 40
MIN_ROUNDS = 3

MODES = {
    "compare": "build, then queries/s and own time against recall (the default)",
    "build": "builds only: rows by processes, repeated in turns",
    "scaling": "growth of build and search with the rows",
    "memory": "builds whose graph does not fit into maintenance_work_mem",
    "cold": "the first queries after a restart",
    "shapes": "storage parameters over data of several dimensions",
    "types": "halfvec, bit, sparsevec and L1 at equal recall",
    "insert": "COPY and INSERT into an indexed table: rows/s, two backends, a stream, WAL",
    "inserted": "recall and queries/s of rows that came by COPY, beside a build of them",
    "vacuum": "DELETE and VACUUM: seconds and WAL; recall after 30 % were deleted",
    "thinned": "50 % to 99 % deleted at once, VACUUM: recall beside a build of the rest",
    "churn": "rounds of DELETE, VACUUM and INSERT: index size and recall",
    "update": "UPDATE of another column and of the vector",
    "clients": "pgbench with several clients: searches alone, and with writes",
    "filtered": "WHERE that leaves 50 % to 0.1 %: rows returned, recall, time",
    "targets": "the project's targets: measured, met or not",
    "scale": "bytes, build time, WAL and memory of up to 1 000 million rows, from measured ones",
}

TYPES = ("sift@halfvec_l2,words@halfvec_ip,words@halfvec_cosine,sift@vector_l1,"
         "sift@halfvec_l1,sift@bit_hamming,words@bit_jaccard,"
         + ",".join(f"topics:100000:30000@sparsevec_{metric}"
                    for metric in ("l2", "ip", "cosine", "l1")))

# What an option is in a mode when it is not given; the first column is for the
# modes that do not say.
DEFAULTS = {
    "data_sets": {"": "sift", "compare": "fashion,words,sift", "inserted": "sift,words",
                  "shapes": "mixture:100000:32,words,sift,mixture:100000:384,fashion,"
                            "mixture:30000:1536", "types": TYPES,
                  "scale": "mixture:3000000:128,mixture:100000:768,mixture:50000:1536"},
    "rows": {"": [], "build": [10000, 100000, ALL_ROWS],
             "scaling": [50000, 100000, 200000, 400000, ALL_ROWS], "shapes": [100000],
             "types": [100000], "insert": [100000], "inserted": [100000], "vacuum": [200000],
             "thinned": [100000], "churn": [100000], "update": [100000], "clients": [200000],
             "filtered": [200000], "targets": [200000],
             "scale": [25000, 50000, 100000, 200000, 400000, 1000000, 3000000]},
    "systems": {"": "omendb,pgvector", "compare": "omendb,pgvector,hnswlib",
                "build": "omendb,pgvector,hnswlib", "scaling": "omendb,pgvector,hnswlib",
                "targets": "omendb", "scale": "omendb"},
    "processes": {"": [2], "build": [1, 2], "targets": [1, 2]},
    "builds": {"": 1, "build": 3, "insert": 3, "update": 3, "targets": 3,
               "scale": 3},
    "ef": {"": [], "vacuum": [10, 40, 100], "thinned": [10, 40], "churn": [10, 40, 100],
           "filtered": [40]},
    "omendb_with": {"": [""], "shapes": ["", "m = 8", "m = 12", "m = 24", "m = 32",
                                         "ef_construction = 32", "ef_construction = 128",
                                         "storage = half"]},
    "budget": {"": 8, "types": 3},
    # All sizes at once must fit.
    "shared_buffers": {"": "4GB", "scaling": "6GB", "shapes": "8GB", "scale": "6GB"},
    "maintenance_work_mem": {"": "2GB", "scale": "5GB"},
}
# Data sets where the usual ones are only in the folder that --data did not name.
WITHOUT_FOLDER = {"": "fashion", "targets": "mixture:300000:128"}
LISTS = {"rows": ("build", "scaling", "scale"), "processes": ("build", "targets")}


def numbers(text):
    return [int(number) for number in text.split(",")]


def parser(description):
    made = argparse.ArgumentParser(
        prog="bench.py", description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="modes:\n" + "\n".join(f"  {mode:9} {what}" for mode, what in MODES.items()))
    add = made.add_argument
    add("mode", nargs="?", choices=list(MODES), default="compare", metavar="MODE")
    add("--data-sets", metavar="NAMES", help="of fashion, words, sift, random:ROWS:DIM, "
        "mixture:ROWS:DIM, norms:ROWS:DIM, topics:ROWS:DIM, FILE.hdf5, BASE or BASE:QUERIES "
        "(.fvecs .bvecs .ivecs .fbin .u8bin); each may end with @TYPE, @METRIC or "
        "@TYPE_METRIC, as in sift@halfvec_ip, words@l1, sift@bit_hamming")
    add("--metric", choices=("l2", "cosine", "ip"), help="of files that do not say")
    add("--systems", metavar="NAMES",
        help="of omendb, pgvector, ivfflat, hnswlib, faiss, faiss-ivfpq")
    add("--data", metavar="FOLDER",
        help="with sift760k.base.u8bin.zst and sift760k.query.u8bin")
    add("--rows", type=numbers, metavar="N", help="of each data set (those indexed first, where "
        "more are written); a list for build, scaling, scale")
    add("--ef", type=lambda text: sorted(numbers(text)), metavar="N,...")
    add("--processes", type=numbers, metavar="N",
        help="that build, the leader included; a list for build")
    add("--builds", type=int, metavar="N", help="of each index, in turns; insert, update: of "
        "each COPY, each UPDATE")
    add("--rounds", type=int, default=10, metavar="N")
    add("--per-round", type=int, default=100, metavar="N", help="queries of a system's turn")
    add("--budget", type=float, metavar="SECONDS",
        help="after which a system takes no more turns at one ef (but at least "
             f"{MIN_ROUNDS})")
    add("--cache", type=pathlib.Path, default=TOP / "build" / "bench", metavar="FOLDER")
    add("--output", type=pathlib.Path, metavar="FILE", help="results as JSON")
    add("--shared-buffers", metavar="SIZE")
    add("--maintenance-work-mem", metavar="SIZE")
    add("--setting", action="append", default=[], metavar="NAME=VALUE", help="of the server")
    add("--omendb-with", action="append", metavar="OPTIONS",
        help="storage parameters, such as 'm = 24'; each time it is given makes a system")
    add("--pgvector-with", action="append", default=[], metavar="OPTIONS")
    add("--fraction", type=float, default=0.25, help="memory: of the graph's size")
    add("--small-shared-buffers", default="128MB", metavar="SIZE",
        help="memory: of its last builds")
    add("--build-timeout", type=int, default=0, metavar="SECONDS", help="memory; 0 is none")
    add("--starts", type=int, default=3, metavar="N", help="cold: of each system, in turns")
    add("--queries", type=int, default=100, metavar="N", help="cold: after a start")
    add("--shares", type=lambda text: [float(share) for share in text.split(",")],
        default=[0.5, 0.8, 0.9, 0.95, 0.99], metavar="S,...", help="thinned: of the rows, deleted")
    add("--times", type=int, default=5, metavar="N", help="churn: rounds")
    add("--clients", type=numbers, default=[1, 2, 4, 8], metavar="N,...", help="clients")
    add("--seconds", type=int, default=20, metavar="N", help="clients: of each run")
    return made


def completed(options):
    """With what depends on the mode, and on each other."""
    for name, by_mode in DEFAULTS.items():
        if getattr(options, name) is None:
            setattr(options, name, by_mode.get(options.mode, by_mode[""]))
            if name == "data_sets" and not options.data:
                # Without its folder there is no sift.
                options.data_sets = re.sub(r"\bsift\b(@\w+)?,?", "",
                                           options.data_sets)
                options.data_sets = options.data_sets or WITHOUT_FOLDER.get(
                    options.mode, WITHOUT_FOLDER[""])
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

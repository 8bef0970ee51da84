"""The modes that write: insert, inserted, vacuum, thinned, churn, update. Every system does the
same to the same rows, in turns."""

import copy
import dataclasses
import statistics
import time

import numpy

import datasets
import write_tables as tables
from measure import (at_default, build_all, dropped_on_error, fault, open_all, query_all)
from modes import close_all
from server import QueryClient
from systems import make_systems
from terminal import progress, say

COLUMN = ", counter int NOT NULL DEFAULT 0"


# ---- what one system is asked to do ----

class Writer:
    """Connections of a system that write what they were given beforehand."""

    def __init__(self, system):
        self.system = system
        self.clients = []

    def feed(self, rows, backends):
        """With the rows that all of them then write."""
        while len(self.clients) < backends:
            self.clients.append(QueryClient(self.system.program, self.system.database))
        for client in self.clients[:backends]:
            client.give(self.system.cache, self.system.data_set.type, rows)

    def write(self, load, id_, first):
        """Vectors FIRST .. of those given, as rows ID .. : the seconds of every
        statement of every backend, and the bytes of WAL."""
        each = load.rows // load.backends
        before = wal_position(self.system)
        for number, client in enumerate(self.clients[:load.backends]):
            client.send(f"{load.how.lower()} {load.table} {id_ + number * each} "
                        f"{first + number * each} {each} {load.batch}")
        times, failed = [], None
        for client in self.clients[:load.backends]:
            try:
                times.append(numpy.frombuffer(client.answer(), "=i8") / 1e9)
            except RuntimeError as error:
                failed = error
        if failed:
            raise failed
        return times, wal_position(self.system) - before

    def close(self):
        for client in self.clients:
            client.close()


def wal_position(system):
    position, = system.connection.execute(
        "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::int8").fetchone()
    return position


def timed(system, text):
    """The seconds and the bytes of WAL of a statement."""
    before, start = wal_position(system), time.monotonic()
    system.connection.execute(text)
    return {"seconds": time.monotonic() - start, "wal": wal_position(system) - before}


def index_bytes(system):
    size, = system.connection.execute(
        "SELECT pg_relation_size('items_embedding_idx')").fetchone()
    return size


def problems(system):
    """What the index's own check finds; None where there is none."""
    if system.kind != "omendb":
        return None
    found, = system.connection.execute(
        "SELECT count(*) FROM omen_hnsw_check('items_embedding_idx') "
        "WHERE severity <> 'warning'").fetchone()
    return found


def in_turns(systems, number):
    """Who begins changes."""
    shift = number % max(1, len(systems))
    return systems[shift:] + systems[:shift]


def variants(options, names):
    """Each system once for each name; its label is what it is without one."""
    everyone = []
    for system in make_systems(options):
        for name in names:
            each = copy.copy(system)
            each.label, each.way = system.name, name
            each.name = f"{system.name} {name}"
            everyone.append(each)
    return everyone


def only_servers(options):
    if set(options.systems.split(",")) - {"omendb", "pgvector", "ivfflat"}:
        raise SystemExit(f"bench: {options.mode} is for omendb, pgvector and ivfflat")


# ---- insert ----

@dataclasses.dataclass(frozen=True)
class Load:
    """ROWS rows a turn, by so many backends, each statement BATCH of them."""
    how: str
    batch: int
    rows: int
    turns: int
    backends: int = 1
    table: str = "items"
    full_page_writes: bool = True


def loads(start, repeats):
    """What is written into a table of START indexed rows."""
    unit = max(10, start // 10)
    few = max(100, unit // 20)
    some = max(1000, unit // 10)
    return [Load("COPY", 100, few, 4), Load("COPY", 1000, some, 5),
            Load("INSERT", 100, few, 4), Load("INSERT", 1000, some, 5),
            Load("INSERT", 1, max(10, unit // 10), 5),
            Load("COPY", unit, unit, repeats),
            Load("COPY", unit // 2, unit // 2 * 2, repeats, backends=2),
            Load("COPY", unit, unit, 1, table="plain"),
            Load("COPY", unit, unit, 1, full_page_writes=False),
            Load("COPY", unit, unit, 1, table="plain", full_page_writes=False),
            Load("COPY", start, start, 1)]


def rows_of(some):
    return sum(load.rows * load.turns for load in some)


def insert(run):
    """Rows into an indexed table: batches, one and two backends, a stream, WAL."""
    options = run.options
    only_servers(options)
    wanted, = options.rows
    total = wanted + rows_of(loads(wanted, options.builds))
    for data_set, result in run.data_sets(total):
        start = wanted
        while start + rows_of(loads(start, options.builds)) > data_set.rows and start:
            start = start * 9 // 10
        result.update(indexed=start, cases=[])
        insert_into(run, data_set, result)
    return [line for result in run.results["data_sets"]
            for line in [*tables.insertion(result), ""]]


def insert_into(run, data_set, result):
    everyone = make_systems(run.options)
    systems = list(everyone)
    start = result["indexed"]
    opened = result["systems"] = {system.name: {} for system in systems}
    writers = {system.name: Writer(system) for system in systems}
    first = start
    try:
        open_all(systems, opened, data_set, ids=numpy.arange(start))
        build_all(systems, opened, 1)
        for system in systems:
            system.connection.execute(
                f"CREATE TABLE plain (id int PRIMARY KEY, embedding {data_set.column} "
                "NOT NULL)")
        for load in progress(loads(start, run.options.builds), "loads"):
            insert_load(run, data_set, result, systems, writers, load, first)
            first += load.rows * load.turns
            run.save()
        for system in systems:
            with fault(system.name, opened[system.name]):
                opened[system.name].update(finished(system, data_set))
    finally:
        for writer in writers.values():
            writer.close()
        close_all(everyone)


def insert_load(run, data_set, result, systems, writers, load, first):
    """The next rows, by every system in turns; each load begins after a checkpoint."""
    count = load.rows * load.turns
    if not load.full_page_writes:
        run.server.set("full_page_writes", "off")
    cases = {}
    for system in systems:
        cases[system.name] = {**dataclasses.asdict(load), "system": system.name,
                              "before": first, "seconds": [], "statements": [], "wal": []}
        with fault(system.name, cases[system.name]):
            writers[system.name].feed(data_set.base[first:first + count], load.backends)
            system.connection.execute("CHECKPOINT")
    for number in range(load.turns):
        for system in in_turns(systems, number):
            case = cases[system.name]
            if "error" in case:
                continue
            done = number * load.rows
            with fault(f"{system.name}, {load.how} of {load.batch}", case):
                times, wal = writers[system.name].write(load, first + done, done)
                case["seconds"].append(max(float(each.sum()) for each in times))
                case["statements"] += [float(each) for some in times for each in some]
                case["wal"].append(wal)
    for case in cases.values():
        summarise(case)
    result["cases"] += cases.values()
    if not load.full_page_writes:
        run.server.set("full_page_writes", "on")


def summarise(case):
    statements = case.pop("statements")
    if "error" in case:
        return
    rates = [case["rows"] / seconds for seconds in case["seconds"]]
    case.update(
        rate=statistics.median(rates), rate_min=min(rates), rate_max=max(rates),
        p50_ms=float(numpy.percentile(statements, 50)) * 1e3,
        p99_ms=float(numpy.percentile(statements, 99)) * 1e3,
        # Of the first turn, which follows a checkpoint.
        wal_row=case["wal"][0] / case["rows"])
    say(f"  {case['system']}: {case['how']} of {case['batch']} into {case['table']} by "
        f"{case['backends']}: {case['rate']:.0f} rows/s, {case['wal_row']:.0f} bytes of WAL")


def finished(system, data_set):
    """After everything was written: size, soundness and recall."""
    ids = [id_ for id_, in system.connection.execute("SELECT id FROM items").fetchall()]
    system.data_set = data_set.subset(numpy.array(ids))
    system.warm()
    judged = at_default(system, len(data_set.queries))
    return {"rows": len(ids), "index_bytes": index_bytes(system), "queries": judged,
            "problems": problems(system)}


# ---- inserted ----

WAYS = ("built", "half inserted", "all inserted")


def inserted(run):
    """An index that was built, one whose second half came by COPY, one that was
    created empty: the same rows, searched in turns."""
    only_servers(run.options)
    for data_set, result in run.data_sets():
        everyone = variants(run.options, WAYS)
        systems = list(everyone)
        results = result["systems"] = {system.name: {"label": system.label, "way": system.way}
                                       for system in systems}
        try:
            for system in progress(everyone, "indexes"):
                with dropped_on_error(system, systems, results):
                    fill(system, data_set, results[system.name])
            query_all(systems, results, run.options, (10,))
            for system in systems:
                with fault(system.name, results[system.name]):
                    results[system.name]["problems"] = problems(system)
        finally:
            close_all(everyone)
    return [line for result in run.results["data_sets"]
            for line in [*tables.inserted(result), ""]]


def fill(system, data_set, result):
    built = {"built": data_set.rows, "half inserted": data_set.rows // 2,
             "all inserted": 0}[system.way]
    system.open(data_set, ids=data_set.ids[:built])
    seconds = system.build()["seconds"]
    rest = data_set.ids[built:]
    if len(rest):
        start = time.monotonic()
        system.copy("items", rest)
        seconds = time.monotonic() - start
        system.connection.execute("VACUUM ANALYZE items")
    result.update(seconds=seconds, rate=(len(rest) or built) / seconds,
                  index_bytes=index_bytes(system))
    say(f"  {system.name}: {result['rate']:.0f} rows/s")


# ---- vacuum, churn ----

VACUUM = "VACUUM (INDEX_CLEANUP ON) items"


def delete(system, ids):
    """And what VACUUM then takes."""
    # Any condition finds them; a temporary table keeps the statement short.
    connection = system.connection
    connection.execute("CREATE TEMP TABLE gone (id int)")
    with connection.cursor().copy("COPY gone FROM STDIN") as rows:
        rows.write("".join(f"{id_}\n" for id_ in ids))
    deleted = timed(system, "DELETE FROM items USING gone WHERE items.id = gone.id")
    connection.execute("DROP TABLE gone")
    connection.execute("CHECKPOINT")
    vacuumed = timed(system, VACUUM)
    say(f"  {system.name}: {len(ids)} rows deleted in {deleted['seconds']:.1f} s, VACUUM in "
        f"{vacuumed['seconds']:.1f} s")
    return {"deleted": len(ids), "delete_seconds": deleted["seconds"],
            "delete_wal": deleted["wal"], **vacuumed}


def compare_with_fresh(run, systems, live):
    """The same rows in an index that was built of them, searched in turns with the
    one that got them in its own way. Returns the points by system."""
    fresh, found = [], {system.name: {} for system in systems}
    for system in systems:
        twin = copy.copy(system)
        twin.client = twin.connection = twin.database = None
        twin.name = f"{system.name} fresh"
        fresh.append(twin)
        system.data_set = live
        system.connection.execute("ANALYZE items")
    both = [*systems, *fresh]
    each = {system.name: {} for system in both}
    try:
        for twin in fresh:
            with dropped_on_error(twin, both, each):
                twin.open(live)
                twin.build()
        query_all(both, each, run.options, (10,))
        for system, twin in zip(systems, fresh):
            both_found = found[system.name]
            with fault(system.name, both_found):
                for name in (system.name, twin.name):
                    if "error" in each[name]:
                        raise RuntimeError(each[name]["error"])
                both_found.update(
                    points=each[system.name]["points"], fresh=each[twin.name]["points"],
                    index_bytes=index_bytes(system), fresh_bytes=index_bytes(twin),
                    problems=problems(system))
                say(f"  {system.name}: recall@10 {recalls(both_found['points'])}; fresh "
                    + recalls(both_found["fresh"]))
    finally:
        close_all(fresh)
    return found


def recalls(points):
    return ", ".join(f"{point['recall_10']:.4f} at {point['ef']}" for point in points)


def vacuum(run):
    """1 % deleted and vacuumed, 10 % more, and more up to 30 %."""
    only_servers(run.options)
    for data_set, result in run.data_sets():
        everyone = make_systems(run.options)
        systems = list(everyone)
        results = result["systems"] = {system.name: {"steps": []} for system in systems}
        order = numpy.random.default_rng(datasets.SEED).permutation(data_set.rows)
        gone = 0
        try:
            open_all(systems, results, data_set)
            build_all(systems, results, 1)
            for share in (0.01, 0.10, 0.19):
                some = order[gone:gone + int(share * data_set.rows)]
                gone += len(some)
                for system in list(systems):
                    with dropped_on_error(system, systems, results):
                        results[system.name]["steps"].append(
                            {"share": share, "number": gone, **delete(system, some)})
                run.save()
            found = compare_with_fresh(run, systems, data_set.subset(order[gone:]))
            for name, each in found.items():
                results[name].update(each)
        finally:
            close_all(everyone)
    return [line for result in run.results["data_sets"]
            for line in [*tables.vacuum(result), ""]]


def thinned(run):
    """Each of these shares deleted from a new index, and vacuumed."""
    only_servers(run.options)
    for data_set, result in run.data_sets():
        order = numpy.random.default_rng(datasets.SEED).permutation(data_set.rows)
        result["cases"] = []
        for share in progress(run.options.shares, "shares"):
            everyone = make_systems(run.options)
            systems = list(everyone)
            case = {"share": share, "systems": {system.name: {} for system in systems}}
            result["cases"].append(case)
            gone = int(share * data_set.rows)
            try:
                open_all(systems, case["systems"], data_set)
                build_all(systems, case["systems"], 1)
                for system in list(systems):
                    with dropped_on_error(system, systems, case["systems"]):
                        case["systems"][system.name].update(delete(system, order[:gone]))
                found = compare_with_fresh(run, systems, data_set.subset(order[gone:]))
                for name, each in found.items():
                    case["systems"][name].update(each)
            finally:
                close_all(everyone)
            run.save()
    return [line for result in run.results["data_sets"]
            for line in [*tables.thinned(result), ""]]


def churn(run):
    """Rounds of: 20 % deleted, vacuumed, as many others inserted."""
    options = run.options
    only_servers(options)
    rows, = options.rows
    for data_set, result in run.data_sets(rows + options.times * (rows // 5)):
        # As many rows as leave new ones for every round.
        rows = min(rows, int(data_set.rows / (1 + options.times / 5)))
        everyone = make_systems(options)
        systems = list(everyone)
        results = result["systems"] = {system.name: {"rounds": []} for system in systems}
        generator = numpy.random.default_rng(datasets.SEED)
        live, result["indexed"] = numpy.arange(rows), rows
        try:
            open_all(systems, results, data_set, ids=live)
            build_all(systems, results, 1)
            for number in progress(range(options.times), "rounds"):
                gone = generator.choice(live, rows // 5, replace=False)
                new = numpy.arange(rows + number * len(gone), rows + (number + 1) * len(gone))
                live = numpy.concatenate([numpy.setdiff1d(live, gone), new])
                churn_round(systems, results, data_set.subset(live), gone, new)
                run.save()
            found = compare_with_fresh(run, systems, data_set.subset(live))
            for name, each in found.items():
                results[name].update(each)
        finally:
            close_all(everyone)
    return [line for result in run.results["data_sets"]
            for line in [*tables.churn(result), ""]]


def churn_round(systems, results, live, gone, new):
    for system in list(systems):
        with dropped_on_error(system, systems, results):
            system.data_set = live
            done = delete(system, gone)
            start = time.monotonic()
            system.copy("items", new)
            seconds = time.monotonic() - start
            system.warm()
            results[system.name]["rounds"].append(
                {**done, "insert_rate": len(new) / seconds, "index_bytes": index_bytes(system),
                 "queries": at_default(system, len(live.queries))})


# ---- update ----

def updates(data_set):
    """What is updated, and the statement for the rows of the list $1."""
    # A vector of the same table moved a little is new to the index.
    length = f"array_fill(1e-3::real, ARRAY[{data_set.dim}])::{data_set.type}"
    return {"another column": "counter = counter + 1",
            "the vector": f"embedding = embedding + {length}"}


def update(run):
    """UPDATE of a tenth of the rows: of a column beside the vector, of the vector."""
    options = run.options
    only_servers(options)
    for data_set, result in run.data_sets():
        everyone = make_systems(options)
        systems = list(everyone)
        results = result["systems"] = {system.name: {"cases": []} for system in systems}
        order = numpy.random.default_rng(datasets.SEED).permutation(data_set.rows)
        count = max(1, data_set.rows // 10)
        try:
            open_all(systems, results, data_set, columns=COLUMN)
            build_all(systems, results, 1)
            for system in systems:
                # No HOT update: a new entry in every index.
                system.connection.execute("CREATE INDEX ON items (counter)")
            for what, change in updates(data_set).items():
                update_turns(systems, results, what, change,
                             [numpy.roll(order, -number * count)[:count]
                              for number in range(options.builds)])
                run.save()
            for system in list(systems):
                with dropped_on_error(system, systems, results):
                    results[system.name].update(
                        vacuum=timed(system, VACUUM), problems=problems(system),
                        index_bytes=index_bytes(system))
        finally:
            close_all(everyone)
    return [line for result in run.results["data_sets"]
            for line in [*tables.update(result), ""]]


def update_turns(systems, results, what, change, turns):
    cases = {system.name: {"what": what, "rows": len(turns[0]), "runs": []}
             for system in systems}
    for system in systems:
        results[system.name]["cases"].append(cases[system.name])
    for number, ids in enumerate(turns):
        for system in in_turns(systems, number):
            with fault(f"{system.name}, {what}", cases[system.name]):
                system.connection.execute("CHECKPOINT")
                some = "{" + ",".join(map(str, ids)) + "}"
                cases[system.name]["runs"].append(timed(
                    system, f"UPDATE items SET {change} WHERE id = ANY('{some}'::int[])"))
    for system in systems:
        case = cases[system.name]
        if "error" not in case:
            case["rate"] = case["rows"] / statistics.median(
                each["seconds"] for each in case["runs"])
            say(f"  {system.name}: {what}: {case['rate']:.0f} rows/s")


RUNS = {"insert": insert, "inserted": inserted, "vacuum": vacuum, "thinned": thinned,
        "churn": churn, "update": update}

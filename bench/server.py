"""The private server, the programs that are timed, and the client of the queries."""

import functools
import os
import pathlib
import re
import subprocess
import sys
import time

import numpy
import psycopg

import spaces

HERE = pathlib.Path(__file__).resolve().parent
SERVER = HERE.parent / "test" / "server.sh"
DROP_CACHES = pathlib.Path("/proc/sys/vm/drop_caches")


def pg_config(what):
    done = subprocess.run([os.environ.get("PG_CONFIG", "pg_config"), what], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return done.stdout.strip()


@functools.cache
def compile_program(cache, source, flags, libraries=()):
    """The path of the program, or None if it cannot be compiled."""
    program = cache / source.removesuffix(".cpp")
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", *flags, str(HERE / source),
               "-o", str(program), *libraries]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    sys.stderr.write(done.stderr)
    return program if done.returncode == 0 else None


def write_vectors(path, parts, change=None):
    """What hnswlib_bench.cpp reads: a count for each part, the dimension, float32; each
    block of rows changed on the way."""
    step = 1 << 14
    with open(path, "wb") as file:
        counts = [len(part) for part in parts]
        file.write(numpy.array([*counts, parts[0].shape[1]], "<u4").tobytes())
        for part in parts:
            for first in range(0, len(part), step):
                block = part[first:first + step]
                (change(block) if change else block).tofile(file)


# ---- the server ----

class Server:
    """A private one of test/server.sh; everything a client needs to reach it is
    in the environment afterwards."""

    def __init__(self, settings):
        arguments = [f"-c{name}={value}" for name, value in settings.items()]
        self.directory = self.run("create", "-u", "postgres", *arguments)

    def run(self, *arguments):
        return subprocess.run([SERVER, *arguments], stdout=subprocess.PIPE, check=True,
                              text=True).stdout.strip()

    def __enter__(self):
        try:
            self.run("start", self.directory)
            export, unset = self.run("env", self.directory).split("\n")
        except BaseException:
            self.run("destroy", self.directory)
            raise
        os.environ.update(re.findall(r"(PG\w+)='?([^' ]*)'?", export))
        for name in unset.split()[1:]:
            os.environ.pop(name, None)
        return self

    def __exit__(self, *_):
        self.run("destroy", self.directory)

    def restart(self, meanwhile=None, **settings):
        """With other settings, and with something done while it is down. Nobody
        may be connected."""
        with psycopg.connect(autocommit=True) as connection:
            connection.execute("CHECKPOINT")
            for name, value in settings.items():
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        self.run("stop", self.directory)
        done = meanwhile() if meanwhile else None
        self.run("start", self.directory)
        return done


    def set(self, name, value):
        """Of the whole server, while it runs: a setting that takes no restart."""
        with psycopg.connect(autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            connection.execute("SELECT pg_reload_conf()")
        # The processes learn of it by a signal, and some act on it in a checkpoint.
        time.sleep(0.5)
        with psycopg.connect(autocommit=True) as connection:
            connection.execute("CHECKPOINT")
            shown, = connection.execute(f"SHOW {name}").fetchone()
        if shown != value:
            raise RuntimeError(f"{name} is {shown}, not {value}")


def drop_page_cache():
    """Whether the kernel has forgotten the files: that takes root, and a
    container may not be allowed to even then."""
    os.sync()
    try:
        DROP_CACHES.write_text("3\n")
    except OSError:
        return False
    return True


def server_settings(options):
    most = max(options.processes)
    settings = {
        "shared_buffers": options.shared_buffers,
        "maintenance_work_mem": options.maintenance_work_mem,
        "wal_level": "replica",
        "max_parallel_maintenance_workers": most - 1,
        "max_worker_processes": max(8, most),
        "max_parallel_workers": max(8, most),
        # Nothing in the background but what was asked for.
        "autovacuum": "off",
        "max_wal_size": "8GB",
        "checkpoint_timeout": "1h",
    }
    # A parallel build's memory is shared memory, of which containers may have little.
    shm = pathlib.Path("/dev/shm")
    if not shm.exists() or os.statvfs(shm).f_bavail * os.statvfs(shm).f_frsize < 4 << 30:
        settings["dynamic_shared_memory_type"] = "mmap"
    settings.update(setting.split("=", 1) for setting in options.setting)
    return settings


# ---- its clients ----

class QueryClient:
    """query_client.cpp, which keeps one connection and times what it runs."""

    def __init__(self, program, database):
        self.process = subprocess.Popen([program, f"dbname={database}"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.prepared = set()
        self.libpq = self.answer().decode()

    def ask(self, command):
        self.send(command)
        return self.answer()

    def send(self, command):
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()

    def answer(self):
        head = self.process.stdout.readline().split()
        if len(head) != 2:
            raise RuntimeError("query_client ended")
        payload = self.process.stdout.read(int(head[1]))
        if head[0] != b"ok":
            raise RuntimeError(payload.decode().strip())
        return payload

    def sql(self, text):
        """Rows of strings."""
        rows = self.ask("sql " + text).decode().split("\x1e")[:-1]
        return [row.split("\x1f")[:-1] for row in rows]

    def prepare(self, name, text):
        """A statement whose $1 has the type of what was given to it."""
        if name not in self.prepared:
            self.ask(f"prepare {name} {text}")
            self.prepared.add(name)

    def give(self, cache, type_, rows):
        """Rows that are to be queries, or written."""
        path = cache / f"query_client.{os.getpid()}.rows"
        spaces.write_messages(path, type_, rows)
        try:
            self.ask(f"values {type_} {path}")
        finally:
            path.unlink()

    def run(self, name, first, count):
        """The ids that each query found, and its seconds."""
        answer = numpy.frombuffer(self.ask(f"run {name} {first} {count}"), "=i8")
        times, rows, ids = numpy.split(answer, [count, 2 * count])
        return numpy.split(ids, numpy.cumsum(rows))[:-1], times / 1e9

    def floor(self, count):
        return numpy.frombuffer(self.ask(f"floor {count}"), "=i8") / 1e9

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

#!/usr/bin/python3
"""The tables of bench/results.md again: runs the commands that stand there and
writes what they print in place of what was there.

usage: bench/refresh.py [--data FOLDER] [--cache FOLDER] [--only TEXT] [--list]

A block begins with the line `<!-- measured -->` and ends with `<!-- end -->`. It
begins with the command, as code; FOLDER in it is what --data names. Everything
behind the command is replaced by the commit, the date and the tables; a command that
fails leaves its block as it is, and the others go on.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent
DOCUMENT = TOP / "bench" / "results.md"
BLOCK = re.compile(r"(?<=^<!-- measured -->\n).*?(?=^<!-- end -->$)", re.M | re.S)
COMMAND = re.compile(r"`([^`]+)`")


def output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=TOP,
                          check=True).stdout.strip()


def commit():
    """Of the checkout, and whether more than the tables is not in it."""
    changed = output("git", "--no-optional-locks", "status", "--porcelain", "--", ".",
                     ":!bench/results.md")
    return (output("git", "rev-parse", "--short=12", "HEAD")
            + (" and uncommitted changes" if changed else ""))


def words_of(command, options, results):
    words = [options.data if word == "FOLDER" else word for word in shlex.split(command)]
    if words[0] == "bench/bench.py":
        words += ["--cache", str(options.cache), "--output", str(results)]
    if words[0].endswith(".py"):
        words = [sys.executable, *words]
    return words


def as_markdown(printed):
    """Of what another program prints: its tables and their titles, or all of it as it is."""
    lines = printed.splitlines()
    if any(line.startswith("|") for line in lines):
        return "\n".join(line for line in lines if not line or line[0] in "|*").strip()
    return "```\n" + printed.strip() + "\n```"


def measure(command, options):
    """Its tables, or None if it failed."""
    with tempfile.TemporaryDirectory() as folder:
        results = pathlib.Path(folder, "results.json")
        log = pathlib.Path(folder, "log")
        with open(log, "w", encoding="utf-8") as file:
            # Bars and news of the run go where the one who waits can see them.
            done = subprocess.run(words_of(command, options, results), cwd=TOP, check=False,
                                  stdout=file)
        printed = log.read_text()
        if done.returncode != 0:
            print(printed[-3000:], flush=True)
            return None
        if results.exists():
            return json.loads(results.read_text())["tables"]
        return as_markdown(printed)


def replace(block, said, tables):
    """In the document as it is by now: it may have been edited meanwhile."""
    text = DOCUMENT.read_text()
    if block not in text:
        print("the block is no longer there", flush=True)
        return False
    new = f"{COMMAND.match(block).group()} ({said}):\n\n{tables.strip()}\n\n"
    DOCUMENT.write_text(text.replace(block, new))
    return True


def main(words=None):
    made = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    made.add_argument("--data", metavar="FOLDER", default="FOLDER", help="as bench.py's")
    made.add_argument("--cache", metavar="FOLDER", default=TOP / "build" / "bench")
    made.add_argument("--only", metavar="TEXT", help="the commands that contain it")
    made.add_argument("--list", action="store_true", help="the commands, and run nothing")
    options = made.parse_args(words)
    failed = 0
    measured = commit()
    for block in BLOCK.findall(DOCUMENT.read_text()):
        command = COMMAND.match(block).group(1)
        if options.only and options.only not in command:
            continue
        print(command, flush=True)
        if options.list:
            continue
        tables = measure(command, options)
        today = datetime.datetime.now(datetime.timezone.utc).date()
        failed += (tables is None
                   or not replace(block, f"commit {measured}, {today}", tables))
    return int(failed > 0)


if __name__ == "__main__":
    os.environ["PYTHONUNBUFFERED"] = "1"
    sys.exit(main())

#!/usr/bin/python3
"""Who may include whom: the table of src/README, checked.

usage: check_layers.py [TOP]

Includes are full paths from src/, so the first component is the layer. The
core (base, simd, quant, graph) may not see PostgreSQL, and neither may any
header elsewhere that ends with base/no_postgres.hpp.
"""

import pathlib
import re
import sys

MAY_INCLUDE = {
    "base": {"base"},
    "simd": {"base", "simd"},
    "quant": {"base", "simd", "quant"},
    "graph": {"base", "simd", "quant", "graph"},
    "store": {"base", "simd", "quant", "graph", "store", "pg"},
    "types": {"base", "simd", "types", "pg"},
    "am": {"base", "store", "types", "am", "pg"},
    "pg": {"pg"},
    "": {"base", "simd", "types", "am", "pg"},  # src/omendb.c
}
CORE = {"base", "simd", "quant", "graph"}

# Of these layers only the headers meant for others. (Of store, C sees every .h
# and no .hpp, as everywhere.)
ONLY = {
    ("", "simd"): {"simd/kernels.h"},
    ("types", "simd"): {"simd/kernels.h"},
}

# PostgreSQL's headers live in these directories of its include path; the
# loose ones are listed from `ls $(pg_config --includedir-server)/*.h`.
PG_DIRS = {
    "access", "archive", "backup", "bootstrap", "catalog", "commands", "common",
    "datatype", "executor", "fe_utils", "foreign", "jit", "lib", "libpq", "mb",
    "nodes", "optimizer", "parser", "partitioning", "pch", "port", "portability",
    "postmaster", "regex", "replication", "rewrite", "server", "snowball",
    "statistics", "storage", "tcop", "tsearch", "utils", "postgresql",
}
PG_LOOSE = re.compile(
    r"^(postgres(_ext|_fe)?|c|fmgr|miscadmin|pgstat|funcapi|pgtime|pgtar|getaddrinfo|"
    r"getopt_long|port|varatt|windowapi|rusagestub|pg_(config\w*|getopt|trace)|plpgsql)\.h$")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
LANGUAGE = {".c": "c", ".h": "c", ".cpp": "c++", ".hpp": "c++"}


def is_postgres(name):
    return bool(PG_LOOSE.match(name)) or ("/" in name and name.split("/")[0] in PG_DIRS)


def check_include(path, layer, quote, name, core, wrapped):
    """The rule that this include breaks and what to say, or None."""
    if quote == '"' and (name.startswith(".") or "/../" in name):
        return "relative", f'"{name}": write the full path from src/'
    if is_postgres(name):
        if core:
            return "postgres", f"{name}: the core must not depend on PostgreSQL"
        if LANGUAGE[path.suffix] == "c++" and not wrapped:
            return "wrapper", f'{name}: in C++, PostgreSQL goes inside extern "C" {{ }}'
        if LANGUAGE[path.suffix] == "c++" and name == "postgres.h" and layer != "pg":
            return "wrapper", 'C++ includes "pg/postgres.hpp" instead of postgres.h'
        return None
    if quote == "<":
        return None
    target = name.split("/")[0] if "/" in name else ""
    if target not in MAY_INCLUDE:
        return "unknown", f'"{name}": no such layer'
    if target not in MAY_INCLUDE[layer]:
        return "upward", f'"{name}": {layer or "omendb.c"} may not include {target or "src/"}'
    if LANGUAGE.get(path.suffix) == "c" and name.endswith(".hpp"):
        return "language", f'"{name}": a C file cannot read C++'
    only = ONLY.get((layer, target))
    if only and name not in only:
        return "shim", f'"{name}": of {target}, only {", ".join(sorted(only))}'
    return None


def find_includes(path):
    """(line, quote, name, whether inside extern "C" { }) of each include."""
    opened = wrapped = False
    text = path.read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.split("\n"), 1):
        if re.match(r'\s*extern\s+"C"\s*\{?\s*$', line):
            opened, wrapped = True, line.rstrip().endswith("{")
        elif opened and line.strip() == "{":
            wrapped = True
        elif opened and line.startswith("}"):
            opened = wrapped = False
        if match := INCLUDE.match(line):
            yield number, match.group(1), match.group(2), wrapped


def check_file(top, path, problems):
    parts = path.relative_to(top / "src").parts
    layer = parts[0] if len(parts) > 1 else ""
    where = path.relative_to(top)
    if layer not in MAY_INCLUDE or len(parts) > 2:
        problems.append(("unknown", f"{where}: no such layer"))
        return
    includes = list(find_includes(path))
    declared = any(name == "base/no_postgres.hpp" for _, _, name, _ in includes)
    if declared and includes[-1][2] != "base/no_postgres.hpp":
        problems.append(("last", f"{where}: base/no_postgres.hpp must be the last include"))
    core = layer in CORE or declared
    for number, quote, name, wrapped in includes:
        if core and name.startswith("pg/"):
            problems.append(("postgres", f"{where}:{number}: {name}: the core must not see it"))
            continue
        found = check_include(path, layer, quote, name, core, wrapped)
        if found:
            problems.append((found[0], f"{where}:{number}: {found[1]}"))


def main():
    top = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    problems = []
    for path in sorted((top / "src").rglob("*")):
        if path.suffix in LANGUAGE:
            check_file(top, path, problems)
    rules = ("upward", "postgres", "wrapper", "relative", "unknown", "language", "shim", "last")
    for rule in rules:
        found = [text for name, text in problems if name == rule]
        for text in found:
            print(f"  {text}")
        print(f"{'not ok' if found else 'ok'} layers/{rule}")
    sys.exit(1 if problems else 0)


main()

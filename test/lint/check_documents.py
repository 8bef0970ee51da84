#!/usr/bin/python3
"""What documents and packaging say of the project, compared with the project.

usage: check_documents.py [TOP]

What only a server can tell (settings, ranges, functions, whether SQL runs) is
compared by test/t/030_readme.pl.
"""

import json
import pathlib
import re
import sys

SEMVER = re.compile(r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[A-Za-z][\w-]*)?$")
# PGXN Meta Spec 1.0.0: names of licenses that need no URL.
LICENSES = {
    "agpl_3", "apache_1_1", "apache_2_0", "artistic_1", "artistic_2", "bsd", "freebsd",
    "gfdl_1_2", "gfdl_1_3", "gpl_1", "gpl_2", "gpl_3", "lgpl_2_1", "lgpl_3_0", "mit",
    "mozilla_1_0", "mozilla_1_1", "openssl", "perl_5", "postgresql", "qpl_1_0", "ssleay",
    "sun", "zlib", "open_source", "restricted", "unrestricted", "unknown"}
META_REQUIRED = {"name", "version", "abstract", "maintainer", "license", "provides", "meta-spec"}
META_KNOWN = META_REQUIRED | {"description", "generated_by", "no_index", "prereqs",
                              "release_status", "resources", "tags"}
PHASES = {"configure", "build", "test", "runtime", "develop"}
RELATIONS = {"requires", "recommends", "suggests", "conflicts"}
MAX_README_LINES = 450
# Of a server: PostgreSQL 15, postgresql-15-omendb, postgresql-server-dev-15, postgres:15.
SERVER = re.compile(r"\b(?:PostgreSQL|[Pp]ostgres(?:ql)?)(?:-server-dev-|[ :-])"
                    r"(\d\d(?:(?:, | and | to |-)\d\d)*)\b")


class Project:
    def __init__(self, top):
        self.top = top
        self.problems = []

    def text(self, name):
        path = self.top / name
        return path.read_text() if path.exists() else ""

    def report(self, rule, text):
        self.problems.append((rule, text))

    def found(self, pattern, name):
        match = re.search(pattern, self.text(name), re.M)
        return match.group(1) if match else None

    def meta(self):
        try:
            return json.loads(self.text("META.json"))
        except ValueError as error:
            self.report("meta", f"META.json: {error}")
            return None


def check_versions(project, meta):
    """One version everywhere."""
    version = project.found(r"^default_version = '(.*)'$", "omendb.control")
    if not version:
        project.report("versions", "omendb.control: no default_version")
        return
    places = {
        "src/omendb.c": project.found(r'^#define OMENDB_VERSION "(.*)"$', "src/omendb.c"),
        "CHANGELOG.md": project.found(r"^## (\d\S*)", "CHANGELOG.md"),
        "debian/changelog": project.found(r"^omendb \((.*)-\d+\)", "debian/changelog")}
    if meta is not None:
        places["META.json"] = meta.get("version")
        for name, entry in dict(meta.get("provides") or {}).items():
            places[f"META.json, {name}"] = entry.get("version")
    for package in re.findall(r"omendb_(\d[\w.]*)-\d", project.text("README.md")):
        places["README.md, the package"] = package
    for place, other in places.items():
        if other != version:
            project.report("versions", f"{place}: {other}, but omendb.control: {version}")
    if not (project.top / f"sql/omendb--{version}.sql").exists():
        project.report("versions", f"no sql/omendb--{version}.sql")


def check_addresses(project):
    """A release has a maintainer who can be reached; before, the address is nobody's, in
    the domain that is reserved for that."""
    heading = project.found(r"^## (\d.*)$", "CHANGELOG.md") or ""
    for name in ("META.json", "debian/control", "debian/control.in", "debian/changelog"):
        for host in re.findall(r"<[^<>\s@]+@([\w.-]+)>", project.text(name)):
            nobody = host.endswith(".invalid")
            if nobody and "(unreleased)" not in heading:
                project.report("addresses", f"{name}: {host} of a version that is released")
            elif re.search(r"(^|\.)(example(\.\w+)?|test|localhost)$", host):
                project.report("addresses", f"{name}: {host}, neither an address nor .invalid")


def license_is_known(given):
    if isinstance(given, dict):
        return bool(given) and all(re.match(r"https?://", url) for url in given.values())
    given = [given] if isinstance(given, str) else given
    return isinstance(given, list) and bool(given) and set(given) <= LICENSES


def check_prereqs(meta):
    for phase, relations in meta.get("prereqs", {}).items():
        if phase not in PHASES and not phase.startswith("x_"):
            yield f"prereqs: no phase {phase}"
        for relation, wanted in relations.items():
            if relation not in RELATIONS:
                yield f"prereqs: no relation {relation}"
            for name, ranges in wanted.items():
                for part in str(ranges).split(","):
                    bare = re.sub(r"^\s*(>=|<=|==|!=|<|>)?\s*", "", part).strip()
                    if bare != "0" and not SEMVER.match(bare):
                        yield f"prereqs: {name}: {part.strip()} is no version"


def check_provides(project, meta):
    provides = meta.get("provides")
    if not isinstance(provides, dict) or not provides:
        yield "provides: not a map of extensions"
        return
    for name, entry in provides.items():
        if not SEMVER.match(str(entry.get("version"))):
            yield f"provides: {name}: version is not semantic"
        if "file" not in entry:
            yield f"provides: {name}: no file"
        for key in ("file", "docfile"):
            if key in entry and not (project.top / entry[key]).exists():
                yield f"provides: {name}: no {entry[key]}"


def check_meta(project, meta):
    """https://pgxn.org/spec/, 1.0.0."""
    if meta is None:
        return
    for key in sorted(META_REQUIRED - set(meta)):
        project.report("meta", f"META.json: no {key}")
    for key in meta:
        if key not in META_KNOWN and not key.lower().startswith("x_"):
            project.report("meta", f"META.json: no such key as {key}")
    if META_REQUIRED - set(meta):
        return
    said = []
    if not re.match(r"^[^\s/\\\x00-\x1f]{2,}$", str(meta["name"])):
        said.append("name: at least two characters, no blanks and slashes")
    if not SEMVER.match(str(meta["version"])):
        said.append("version: not semantic")
    if not isinstance(meta["abstract"], str) or not meta["abstract"].strip():
        said.append("abstract: empty")
    people = meta["maintainer"]
    people = [people] if isinstance(people, str) else people
    if not people or not all(isinstance(one, str) and one.strip() for one in people):
        said.append("maintainer: not a name or a list of names")
    if not license_is_known(meta["license"]):
        said.append("license: neither known names nor a map of names to URLs")
    if dict(meta["meta-spec"]).get("version") != "1.0.0":
        said.append("meta-spec: version is not 1.0.0")
    if meta.get("release_status", "stable") not in ("stable", "testing", "unstable"):
        said.append("release_status: stable, testing or unstable")
    said += check_prereqs(meta)
    said += check_provides(project, meta)
    for text in said:
        project.report("meta", f"META.json: {text}")


def check_servers(project, meta):
    """No server is named but those whose package a test builds, or whose headers
    test/headers.sh compiles against."""
    built = set(re.findall(r"^(\d+)$", project.text("debian/pgversions"), re.M))
    if not built:
        project.report("servers", "debian/pgversions: no version")
        return
    suites = project.found(r'^SUITES="(.*)"$', "test/headers.sh") or ""
    compiled = {pair.split(":")[0] for pair in suites.split()}
    for name in ("README.md", "CHANGELOG.md", "debian/control", "Dockerfile"):
        for number, line in enumerate(project.text(name).split("\n"), 1):
            for major in re.findall(r"\d\d", " ".join(SERVER.findall(line))):
                if major not in built | compiled:
                    project.report("servers", f"{name}:{number}: {major} is not in "
                                              "debian/pgversions, nor in test/headers.sh")
    needs = str(((meta or {}).get("prereqs", {}).get("runtime", {}).get("requires", {})
                 .get("PostgreSQL")))
    numbers = sorted(int(major) for major in built)
    expected = f">= {numbers[0]}.0.0, < {numbers[-1] + 1}.0.0"
    if meta is not None and needs != expected:
        project.report("servers", f"META.json: PostgreSQL {needs}, not {expected}")


def check_options(project):
    """Every option of an index is in README's table, and no other."""
    has = set(re.findall(r'add_\w+_reloption\(options_kind,\s*"(\w+)"',
                         project.text("src/am/options.c")))
    table = re.search(r"^\| index option \|.*\n\|[-|]*\n((?:\|.*\n)*)",
                      project.text("README.md"), re.M)
    said = set(re.findall(r"^\| `(\w+)`", table.group(1), re.M)) if table else set()
    for name in sorted(has - said):
        project.report("options", f"README.md: nothing of the index option {name}")
    for name in sorted(said - has):
        project.report("options", f"README.md: there is no index option {name}")


def check_phases(project):
    body = re.search(r"\nomendb_ambuildphasename\(.*?\n}\n", project.text("src/am/build.c"), re.S)
    for phase in re.findall(r'return "(.*)";', body.group() if body else ""):
        if f"`{phase}`" not in project.text("README.md"):
            project.report("phases", f"README.md: nothing of the phase {phase}")


def check_findings(project):
    """Every warning of omen_hnsw_check is explained, and no other."""
    has = set()
    for path in sorted((project.top / "src/store").glob("check*.cpp")):
        has.update(re.findall(r'finding\(check, "WARN", "(\w+)"', path.read_text()))
    table = re.search(r"^\| invariant \|.*\n\|[-|]*\n((?:\|.*\n)*)",
                      project.text("README.md"), re.M)
    rows = table.group(1).split("\n") if table else []
    said = {code for row in rows for code in re.findall(r"`(\w+)`", row.split(" | ")[0])}
    for code in sorted(has - said):
        project.report("findings", f"README.md: nothing of the warning {code}")
    for code in sorted(said - has):
        project.report("findings", f"README.md: there is no warning {code}")


def anchor(heading):
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def check_links(project):
    for path in sorted({*project.top.glob("*.md"), *project.top.glob("*/README.md"),
                        *project.top.glob("bench/*.md")}):
        name = path.relative_to(project.top).as_posix()
        text = re.sub(r"^```.*?^```", lambda fence: re.sub(r"[^\n]", "", fence.group()),
                      path.read_text(), flags=re.M | re.S)
        anchors = {anchor(heading) for heading in re.findall(r"^#+ (.*)$", text, re.M)}
        for match in re.finditer(r"\]\(([^)\s]+)\)", text):
            target = match.group(1)
            number = text.count("\n", 0, match.start()) + 1
            if re.match(r"https?:", target):
                continue
            if target.startswith("#"):
                if target[1:] not in anchors:
                    project.report("links", f"{name}:{number}: no heading {target}")
            elif not (path.parent / target.split("#")[0]).exists():
                project.report("links", f"{name}:{number}: no {target}")


# Files of the project, said as code; of those to come (omendb--B.sql) only the shape.
NAMED = re.compile(r"(?<![\w/.-])((?:bench|debian|sql|src|test)/[\w./-]*\.\w+)")


def check_files(project):
    for name in ("README.md", "CHANGELOG.md", "bench/README.md", "bench/results.md",
                 "bench/decisions.md", "test/lint/README.md", "debian/rules", "Dockerfile"):
        text = project.text(name)
        for number, line in enumerate(text.split("\n"), 1):
            # Links have a rule of their own.
            for path in NAMED.findall(re.sub(r"\]\([^)]*\)", "]", line)):
                to_come = re.search(r"--[A-Z]\b", path)
                if not to_come and not (project.top / path).exists():
                    project.report("files",
                                   f"{name}:{number}: there is no {path}")


def check_goals(project):
    makefile = project.text("Makefile")
    tasks = re.search(r"^TASKS = (.*)$", makefile, re.M)
    goals = set(tasks.group(1).split() if tasks else []) | {"all", "install", "installcheck",
                                                            "clean"}
    for name in ("README.md", "CHANGELOG.md", "bench/README.md", "bench/results.md",
                 "bench/decisions.md"):
        text = project.text(name)
        code = [line for fence in re.findall(r"^```.*?^```", text, re.M | re.S)
                for line in fence.split("\n")] + re.findall(r"`([^`\n]+)`", text)
        for piece in code:
            match = re.match(r"(?:sudo )?make ([a-z-]+)\b(?!=)", piece)
            if match and not match.group(1).startswith("-") and match.group(1) not in goals:
                project.report("goals", f"{name}: make has no goal {match.group(1)}")


FIGURE = re.compile(r"(?<![\w.,-])\d+(?: \d{3})*(?:\.\d+)?(?![\d.]*\w)")


def figures_of(text):
    return [figure.replace(" ", "") for figure in FIGURE.findall(text)]


def is_among(figure, numbers):
    """As rounded as it is said, in the same unit or a thousandth of it."""
    zeros = len(figure) - len(figure.rstrip("0"))
    half = 0.5 * 10 ** (-len(figure.split(".")[1]) if "." in figure else zeros)
    return any(abs(number / unit - float(figure)) <= half * 1.001
               for number in numbers for unit in (1, 1000))


def check_figures(project):
    """The figures of a line of README's comparison stand together in a section of
    bench/results.md: a table that was measured again leaves none behind."""
    table = re.search(r"^\| data \| \| .*\n\|[-|]*\n((?:\|.*\n)*)",
                      project.text("README.md"), re.M)
    sections = [[float(figure) for figure in figures_of(section)] for section in
                re.split(r"^(?=#+ |\*\*)", project.text("bench/results.md"), flags=re.M)]
    for line in table.group(1).split("\n") if table else []:
        ours, theirs = (figures_of(cell) for cell in (line.split("|") + 4 * [""])[3:5])
        for number, figure in enumerate(ours):
            pair = [figure] + theirs[number:number + 1]
            if not any(all(is_among(one, section) for one in pair) for section in sections):
                project.report("figures", f"README.md: {' and '.join(pair)}: together in no "
                                          f"section of bench/results.md: {line[:40]}")


def check_length(project):
    lines = project.text("README.md").count("\n")
    if lines > MAX_README_LINES:
        project.report("length", f"README.md has {lines} lines, over {MAX_README_LINES}")


RULES = ("versions", "addresses", "meta", "servers", "options", "phases", "findings", "links",
         "files", "goals", "figures", "length")


def main():
    project = Project(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())
    meta = project.meta()
    check_versions(project, meta)
    check_addresses(project)
    check_meta(project, meta)
    check_servers(project, meta)
    for check in (check_options, check_phases, check_findings, check_links, check_files,
                  check_goals, check_figures, check_length):
        check(project)
    for rule in RULES:
        found = [text for name, text in project.problems if name == rule]
        for text in found:
            print(f"  {text}")
        print(f"{'not ok' if found else 'ok'} documents/{rule}")
    sys.exit(1 if project.problems else 0)


main()

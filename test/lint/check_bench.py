#!/usr/bin/python3
"""Whether what the documents say of the benchmarks exists.

usage: check_bench.py [TOP]

Every `bench/PROGRAM ...` in README.md and of bench/ is looked at: the program
must be there; a command of bench.py must be one that its own parser (bench/options.py)
takes; of another program the options must be in its text. Code of bench/README.md
that begins with -- or ... has options of any of them. And the reverse: every mode and
option of bench.py is said in bench/README.md. The tables of bench/results.md are
bench/refresh.py's, all of one commit.
"""

import contextlib
import importlib.util
import io
import pathlib
import re
import shlex
import sys

DOCUMENTS = ("README.md", "bench/README.md", "bench/results.md", "bench/decisions.md")
FENCE = re.compile(r"^```.*?^```", re.M | re.S)
SPAN = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"(?:^|\s)(bench/[\w.-]+\.(?:py|sh))(.*)")
# As bench/refresh.py leaves a block.
MEASURED = re.compile(r"^<!-- measured -->\n(.*?)^(<!-- end -->$|<!-- measured -->$|\Z)",
                      re.M | re.S)
WRITTEN = re.compile(r"\A`[^`\n]+` \(commit ([0-9a-f]{12}), \d{4}-\d\d-\d\d\):\n\n"
                     r"(?=[^\n])(?:[^\n]*\n)*?(?:\||```)")
PLACEHOLDER = re.compile(r"^\[[A-Z]+\]$|^\.\.\.$")


def options_of(top):
    """bench/options.py, which needs nothing but the standard library."""
    path = top / "bench" / "options.py"
    if not path.exists():
        return None
    sys.dont_write_bytecode = True
    spec = importlib.util.spec_from_file_location("bench_options", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pieces(text):
    """(line, code) of everything that is set as code."""
    for fence in FENCE.finditer(text):
        first = text.count("\n", 0, fence.start()) + 1
        for number, line in enumerate(fence.group().split("\n")[1:-1], first + 1):
            yield number, line
    # The fences blanked: a span does not begin in one.
    text = FENCE.sub(lambda fence: re.sub(r"[^\n]", " ", fence.group()), text)
    for span in SPAN.finditer(text):
        yield text.count("\n", 0, span.start()) + 1, span.group(1)


def refused(parser, words):
    """What the parser says against the command, or None."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            parser.parse_args(words)
        except SystemExit:
            return said.getvalue().strip().split("\n")[-1] or "refused"
    return None


def check_command(top, parser, program, rest):
    """What is wrong with it, or None."""
    path = top / program
    if not path.exists():
        return "no such program"
    try:
        words = shlex.split(rest, comments=True)
    except ValueError as error:
        return str(error)
    words = [word for word in words if not PLACEHOLDER.match(word)]
    if program == "bench/bench.py":
        return refused(parser, words)
    source = path.read_text()
    unknown = [word for word in words if word.startswith("--")
               and word.split("=")[0] not in source]
    return f"no option {unknown[0]}" if unknown else None


def option_names(parser):
    return {name for action in parser._actions for name in action.option_strings
            if name.startswith("--") and name != "--help"}


def unknown_option(known, code):
    unknown = [word for word in re.findall(r"(?<!\S)--[\w-]+", code) if word not in known]
    return f"no program has an option {unknown[0]}" if unknown else None


def check_commands(top, parser, problems):
    known = option_names(parser)
    for path in (top / "bench").glob("*.py"):
        known.update(re.findall(r"""(?<=['"])--[\w-]+""", path.read_text()))
    for name in DOCUMENTS:
        path = top / name
        if not path.exists():
            continue
        for number, code in pieces(path.read_text()):
            if match := COMMAND.search(code):
                wrong = check_command(top, parser, *match.groups())
            elif code.startswith(("--", "... ")) and name == "bench/README.md":
                wrong = unknown_option(known, code)
            else:
                continue
            if wrong:
                problems.append(("commands", f"{name}:{number}: {code.strip()}: {wrong}"))


def check_said(top, modes, parser, problems):
    path = top / "bench" / "README.md"
    text = path.read_text() if path.exists() else ""
    words = {word for _, code in pieces(text) for word in re.findall(r"[\w-]+", code)}
    for what in [*modes, *sorted(option_names(parser))]:
        if what not in words:
            problems.append(("said", f"bench/README.md: nothing of {what}"))


def check_measured(top, problems):
    """Each block has a command, a commit and a table, and the commit is the same in all."""
    path = top / "bench" / "results.md"
    text = path.read_text() if path.exists() else ""
    commits = {}
    for block in MEASURED.finditer(text):
        line = text.count("\n", 0, block.start()) + 1
        written = WRITTEN.match(block.group(1))
        if not written or block.group(2) != "<!-- end -->":
            problems.append(("measured", f"bench/results.md:{line}: not as refresh.py leaves it"))
        else:
            commits.setdefault(written.group(1), line)
    if len(commits) > 1:
        places = ", ".join(f"{commit} in line {line}" for commit, line in commits.items())
        problems.append(("measured", f"bench/results.md: tables of several commits: {places}"))


def main():
    top = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    problems = []
    options = options_of(top)
    if options is None:
        problems.append(("commands", "bench/options.py is missing"))
    else:
        parser = options.parser("")
        check_commands(top, parser, problems)
        check_said(top, options.MODES, parser, problems)
    check_measured(top, problems)
    for rule in ("commands", "said", "measured"):
        found = [text for name, text in problems if name == rule]
        for text in found:
            print(f"  {text}")
        print(f"{'not ok' if found else 'ok'} bench/{rule}")
    sys.exit(1 if problems else 0)


main()

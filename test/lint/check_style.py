#!/usr/bin/python3
"""Rules of the source that a program can check; README.md lists them.

usage: check_style.py [TOP]
"""

import pathlib
import re
import sys

CODE = {".c", ".h", ".cpp", ".hpp"}
SCRIPT = {".py", ".sh", ".pl", ".pm"}
TEXT = CODE | SCRIPT | {".sql", ".out", ".spec", ".md", ".mk", ".control"}
NAMES = {"Makefile", "README", "LICENSE", "run", ".clang-format", ".clang-tidy",
         ".editorconfig", ".gitignore"}
# What builds and tests leave behind, and what is not ours.
SKIP = {".git", "build", "results", "output_iso", "tmp_check", "__pycache__", "node_modules"}

MAX_COLUMNS = 100
MAX_PERL_COLUMNS = 120  # mostly SQL, which has no limit
MAX_LINES = 100
MAX_PARAMETERS = 7

VERSION_FILES = {"src/pg/compat.h", "src/am/handler.c"}

BANNED_CXX = [
    (re.compile(r"\bnew\b(?!\s*\()"), "new: memory comes from an arena"),
    (re.compile(r"(?<!=\s)(?<!=)\bdelete\b"), "delete: memory belongs to an arena"),
    (re.compile(r"\b(throw|try|catch)\b"), "exceptions: errors are values"),
    (re.compile(r"\b(dynamic_cast|typeid)\b"), "RTTI is off"),
]
BANNED = [
    (re.compile(r"\bstd::(vector|string|function|(unordered_)?(multi)?(map|set)|list|deque|"
                r"unique_ptr|shared_ptr|mutex|thread)\b"),
     "allocates, throws, or has a destructor that a longjmp would skip"),
    (re.compile(r"(?<![\w.>:])(malloc|calloc|realloc|free|abort|exit|printf|fprintf)\s*\("),
     "belongs to programs; the core has arenas, statuses and assertions"),
]


class File:
    """A text and, for C and C++, the text with comments and strings blanked."""

    def __init__(self, top, path):
        self.name = path.relative_to(top).as_posix()
        self.suffix = path.suffix
        self.raw = path.read_bytes()
        self.text = self.raw.decode("utf-8", errors="replace")
        self.lines = self.text.split("\n")
        self.code = blank(self.text) if self.suffix in CODE else ""

    def in_src(self):
        return self.name.startswith("src/")


TOKENS = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'|.|\n", re.S)


def blank(text):
    """The code alone: every line keeps its number."""
    # A digit separator (1'000) is no character literal.
    text = re.sub(r"(?<=[0-9a-fA-F])'(?=[0-9a-fA-F])", "_", text)
    out = []
    for match in TOKENS.finditer(text):
        token = match.group()
        if token[:2] in ("//", "/*"):
            out.append(re.sub(r"[^\n]", " ", token))
        elif len(token) > 1 and token[0] in "\"'":
            out.append(token[0] + " " * (len(token) - 2) + token[0])
        else:
            out.append(token)
    return "".join(out)


def without_preprocessor(code):
    """Blank directives, and all branches of a condition but the first, so that
    braces balance."""
    out, skipping, continued = [], [], False
    for line in code.split("\n"):
        directive = continued or line.lstrip().startswith("#")
        if directive and not continued:
            word = re.match(r"\s*#\s*(\w*)", line).group(1)
            if word in ("if", "ifdef", "ifndef"):
                skipping.append(False)
            elif word in ("else", "elif") and skipping:
                skipping[-1] = True
            elif word == "endif" and skipping:
                skipping.pop()
        continued = directive and line.rstrip().endswith("\\")
        out.append("" if directive or any(skipping) else line)
    return "\n".join(out)


CONTAINER = re.compile(r"\b(namespace|struct|class|union|enum)\b[^()=]*$|^\s*extern\s*\"\s*\"\s*$")
FUNCTION_TAIL = re.compile(
    r"\)\s*(const|noexcept|override|final|->[\w\s:*&<>,]+|__attribute__\s*\(\(.*?\)\)|\s)*$", re.S)
INITIALISERS = re.compile(r"\)\s*(noexcept\s*)?:(?!:).*[)}]\s*$", re.S)
# Before the brace of b_{x} in such a list: not yet the body.
IN_INITIALISERS = re.compile(r"\)\s*(noexcept\s*)?:(?!:).*[\w>]\s*$", re.S)
NOT_NAMES = {"__attribute__", "alignas", "decltype", "noexcept", "if", "for", "while", "switch",
             "return", "defined", "sizeof", "static_assert", "StaticAssertDecl"}


def balanced(text, start):
    """The text between the bracket at start and its partner."""
    depth = 0
    for i in range(start, len(text)):
        depth += text[i] in "([{"
        depth -= text[i] in ")]}"
        if depth == 0:
            return text[start + 1:i]
    return text[start + 1:]


def parameters(head):
    """(name, how many) of a function's head, or None."""
    for match in re.finditer(r"([~\w]+)\s*\(", head):
        if match.group(1) in NOT_NAMES:
            continue
        inside = balanced(head, match.end() - 1)
        if not inside.strip() or inside.strip() == "void":
            return match.group(1), 0
        # Commas within brackets, templates' too, separate nothing of ours.
        while True:
            flat = re.sub(r"\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}|<[^<>]*>", "", inside)
            if flat == inside:
                break
            inside = flat
        return match.group(1), inside.count(",") + 1
    return None


def functions(code):
    """Yield (line, name, parameters, lines of the body or 0 for a prototype)."""
    code = without_preprocessor(code)
    stack = []  # kinds of the open braces: "container", "initialiser" or "other"
    head_start = 0
    line = 1
    body = None  # (depth, line of the brace, head, line of the head)
    for i, char in enumerate(code):
        if char == "\n":
            line += 1
        elif char == "{":
            head = code[head_start:i]
            if body is None and all(kind == "container" for kind in stack):
                if CONTAINER.search(head):
                    stack.append("container")
                    head_start = i + 1
                    continue
                if FUNCTION_TAIL.search(head) or INITIALISERS.search(head):
                    body = (len(stack), line, head)
                elif IN_INITIALISERS.search(head):
                    stack.append("initialiser")
                    continue
            stack.append("other")
        elif char == "}":
            if stack and stack.pop() == "initialiser":
                continue
            if body is not None and len(stack) == body[0]:
                found = parameters(body[2])
                if found:
                    yield body[1], found[0], found[1], line - body[1] + 1
                body = None
            if all(kind == "container" for kind in stack):
                head_start = i + 1
        elif char == ";" and body is None and all(kind == "container" for kind in stack):
            head = code[head_start:i]
            found = parameters(head) if "=" not in head else None
            if found:
                yield line, found[0], found[1], 0
            head_start = i + 1


class Checker:
    def __init__(self, top):
        self.top = top
        self.problems = {}
        self.files = [File(top, path) for path in self.walk(top)]

    def walk(self, folder):
        for path in sorted(folder.iterdir()):
            if path.is_dir():
                if path.name not in SKIP:
                    yield from self.walk(path)
            elif path.suffix in TEXT or path.name in NAMES:
                yield path

    def report(self, rule, where, text):
        self.problems.setdefault(rule, []).append(f"{where}: {text}")

    def each_match(self, rule, file, pattern, text, source):
        for match in pattern.finditer(source):
            number = source.count("\n", 0, match.start()) + 1
            self.report(rule, f"{file.name}:{number}", text)

    # ---- any text ----

    def check_ascii(self, file):
        for number, line in enumerate(file.raw.split(b"\n"), 1):
            if any(byte > 126 or (byte < 32 and byte != 9) for byte in line):
                self.report("ascii", f"{file.name}:{number}", "not plain ASCII")

    def check_whitespace(self, file):
        if file.suffix in {".out", ".md"}:
            return  # written by psql; two blanks break a line of Markdown
        for number, line in enumerate(file.lines, 1):
            if line != line.rstrip():
                self.report("whitespace", f"{file.name}:{number}", "blanks at the end")
            elif re.match(r"\t* +\t", line):
                self.report("whitespace", f"{file.name}:{number}", "a blank before a tab")
            elif file.suffix in {".py", ".sh"} and "\t" in line:
                self.report("whitespace", f"{file.name}:{number}", "a tab")
        if file.raw and not file.raw.endswith(b"\n"):
            self.report("whitespace", file.name, "no newline at the end")
        for number, line in enumerate(file.code.split("\n"), 1):
            if re.match(r" {4,}\S", line) and file.lines[number - 1].startswith("    "):
                self.report("whitespace", f"{file.name}:{number}", "indent with tabs")

    def check_columns(self, file):
        if file.suffix not in CODE | SCRIPT | {".mk"} and file.name.split("/")[-1] != "Makefile":
            return
        limit = MAX_PERL_COLUMNS if file.suffix in {".pl", ".pm"} else MAX_COLUMNS
        for number, line in enumerate(file.lines, 1):
            if len(line.expandtabs(4)) > limit:
                self.report("columns", f"{file.name}:{number}", f"over {limit} columns")

    def check_todo(self, file):
        if file.name.startswith("test/lint/"):
            return  # the rule has to name what it forbids
        self.each_match("todo", file, re.compile(r"\b(TODO|FIXME|XXX)\b(?!\([a-z]+\))"),
                        "write TODO(name): and the reason", file.text)

    def check_paths(self, file):
        if file.name.startswith("test/lint/"):
            return
        self.each_match("paths", file, re.compile(r"(?<![\w.$}])/(work|home|root|Users)/"),
                        "a path of one machine", file.text)

    # ---- code ----

    def check_banned(self, file):
        rules = list(BANNED)
        if file.suffix in {".cpp", ".hpp"} or file.name.endswith("-inl.h"):
            rules += BANNED_CXX
        code = without_preprocessor(file.code)
        for pattern, text in rules:
            self.each_match("banned", file, pattern, text, code)

    def check_destructors(self, file):
        # Mixed case: ~SOME_MACRO(x) is an expression.
        self.each_match("destructor", file, re.compile(r"~\s*[A-Z]\w*[a-z]\w*\s*\("),
                        "a longjmp skips destructors, so there are none", file.code)

    def check_version(self, file):
        if file.name not in VERSION_FILES:
            self.each_match("version", file, re.compile(r"\bPG_VERSION_NUM\b"),
                            "server versions are told apart in pg/compat.h", file.code)

    def check_functions(self, file):
        for number, name, count, lines in functions(file.code):
            where = f"{file.name}:{number}"
            if lines > MAX_LINES:
                self.report("length", where, f"{name} has {lines} lines, over {MAX_LINES}")
            # Kernels take flat arguments, for they are called through a C
            # table; of two callbacks the server decides.
            if (count > MAX_PARAMETERS and not file.name.startswith("src/simd/")
                    and not re.match(r"(omendb_)?am(insert|costestimate)", name)):
                self.report("parameters", where,
                            f"{name} has {count} parameters, over {MAX_PARAMETERS}")

    # ---- the tree ----

    def stems(self, folder, suffix):
        return {path.name[:-len(suffix)] for path in (self.top / folder).glob("*" + suffix)}

    def check_twins(self):
        pairs = (("sql", ".sql", "expected"),
                 ("test/isolation/specs", ".spec", "test/isolation/expected"))
        for folder, suffix, expected in pairs:
            tests = {stem for stem in self.stems(folder, suffix)
                     if not stem.startswith("omendb--")}
            # name_1.out is pg_regress's alternative of name.out.
            outputs = self.stems(expected, ".out")
            outputs = {stem for stem in outputs
                       if re.sub(r"_\d$", "", stem) not in outputs - {stem}}
            for stem in sorted(tests - outputs):
                self.report("twins", f"{folder}/{stem}{suffix}", f"no {expected}/{stem}.out")
            for stem in sorted(outputs - tests):
                self.report("twins", f"{expected}/{stem}.out", f"no {folder}/{stem}{suffix}")

    def check_listed(self):
        folder = self.top / "test/lint"
        readme = folder / "README.md"
        text = readme.read_text() if readme.exists() else ""
        for path in sorted(folder.glob("*")):
            if path.suffix in SCRIPT and path.name not in text:
                self.report("listed", f"test/lint/{path.name}", "not in test/lint/README.md")

    def run(self):
        for file in self.files:
            self.check_ascii(file)
            self.check_whitespace(file)
            self.check_columns(file)
            self.check_todo(file)
            self.check_paths(file)
            if file.suffix in CODE and file.in_src():
                self.check_banned(file)
                self.check_destructors(file)
                self.check_version(file)
                self.check_functions(file)
        self.check_twins()
        self.check_listed()


RULES = ("ascii", "whitespace", "columns", "todo", "paths", "banned", "destructor", "version",
         "length", "parameters", "twins", "listed")


def main():
    checker = Checker(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())
    checker.run()
    for rule in RULES:
        found = checker.problems.get(rule, [])
        for text in found:
            print(f"  {text}")
        print(f"{'not ok' if found else 'ok'} style/{rule}")
    sys.exit(1 if checker.problems else 0)


if __name__ == "__main__":
    main()

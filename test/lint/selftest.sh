#!/usr/bin/env bash
#
# selftest.sh - proves that every rule fires: plants one violation of each in a
# tree of its own. A check that never failed is decoration.
set -euo pipefail
lint=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

# What check_documents.py reads, all of it as it should be.
fresh_documents()
{
    mkdir -p debian
    printf '%s\n' '# X' 'See `bench/other.py --depth 3`, [above](#x), [there](bench/README.md).' \
        'PostgreSQL 15 and 17, `first phase`, omendb_1.2.0-1.' '' \
        '| index option | default |' '|---|---|' '| `one` | 1 |' '| `two` | 2 |' '' \
        '```' 'make check   # all' 'make PG_CONFIG=x' '```' '' \
        '| data | | us | them |' '|---|---|---|---|' '| | y | 1 200, 9 ms | 340 |' >README.md
    printf '%s\n' "default_version = '1.2.0'" >omendb.control
    : >sql/omendb--1.2.0.sql
    echo '#define OMENDB_VERSION "1.2.0"' >src/omendb.c
    printf '%s\n' '# Changes' '' '## 1.2.0 (unreleased)' '' '## 1.1.0' >CHANGELOG.md
    echo 'omendb (1.2.0-1) unstable; urgency=medium' >debian/changelog
    echo ' -- x <x@x.invalid>' >>debian/changelog
    echo 15 >debian/pgversions
    echo 'SUITES="17:x"' >test/headers.sh
    echo 'TASKS = check lint' >Makefile
    printf '%s\n' '' 'x = add_int_reloption(options_kind, "one", 1);' \
        'x = add_enum_reloption(options_kind,' '"two");' >src/am/options.c
    printf '\nomendb_ambuildphasename(int64 phase)\n{\n\treturn "first phase";\n}\n' >src/am/build.c
    cat >META.json <<'JSON'
{"name": "omendb", "version": "1.2.0", "abstract": "x", "maintainer": "x", "license": "postgresql",
 "provides": {"omendb": {"file": "sql/omendb--1.2.0.sql", "version": "1.2.0"}},
 "prereqs": {"runtime": {"requires": {"PostgreSQL": ">= 15.0.0, < 16.0.0"}}},
 "meta-spec": {"version": "1.0.0"}}
JSON
}

# A tree that breaks nothing.
fresh()
{
    rm -rf "$work/tree"
    mkdir -p "$work/tree"/{src/{base,simd,quant,graph,store,types,am,pg},sql,expected} \
        "$work/tree"/test/{lint,isolation/specs,isolation/expected} "$work/tree/bench"
    cd "$work/tree"
    : >test/lint/README.md
    printf '#include <stdint.h>\n' >src/base/a.h
    printf '#include "base/a.h"\n\nvoid\nf(int a, T<int, int> b, int (*g)(int, int))\n{\n}\n' \
        >src/graph/a.hpp
    printf '#include "pg/postgres.hpp"\nextern "C"\n{\n#include "access/genam.h"\n}\n' \
        >src/store/a.cpp
    printf '%s\n' '#include "postgres.h"' '#include "store/index.h"' \
        'int aminsert_x(int a, int b, int c, int d, int e, int g, int h, int i);' >src/am/a.c
    printf '%s\n' 'import argparse' "MODES = {'one': 'of two', 'two': 'the other'}" \
        'def parser(text):' '    made = argparse.ArgumentParser(description=text)' \
        "    made.add_argument('mode', choices=list(MODES))" \
        "    made.add_argument('--rows', type=int)" '    return made' >bench/options.py
    touch bench/bench.py
    printf '%s\n' '# --depth' >bench/other.py
    printf '%s\n' '`bench/bench.py one --rows 3`, `... --rows 4`' '' '```' \
        'bench/bench.py two   # comment' '```' >bench/README.md
    printf '%s\n' '# A' '| 1234 | 342 | 9012 |' '' '# B' \
        '| 1610 | 777 |' '' '<!-- measured -->' \
        '`bench/bench.py one` (commit 0123456789ab, 2001-02-03):' '' '| a |' '|---|' '| 1 |' '' \
        '<!-- end -->' >bench/results.md
    fresh_documents
    # Words that only look like violations.
    printf '%s\n' '/* new, free(), ~Word(x) */' 'X &operator=(const X &) = delete;' \
        'const char *s = "throw new";' 'int i = ~SOME_BITS(3);' >src/base/b.hpp
}

judge()
{
    if [ "$2" = yes ]; then
        echo "ok selftest/$1"
    else
        echo "not ok selftest/$1"
        sed 's/^/  /' "$work/out"
        status=1
    fi
}

# fires CHECK RULE FILE TEXT: with TEXT in FILE, RULE and no other must fail.
fires()
{
    local check=$1 rule=$2 file=$3
    fresh
    printf '%b' "$4" >"$file"
    /usr/bin/python3 "$lint/check_$check.py" . >"$work/out" 2>&1 || true
    if [ "$(grep '^not ok' "$work/out")" = "not ok $check/$rule" ] &&
            [ "$(grep -cv '^\(not \)\?ok ' "$work/out")" -ge 1 ]; then
        judge "$check/$rule: $file" yes
    else
        judge "$check/$rule: $file" no
    fi
}

for check in layers style bench documents; do
    fresh
    if /usr/bin/python3 "$lint/check_$check.py" . >"$work/out" 2>&1; then
        judge "$check: clean" yes
    else
        judge "$check: clean" no
    fi
done

fires layers upward src/base/x.hpp '#include "graph/a.hpp"\n'
fires layers upward src/types/x.c '#include "am/a.h"\n'
fires layers upward src/am/x.c '#include "a.h"\n'
fires layers postgres src/graph/x.hpp '#include "storage/bufmgr.h"\n'
fires layers postgres src/simd/x.cpp '  #  include <postgres.h>\n'
fires layers postgres src/quant/x.hpp '#include "pg/postgres.hpp"\n'
fires layers postgres src/store/x.hpp \
    '#include "pg/postgres.hpp"\n#include "base/no_postgres.hpp"\n'
fires layers wrapper src/store/x.cpp '#include "access/genam.h"\n'
fires layers wrapper src/store/x.cpp 'extern "C"\n{\n#include "postgres.h"\n}\n'
fires layers relative src/graph/x.hpp '#include "../base/a.h"\n'
fires layers unknown src/graph/x.hpp '#include "misc/a.h"\n'
fires layers language src/am/x.c '#include "base/x.hpp"\n'
fires layers shim src/types/x.c '#include "simd/other.h"\n'
fires layers last src/base/x.hpp '#include "base/no_postgres.hpp"\n#include "base/a.h"\n'

hundred=$(printf '\\tx();\\n%.0s' {1..100})
fires style ascii src/base/x.h '/* \xc3\xa9 */\n'
fires style whitespace src/base/x.h 'int a; \n'
fires style whitespace src/base/x.h '  \tint a;\n'
fires style whitespace src/base/x.h 'int\nf()\n{\n    g();\n}\n'
fires style whitespace src/base/x.h 'int a;'
fires style whitespace test/x.py 'if x:\n\ty()\n'
fires style columns src/base/x.h "/* $(printf 'x%.0s' {1..100}) */\n"
fires style todo src/base/x.h '/* TO''DO: later */\n'
fires style paths test/x.sh 'cat /wo''rk/file\n'
fires style banned src/base/x.hpp 'int *p = new int;\n'
fires style banned src/base/x.hpp 'void\nf()\n{\n\tdelete p;\n}\n'
fires style banned src/base/x.hpp 'void\nf()\n{\n\tthrow 1;\n}\n'
fires style banned src/base/x.hpp 'std::vector<int> v;\n'
fires style banned src/base/x.hpp 'std::string v;\n'
fires style banned src/base/x.hpp 'std::function<void()> v;\n'
fires style banned src/base/x.hpp 'std::unordered_map<int, int> v;\n'
fires style banned src/types/x.c 'void\nf(void)\n{\n\tg(malloc(3));\n}\n'
fires style banned src/types/x.c 'void\nf(void)\n{\n\tfree(p);\n}\n'
fires style destructor src/base/x.hpp 'struct Guard\n{\n\t~Guard();\n};\n'
fires style version src/am/x.c '#if PG_VERSION_NUM >= 160000\n#endif\n'
fires style length src/am/x.c "static void\nf(void)\n{\n$hundred}\n"
fires style length src/graph/x.hpp \
    "namespace n\n{\nstruct S\n{\n\tint f() const\n\t{\n$hundred\t}\n};\n}\n"
fires style length src/graph/x.hpp "struct S\n{\n\tS(int a) : a_(a), b_{a}\n\t{\n$hundred\t}\n};\n"
fires style parameters src/am/x.c 'int f(int a, int b, int c, int d, int e, int g, int h, int i);\n'
fires style parameters src/graph/x.hpp \
    'template <typename A>\nvoid\nf(A a, T<A, A> b, A c, A d, A e, A g, A h, A i)\n{\n}\n'
fires style twins sql/x.sql 'SELECT 1;\n'
fires style twins expected/x.out 'x\n'
fires style twins test/isolation/specs/x.spec 'x\n'
fires style listed test/lint/check_x.py 'pass\n'

fires bench commands README.md '`bench/bench.py three`\n'
fires bench commands README.md '| x | `bench/bench.py one --depth 3` |\n'
fires bench commands README.md '```\nbench/none.py\n```\n'
fires bench commands README.md '`bench/other.py --rows 3`\n'
fires bench commands bench/README.md '`--depth`: `one` `two` `--rows`\n'
fires bench commands bench/README.md '`... --depth 3`: `one` `two` `--rows`\n'
fires bench said bench/README.md '`one` `--rows`\n'
fires bench said bench/README.md '`one` `two`\n'
# measured SAID TABLE: a block of bench/results.md.
measured()
{
    printf '<!-- measured -->\\n'
    printf '`bench/bench.py one` (%s):\\n\\n%s<!-- end -->\\n' "$1" "$2"
}
day=2001-02-03
fires bench measured bench/results.md "$(measured 'by hand' '| 1 |\\n')"
fires bench measured bench/results.md "$(measured "commit 0123456789ab, $day" '')"
fires bench measured bench/results.md "$(measured "commit 0123456789ab, $day" \
    '| 1 |\\n<!-- measured -->\\n')"
fires bench measured bench/results.md "$(measured "commit 0123456789ab, $day" '| 1 |\\n')\\n$(
    measured "commit 123456789abc, $day" '| 1 |\\n')"

# swap FILE FROM TO: what FILE of a fresh tree says with one piece exchanged, for fires.
swap()
{
    fresh
    sed "s|$2|$3|" "$1" | sed 's|\\|\\\\|g'
}

# fires_swap RULE FILE FROM TO: the same for the documents.
fires_swap()
{
    fires documents "$1" "$2" "$(swap "$2" "$3" "$4")\n"
}

fires_swap versions omendb.control 1.2.0 1.3.0
fires_swap versions src/omendb.c 1.2.0 1.3.0
fires_swap versions CHANGELOG.md '## 1.2.0' '## 1.3.0'
fires_swap versions debian/changelog 1.2.0 1.3.0
fires_swap versions README.md _1.2.0 _1.3.0
fires_swap versions META.json '"version": "1.2.0", "abstract"' '"version": "1.3.0", "abstract"'
fires_swap addresses CHANGELOG.md ' (unreleased)' ''
fires_swap addresses debian/changelog x.invalid example.org
fires documents meta META.json '{'
fires_swap meta META.json '"abstract": "x", ' ''
fires_swap meta META.json '"abstract"' '"abstrakt": "x", "abstract"'
fires_swap meta META.json '"postgresql"' '"postgres"'
fires_swap meta META.json 'sql/omendb--1.2.0' 'sql/omendb'
fires_swap meta META.json '"prereqs": {' '"prereqs": {"always": {}, '
fires_swap meta META.json '"prereqs": {' '"prereqs": {"test": {"requires": {"x": "1.0"}}, '
fires_swap meta META.json '"1.0.0"' '"1.1.0"'
fires_swap servers README.md 'PostgreSQL 15' 'PostgreSQL 16'
fires_swap servers README.md 'PostgreSQL 15' 'postgresql-server-dev-14'
fires_swap servers README.md 'PostgreSQL 15' 'PostgreSQL 15, 17 and 14'
fires_swap servers test/headers.sh '17:x' ''
fires_swap servers META.json '< 16' '< 19'
fires_swap options README.md '`two`' '`three`'
fires_swap options src/am/options.c '"one"' '"other"'
fires_swap phases src/am/build.c 'first' 'second'
fires documents findings src/store/check_x.cpp 'finding(check, "WARN", "X1", 0, "x");\n'
fires documents findings README.md \
    "$(swap README.md x x)\n\n| invariant | x |\n|---|---|\n| \`Y1\` | x |\n"
fires_swap links README.md '(#x)' '(#y)'
fires_swap links README.md 'bench/README.md' 'bench/NONE.md'
fires_swap files README.md 'make check' 'test/none.sh'
fires_swap files README.md 'bench/other.py' 'bench/none.md'
fires_swap goals README.md 'make check' 'make chekc'
fires_swap figures README.md '1 200' '1 600'
fires_swap figures README.md '9 ms' '8 ms'
fires_swap figures bench/results.md 342 397
fires documents length README.md "$(swap README.md x x)$(printf '\\n%.0s' {1..450})"

# symbols CASE RULE SOURCE: the same for a built library.
symbols()
{
    local rule=$1 got
    printf 'extern "C" { const void *Pg_magic_func() { return nullptr; } }\n%b' "$2" >"$work/x.cpp"
    [ "$rule" != entry ] || printf '%b' "$2" >"$work/x.cpp"
    if ! g++ -shared -fPIC -O0 -Wl,--as-needed -o "$work/x.so" "$work/x.cpp" 2>"$work/out"; then
        judge "symbols/$rule" no
        return
    fi
    "$lint/check_symbols.sh" "$work/x.so" >"$work/out" 2>&1 || true
    got=$(grep '^not ok' "$work/out" || true)
    if [ "$rule" = clean ]; then
        if [ -z "$got" ]; then judge symbols/clean yes; else judge symbols/clean no; fi
    elif grep -q "^not ok symbols/$rule\$" <<<"$got"; then
        judge "symbols/$rule" yes
    else
        judge "symbols/$rule" no
    fi
}

if command -v g++ >/dev/null; then
    symbols clean 'extern "C" int omendb_f(int *a) { return *a; }\n'
    symbols undefined 'extern "C" int *omendb_f() { return new int; }\n'
    symbols undefined 'extern "C" void omendb_f() { throw 1; }\n'
    symbols undefined 'struct G { G(); }; static G &g() { static G x; return x; }
        extern "C" void *omendb_f() { return &g(); }\n'
    symbols faults 'extern "C" const char *omendb_f() { return "omen_hnsw.fault_point"; }\n'
    symbols exported 'extern "C" int vector_in() { return 1; }\n'
    symbols exported 'namespace omendb { int f() { return 1; } }\n'
    symbols entry 'extern "C" int omendb_f() { return 1; }\n'
    symbols needed '#include <string>\nextern "C" int omendb_f(int i) {
        return (int) std::to_string(i).size(); }\n'
fi

exit $status

#!/usr/bin/env bash
#
# check.sh [--long] [--only STAGE] - every test of the project.
#
# Stages, each timed: deps lint headers bench unit build install regress isolation tap, then
# the release build with regress again. The server tests run with assertions and
# fault points (src/store/fault.h) compiled in; the release build has neither, and
# is what stays installed. --only takes lint,
# unit or bench-micro, none of which needs a server.
#
# The last line is "N passed, 0 failed" when all is well; the exit status is 0
# exactly then. OMENDB_TEST_LONG=1 is set for the tests under --long.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=test/env.sh
. "$here/env.sh"
cd "$OMENDB_TOP"

only=
while [ $# -gt 0 ]; do
    case $1 in
        --long) export OMENDB_TEST_LONG=1 ;;
        --only) only=${2:?}; shift ;;
        *) echo "usage: check.sh [--long] [--only STAGE]" >&2; exit 2 ;;
    esac
    shift
done

passed=0
failed=0
summary=()
failures=()
server=
work=$(mktemp -d /tmp/omendb-check.XXXXXX)
chmod 755 "$work"

cleanup()
{
    [ -z "$server" ] || "$here/server.sh" destroy "$server" || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# stage NAME FUNCTION...: run it; its tests are added up by `count`. A stage
# that fails without having counted a failure counts as one. Functions run as
# a condition, where set -e is off: they chain their steps with || return.
stage()
{
    local name=$1 start=$SECONDS before_passed=$passed before_failed=$failed verdict=ok
    shift
    echo "=== $name"
    "$@" || verdict=failed
    if [ "$verdict" = failed ] && [ "$failed" -eq "$before_failed" ]; then
        failed=$((failed + 1))
    fi
    [ "$failed" -eq "$before_failed" ] || verdict=FAILED
    summary+=("$(printf '%-22s %6d passed %4d failed %5d s  %s' "$name" \
        $((passed - before_passed)) $((failed - before_failed)) $((SECONDS - start)) "$verdict")")
    echo "${summary[-1]}"
    [ "$verdict" = ok ]
}

count()
{
    passed=$((passed + $1))
    failed=$((failed + $2))
}

# failed_of FILE PATTERN: remember FILE's lines that match, with what ran them. They
# are said again at the end, which is what is kept of a long log.
failed_of()
{
    local line name=${1##*/}
    while IFS= read -r line; do
        failures+=("${name%.log}: $line")
    done < <(grep -aE "$2" "$1" | head -n 5 | cut -c 1-160)
}

finish()
{
    echo
    printf '%s\n' "${summary[@]}"
    echo
    [ ${#failures[@]} -eq 0 ] || printf '%s\n' "${failures[@]}" ""
    # Tests that did not run are no reason to be glad.
    if [ "$passed" -eq 0 ] && [ "$failed" -eq 0 ]; then
        echo "check.sh: no test was run" >&2
        failed=1
    fi
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}

# ---- lint -----------------------------------------------------------------

# Each rule that held counts as a test, and so does each planted violation.
lint()
{
    local status=0 log=$work/lint.log ok bad
    (
        rc=0
        /usr/bin/python3 test/lint/check_layers.py || rc=1
        /usr/bin/python3 test/lint/check_style.py || rc=1
        /usr/bin/python3 test/lint/check_bench.py || rc=1
        /usr/bin/python3 test/lint/check_documents.py || rc=1
        test/lint/selftest.sh || rc=1
        exit $rc
    ) 2>&1 | tee "$log" || status=1
    ok=$(grep -c '^ok ' "$log" || true)
    bad=$(grep -c '^not ok ' "$log" || true)
    failed_of "$log" '^not ok '
    count "$ok" "$bad"
    return $status
}

# The source against the headers of other servers, where there are some; the long run
# brings them.
headers()
{
    local status=0 log=$work/headers.log
    test/headers.sh ${OMENDB_TEST_LONG:+--fetch} 2>&1 | tee "$log" || status=1
    failed_of "$log" '^not ok '
    count "$(grep -c '^ok ' "$log" || true)" "$(grep -c '^not ok ' "$log" || true)"
    return $status
}

# What bench/ reads.
bench_readers()
{
    local status=0 log=$work/bench.log
    /usr/bin/python3 test/bench_test.py 2>&1 | tee "$log" || status=1
    failed_of "$log" '^not ok '
    count "$(grep -c '^ok ' "$log" || true)" "$(grep -c '^not ok ' "$log" || true)"
    return $status
}

# ---- tests without a server -----------------------------------------------

unit_make() { make -s -C test/unit -j"$(omendb_jobs)" FLAVOUR="$1" WERROR=-Werror; }

# gtest LABEL PROGRAM ARGUMENT...: run a GoogleTest program and count.
gtest()
{
    local label=$1 log=$work/gtest.log status=0 ok bad
    shift
    "$@" --gtest_brief=1 --gtest_color=no >"$log" 2>&1 || status=$?
    ok=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) tests\?\.$/\1/p' "$log" | tail -n 1)
    bad=$(sed -n 's/^ *\([0-9]*\) FAILED TESTS\?$/\1/p' "$log" | tail -n 1)
    echo "  $label: ${ok:-0} passed, ${bad:-0} failed"
    if [ $status -ne 0 ]; then
        cat "$log"
        failed_of "$log" '^\[  FAILED  \]|ERROR: .*Sanitizer|WARNING: .*Sanitizer|runtime error:'
        # A crash leaves no verdict of its own.
        [ "${bad:-0}" -gt 0 ] || bad=1
    elif [ "${ok:-0}" -eq 0 ]; then
        # Nothing matched: a filter that stopped matching must not pass.
        cat "$log"
        bad=1
    fi
    count "${ok:-0}" "${bad:-0}"
    return $status
}

cpu_has() { grep -qw "$1" /proc/cpuinfo 2>/dev/null; }

# The names of the suites under test/unit/graph, as a filter.
graph_suites()
{
    sed -nE 's/^(TYPED_)?TEST(_F|_P)?\(([A-Za-z0-9_]+),.*/\3.*:*\/\3.*:\3\/*/p' \
        test/unit/graph/*_test.cpp 2>/dev/null | sort -u | paste -sd: -
}

# AArch64's kernels, and what is stored with them, under emulation: the bytes must
# be those of x86-64. Optional: its packages are no others' business.
unit_neon()
{
    if [ "$(uname -m)" = aarch64 ]; then
        echo "  neon: this is its machine, it has run above"
        return 0
    fi
    if ! "$here/deps.sh" neon >"$work/neon.log" 2>&1; then
        echo "  neon: SKIPPED, no cross compiler, emulator or sources of GoogleTest:" \
            "$(tail -n 1 "$work/neon.log")"
        return 0
    fi
    unit_make neon || return 1
    # The table "base" is the same code there.
    gtest "neon, emulated" qemu-aarch64 -L /usr/aarch64-linux-gnu \
        build/unit-neon/omendb-neon --gtest_filter='-*/base'
}

unit()
{
    local program filter isa status=0
    if [ -z "$(make -s -C test/unit FLAVOUR=plain list)" ]; then
        echo "  there are no unit tests"
        return 0
    fi
    unit_make plain || return 1
    program=build/unit-plain/omendb-plain
    gtest "plain" "$program" || status=1
    # The graph decides by distances: it must be right under every table. The
    # best one has just run; the kernels' own tests try all of them.
    filter=$(graph_suites)
    if [ -n "$filter" ]; then
        for isa in base avx2; do
            [ "$isa" != avx2 ] || { cpu_has avx2 && cpu_has f16c; } || continue
            gtest "graph, $isa" env OMENDB_FORCE_ISA="$isa" "$program" \
                --gtest_filter="$filter" || status=1
        done
    fi

    unit_make asan || return 1
    gtest "address and undefined" env UBSAN_OPTIONS=print_stacktrace=1 \
        ASAN_OPTIONS=detect_stack_use_after_return=1 \
        build/unit-asan/omendb-asan || status=1

    if [ -n "$(make -s -C test/unit FLAVOUR=tsan list)" ]; then
        unit_make tsan || return 1
        # setarch: the sanitizer's map of memory does not fit every kernel's
        # address randomisation. Where it may not be changed, do without.
        local prefix=(setarch "$(uname -m)" -R)
        "${prefix[@]}" true 2>/dev/null || prefix=()
        gtest "threads" env TSAN_OPTIONS=halt_on_error=1 "${prefix[@]}" \
            build/unit-tsan/omendb-tsan --gtest_filter='*Concurrent*' || status=1
    fi

    unit_neon || status=1
    return $status
}

# ---- the extension ----------------------------------------------------------

# mirror DIR: what the build needs, as it is now, times kept so that make works
# incrementally. The tree's own objects, of other flags, stay out of it.
mirror()
{
    mkdir -p "$1"
    tar -cf - --exclude='*.o' --exclude='*.d' --exclude='*.so' \
        Makefile omendb.control sql src | tar -xf - -C "$1" || return 1
    (cd "$1" && find src sql -type f ! -name '*.o' ! -name '*.d') | while read -r file; do
        [ -e "$file" ] || rm -f "${1:?}/$file" "$1/${file%.*}.o" "$1/${file%.*}.d"
    done
}

# build_extension FLAVOUR CPPFLAGS
build_extension()
{
    mirror "build/pg-$1" || return 1
    make -s -C "build/pg-$1" -j"$(omendb_jobs)" WERROR=-Werror CPPFLAGS="$2" \
        PG_CONFIG="$PG_CONFIG" all || return 1
    test/lint/check_symbols.sh "build/pg-$1/omendb.so" "$1" | tee "$work/symbols.log" || return 1
    count "$(grep -c '^ok ' "$work/symbols.log")" 0
}

install_extension()
{
    echo "  into $(pg_file pkglibdir) and the extension directory beside it"
    as_installer make -s -C "build/pg-$1" WERROR=-Werror CPPFLAGS="$2" \
        PG_CONFIG="$PG_CONFIG" install >/dev/null
}

# ---- tests with a server ----------------------------------------------------

start_server()
{
    server=$("$here/server.sh" create -u postgres -c shared_buffers=256MB \
        -c maintenance_work_mem=256MB -c max_worker_processes=8 -c wal_level=replica \
        -c max_prepared_transactions=4 -c autovacuum=off) || return 1
    "$here/server.sh" start "$server" || return 1
    eval "$("$here/server.sh" env "$server")"
}

# give DIR FILE...: copies that the server's user can read, and write beside.
give()
{
    mkdir -p "$1" || return
    cp -r "${@:2}" "$1" || return
    if [ "$(id -u)" -eq 0 ]; then
        chown -R "$OMENDB_SERVER_USER": "$1"
    fi
}

# regress LABEL PROGRAM INPUTDIR OUTPUTDIR TEST...: pg_regress or its sibling.
regress()
{
    local program=$1 input=$2 output=$3 log=$work/regress.log status=0 total bad
    shift 3
    # Tests write below results/ of the directory they run in.
    as_server sh -c 'cd "$1" && shift && exec "$@"' sh "$output" \
        env PATH="$(pg_file bindir):$PATH" "$program" --inputdir="$input" \
        --outputdir="$output" --bindir="$(pg_file bindir)" --host="$PGHOST" --port="$PGPORT" \
        --user="$PGUSER" --load-extension=omendb --dbname=contrib_regression "$@" \
        >"$log" 2>&1 || status=$?
    sed 's/^/  /' "$log"
    # "All 5 tests passed." or "2 of 5 tests failed.", whatever surrounds it.
    total=$(sed -nE 's/.*All ([0-9]+) tests? passed.*/\1/p; s/.* of ([0-9]+) tests? failed.*/\1/p' \
        "$log" | head -n 1)
    bad=$(sed -nE 's/^[# ]*([0-9]+) of [0-9]+ tests? failed.*/\1/p' "$log" | head -n 1)
    if [ $status -ne 0 ]; then
        [ "${bad:-0}" -gt 0 ] || bad=1
        [ -n "$total" ] || total=$bad
        failed_of "$log" '(^not ok |FAILED)'
        echo "  --- regression.diffs"
        cat "$output/regression.diffs" 2>/dev/null || tail -n 50 "$server/log"
    elif [ -z "$total" ]; then
        echo "  cannot read the verdict above" >&2
        return 1
    fi
    # A crash shows here and not always in the diffs.
    grep -E 'PANIC|TRAP|terminated by signal|was terminated' "$server/log" | head -n 5 || true
    count $((total - ${bad:-0})) "${bad:-0}"
    return $status
}

sql_tests()
{
    local tests=() file
    for file in sql/*.sql; do
        [[ ! -e $file || $file == sql/omendb--* ]] || tests+=("$(basename "$file" .sql)")
    done
    if [ ${#tests[@]} -eq 0 ]; then
        echo "  there are no SQL tests"
        return 0
    fi
    rm -rf "$server/regress"
    give "$server/regress" sql expected || return
    regress "$(pg_file pg_regress)" "$server/regress" "$server/regress" "${tests[@]}"
}

isolation_tests()
{
    local tests=() file
    for file in test/isolation/specs/*.spec; do
        [ ! -e "$file" ] || tests+=("$(basename "$file" .spec)")
    done
    if [ ${#tests[@]} -eq 0 ]; then
        echo "  there are no isolation tests"
        return 0
    fi
    rm -rf "$server/isolation"
    give "$server/isolation" test/isolation/. || return
    regress "$(pg_file pg_isolation_regress)" "$server/isolation" "$server/isolation" \
        "${tests[@]}"
}

# Each TAP script brings up its own servers; only the directory is shared.
tap_tests()
{
    local log=$work/tap.log status=0 total bad scripts
    local wrong='(^|\) )(not ok |# .*died|Bail out)'
    if ! compgen -G 'test/t/*.pl' >/dev/null; then
        echo "  there are no TAP tests"
        return 0
    fi
    rm -rf "$server/tap"
    # Beside the scripts what some of them read or build: Project.pm looks for it there.
    give "$server/tap" test/t README.md CHANGELOG.md META.json LICENSE Makefile \
        omendb.control sql src debian || return
    mapfile -t scripts < <(cd test && printf '%s\n' t/*.pl)
    # TESTLOGDIR: the name PostgreSQL 16 and newer know it by.
    as_server env -u PGHOST -u PGPORT -u PGUSER -u PGDATABASE \
        sh -c 'cd "$1" && shift && exec "$@"' sh "$server/tap" \
        env TESTDIR="$server/tap" TESTLOGDIR="$server/tap/tmp_check/log" \
        TESTDATADIR="$server/tap/tmp_check" PG_REGRESS="$(pg_file pg_regress)" \
        PATH="$(pg_file bindir):$PATH" OMENDB_TEST_LONG="${OMENDB_TEST_LONG:-}" \
        prove --timer -I "$(pg_file perl)" -I t "${scripts[@]}" >"$log" 2>&1 || status=$?
    sed 's/^/  /' "$log"
    total=$(sed -nE 's/^Files=[0-9]+, Tests=([0-9]+),.*/\1/p' "$log")
    bad=$(sed -nE 's/.*\(Wstat: .* Tests: [0-9]+ Failed: ([0-9]+)\).*/\1/p' "$log" |
        awk '{ n += $1 } END { print n + 0 }')
    # prove is content with no tests at all.
    [ "${total:-0}" -gt 0 ] || status=1
    if [ $status -ne 0 ]; then
        [ "${bad:-0}" -gt 0 ] || bad=1
        [ "${total:-0}" -ge "$bad" ] || total=$bad
        for log in "$server"/tap/tmp_check/log/regress_log_*; do
            # Times stand before the lines: "[12:00:00.000](0.001s) not ok 3 - name".
            grep -aEq "$wrong" "$log" || continue
            failed_of "$log" "$wrong"
            echo "  --- ${log##*/}"
            tail -n 60 "$log"
        done
    fi
    count $((${total:-0} - ${bad:-0})) "${bad:-0}"
    return $status
}

# ---- all of it --------------------------------------------------------------

install_deps() { "$here/deps.sh" "$@" && omendb_find_pg; }

case $only in
    lint)
        stage lint lint || true
        finish
        ;;
    unit)
        stage deps install_deps check || finish
        stage unit unit || true
        finish
        ;;
    bench-micro)
        "$here/deps.sh" micro
        make -s -C test/unit -j"$(omendb_jobs)" FLAVOUR=bench
        # The others there are programs with arguments of their own.
        for file in $(grep -l 'benchmark/benchmark\.h' bench/micro/*.cpp); do
            "build/unit-bench/$(basename "$file" .cpp)"
        done
        exit
        ;;
    "") ;;
    *) echo "check.sh: no stage '$only'" >&2; exit 2 ;;
esac

asserts="-DUSE_ASSERT_CHECKING -DOMENDB_FAULT_POINTS"
stage deps install_deps check package || finish
stage lint lint || true
stage headers headers || true
stage bench bench_readers || true
stage unit unit || true
if stage "build, assertions" build_extension assert "$asserts" &&
        stage "install, assertions" install_extension assert "$asserts" &&
        stage "server" start_server; then
    stage "regress, assertions" sql_tests || true
    stage "isolation, assertions" isolation_tests || true
    stage "tap, assertions" tap_tests || true
fi
# Even after a failure: an assertion build must not stay behind in the server.
if stage "build, release" build_extension release "" &&
        stage "install, release" install_extension release "" && [ -n "$server" ]; then
    stage "regress, release" sql_tests || true
    if [ -n "${OMENDB_TEST_LONG:-}" ]; then
        stage "tap, release" tap_tests || true
    fi
fi
finish

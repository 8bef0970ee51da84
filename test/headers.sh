#!/usr/bin/env bash
#
# headers.sh [--fetch] [DIR...] - compile the source against the headers of other
# PostgreSQL versions, warnings being errors; nothing is linked or run.
#
# DIRs are include directories of servers. Without any: those of every
# postgresql-server-dev-N that is installed, and those that --fetch has brought.
# --fetch brings what Debian's other releases have (SUITES), by apt in a directory
# of its own, build/headers: nothing is installed, no source of packages is added to
# the system's. A release that is not to be had is left out, and said to be.
#
# A line `ok headers/VERSION` or `not ok headers/VERSION` each. README.md may name the
# versions of debian/pgversions and of SUITES (test/lint/check_documents.py).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=test/env.sh
. "$here/env.sh"
cd "$OMENDB_TOP"
store=build/headers
# The version, and the Debian release that has it.
SUITES="13:bullseye 17:trixie 18:sid"

# fetch VERSION SUITE
fetch()
{
    local root=$OMENDB_TOP/$store/$1 suite=$2 apt file
    [ ! -e "$root/usr/include/postgresql/$1/server/postgres.h" ] || return 0
    command -v apt-get >/dev/null || { echo "  there is no apt-get here"; return 1; }
    rm -rf "$root"
    mkdir -p "$root/apt/lists/partial" "$root/apt/cache/archives/partial"
    : >"$root/apt/status"
    echo "deb http://deb.debian.org/debian $suite main" >"$root/apt/sources.list"
    apt=(-q -o "Dir::Etc::sourcelist=$root/apt/sources.list"
        -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State=$root/apt" -o "Dir::State::status=$root/apt/status"
        -o "Dir::Cache=$root/apt/cache" -o APT::Sandbox::User= -o Acquire::Languages=none)
    apt-get "${apt[@]}" update >"$root/apt/log" 2>&1 &&
        (cd "$root" && apt-get "${apt[@]}" download "postgresql-server-dev-$1") \
            >>"$root/apt/log" 2>&1 || { tail -n 2 "$root/apt/log" | sed 's/^/  /'; return 1; }
    for file in "$root"/*.deb; do
        dpkg-deb -x "$file" "$root" || return 1
    done
    rm -rf "$root/apt" "$root"/*.deb
}

# What the Makefile compiles with, but for the instruction sets.
flags()
{
    printf 'include src/flags.mk\nall: ; @echo $(OMENDB_%s_WARNINGS) $(OMENDB_%sFLAGS)\n' \
        "$1" "$1" | make -s -f - all
}

# compile DIR: every source; what the compiler says goes to standard error.
compile()
{
    local common="-fsyntax-only -Werror -D_GNU_SOURCE -Isrc -I$1 -O1 -fno-strict-aliasing -fwrapv"
    local c="gcc $common -Wmissing-prototypes -Werror=vla $(flags C)"
    local cxx="g++ $common $(flags CXX)"
    {
        printf "$c %s\0" src/*.c src/*/*.c
        # The kernels see no server.
        printf '%s\n' src/*/*.cpp | grep -v '^src/simd/kernels_' | while read -r file; do
            printf '%s\0' "$cxx $file"
        done
    } | xargs -0 -P "$(omendb_jobs)" -I {} sh -c '{} || { echo "not compiled: {}" >&2; exit 1; }'
}

servers=()
while [ $# -gt 0 ]; do
    case $1 in
        --fetch)
            for pair in $SUITES; do
                fetch "${pair%:*}" "${pair#*:}" ||
                    echo "  headers: no PostgreSQL ${pair%:*} from Debian ${pair#*:}"
            done
            ;;
        -*) echo "usage: headers.sh [--fetch] [DIR...]" >&2; exit 2 ;;
        *) servers+=("$1") ;;
    esac
    shift
done
if [ ${#servers[@]} -eq 0 ]; then
    mapfile -t servers < <({
        compgen -G '/usr/include/postgresql/*/server' || true
        compgen -G "$OMENDB_TOP/$store/*/usr/include/postgresql/*/server" || true
    } | sort -V)
fi

status=0 own=$(dirname "$(pg_file server-headers)")
for server in "${servers[@]}"; do
    # The build itself has been against these.
    [ "$(readlink -f "$server")" != "$(readlink -f "$own")" ] || continue
    version=$(sed -n 's/^#define PG_VERSION "\(.*\)".*/\1/p' "$server/pg_config.h" | head -n 1)
    if compile "$server"; then
        echo "ok headers/$version"
    else
        echo "not ok headers/$version"
        status=1
    fi
    compared=yes
done
if [ -z "${compared:-}" ]; then
    echo "  headers: SKIPPED, there are none but the build's own (--fetch brings others)"
fi
exit $status

#!/usr/bin/env bash
#
# quickstart.sh - from a checkout to a picture of search results: builds and
# installs the extension, brings up a private server, indexes 60 000 images,
# searches them and checks the answers. KEEP=1 leaves the server running.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=test/env.sh
. "$here/env.sh"
cd "$OMENDB_TOP"
began=$SECONDS

say() { printf '\n== %s\n' "$*"; }

say "what is needed"
"$here/deps.sh" quickstart
omendb_find_pg
"$PG_CONFIG" --version

say "build"
# The lines of make say how far it is; its errors come by themselves.
files=$(make -n PG_CONFIG="$PG_CONFIG" all | grep -c -- ' -c -o ' || true)
[ -t 1 ] && terminal=1 || terminal=
make -j"$(omendb_jobs)" PG_CONFIG="$PG_CONFIG" all | awk -v files="$files" -v terminal="$terminal" '
    / -c -o / {
        done++
        if (terminal)
            printf "\r  %d of %d files", done, files
        else if (done % 10 == 0 || done == files)
            printf "  %d of %d files\n", done, files
        fflush()
    }
    END { if (terminal && done) print "" }'

say "install into $(pg_file pkglibdir)"
as_installer make -s PG_CONFIG="$PG_CONFIG" install >/dev/null

say "a private server"
# Megabytes to spare decide the buffers: the table and its index take about 400.
available=$(awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)
quarter=$((available / 4))
buffers=$((quarter < 1024 ? quarter : 1024))
build=$((quarter < 1024 ? quarter : 1024))
jobs=$(omendb_jobs)
workers=$((jobs > 7 ? 7 : jobs))
settings=(-c shared_buffers="${buffers}MB" -c maintenance_work_mem="${build}MB"
    -c max_parallel_maintenance_workers="$workers" -c max_worker_processes=8
    -c max_parallel_workers=8 -c max_wal_size=4GB)
# A parallel build's memory is shared memory, of which containers may have little.
shm=$(df -Pm /dev/shm 2>/dev/null | awk 'NR == 2 { print $4 }')
if [ "${shm:-0}" -lt "$build" ]; then
    settings+=(-c dynamic_shared_memory_type=mmap)
fi
server=$("$here/server.sh" create -u postgres "${settings[@]}")
cleanup()
{
    if [ -n "${KEEP:-}" ] && [ "${finished:-}" = yes ]; then
        return
    fi
    "$here/server.sh" destroy "$server"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
"$here/server.sh" start "$server"
echo "$server: shared_buffers ${buffers} MB, maintenance_work_mem ${build} MB," \
    "at most $workers workers for a build"
eval "$("$here/server.sh" env "$server")"

/usr/bin/python3 "$here/quickstart.py" --picture "$OMENDB_TOP/quickstart.png"

say "done in $((SECONDS - began)) s"
finished=yes
if [ -n "${KEEP:-}" ]; then
    echo "the server stays: $(pg_file bindir)/psql -h $PGHOST -p $PGPORT -U $PGUSER $PGDATABASE"
    echo "remove it with:   test/server.sh destroy $server"
fi

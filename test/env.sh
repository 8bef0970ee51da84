# env.sh - what the scripts of this directory share; sourced, never run.
# Sets OMENDB_TOP, OMENDB_PG_MAJOR, PG_CONFIG (exported, when there is one).
# shellcheck shell=bash

OMENDB_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export OMENDB_TOP
# Messages and formats that scripts parse.
export LC_ALL=C

# Which PostgreSQL: the one PG_CONFIG names, else Debian's newest with its
# headers installed, else 15, to be installed by deps.sh.
omendb_find_pg()
{
    local candidate
    if [ -z "${PG_CONFIG:-}" ]; then
        for candidate in $(printf '%s\n' /usr/lib/postgresql/*/bin/pg_config | sort -rV) \
                "$(command -v pg_config || true)"; do
            if [ -x "$candidate" ] && [ -e "$("$candidate" --pgxs)" ]; then
                PG_CONFIG=$candidate
                break
            fi
        done
    fi
    if [ -n "${PG_CONFIG:-}" ]; then
        export PG_CONFIG
        OMENDB_PG_MAJOR=$("$PG_CONFIG" --version | sed -E 's/^PostgreSQL ([0-9]+).*/\1/')
    else
        OMENDB_PG_MAJOR=15
    fi
}
omendb_find_pg

# pg_file WHAT: a path of that PostgreSQL, or where Debian will put it.
pg_file()
{
    local config=${PG_CONFIG:-/usr/lib/postgresql/$OMENDB_PG_MAJOR/bin/pg_config}
    if [ ! -x "$(command -v "$config")" ]; then
        echo "/nonexistent/$1"
        return
    fi
    case $1 in
        bindir) "$config" --bindir ;;
        pgxs) "$config" --pgxs ;;
        pkglibdir) "$config" --pkglibdir ;;
        server-headers) echo "$("$config" --includedir-server)/postgres.h" ;;
        pg_regress) echo "$(dirname "$("$config" --pgxs)")/../test/regress/pg_regress" ;;
        pg_isolation_regress)
            echo "$(dirname "$("$config" --pgxs)")/../test/isolation/pg_isolation_regress" ;;
        perl) echo "$(dirname "$("$config" --pgxs)")/../test/perl" ;;
    esac
}

# The server refuses to run as root; whoever it runs as may not be able to read
# the checkout, so what it needs is copied to its own directory.
omendb_server_user()
{
    if [ "$(id -u)" -ne 0 ]; then
        id -un
    elif id postgres >/dev/null 2>&1; then
        echo postgres
    else
        echo nobody
    fi
}
OMENDB_SERVER_USER=$(omendb_server_user)

# as_server COMMAND...: run it as that user, from a directory it can enter.
as_server()
{
    if [ "$(id -u)" -ne 0 ]; then
        "$@"
    else
        (cd / && runuser -u "$OMENDB_SERVER_USER" -- "$@")
    fi
}

# Installing into the server's directories takes root: PostgreSQL before 18
# looks for extensions nowhere else.
as_installer()
{
    if [ -w "$(pg_file pkglibdir)" ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "omendb: cannot write to $(pg_file pkglibdir) and there is no sudo" >&2
        return 1
    fi
}

omendb_jobs() { nproc 2>/dev/null || echo 2; }

#!/usr/bin/env bash
#
# server.sh - a private, throw-away PostgreSQL server.
#
#   server.sh create [-u USER] [-c NAME=VALUE]...  print the new directory
#   server.sh start DIR      server.sh stop DIR [MODE]
#   server.sh env DIR        print the settings that reach it, for eval
#   server.sh psql DIR ...   psql against it
#   server.sh destroy DIR    stop it and remove the directory
#
# It listens on a socket in its own directory and nowhere else, so it cannot
# meet another server and needs no password. Invoked by root it runs as an
# unprivileged user (postgres, else nobody), otherwise as the caller. Page
# checksums are on. DIR holds data/, socket/, log and whatever a test adds.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=test/env.sh
. "$here/env.sh"

bin=$(pg_file bindir)
# With one socket directory each, servers need no ports of their own.
port=5432

die() { echo "server.sh: $*" >&2; exit 1; }

# Only what `create` made is ever stopped or removed.
check_dir() { [ -f "$1/.omendb-server" ] || die "$1 is not a directory of server.sh"; }

create()
{
    local dir settings=() role setting
    role=$(id -un)
    while getopts u:c: option; do
        case $option in
            u) role=$OPTARG ;;
            c) settings+=("$OPTARG") ;;
            *) exit 2 ;;
        esac
    done
    # A socket's path has room for 107 bytes: a deep TMPDIR would not do.
    dir=$(mktemp -d /tmp/omendb.XXXXXX)
    mkdir "$dir/data" "$dir/socket"
    touch "$dir/.omendb-server"
    chmod 755 "$dir"
    chmod 700 "$dir/data"
    if [ "$(id -u)" -eq 0 ]; then
        chown -R "$OMENDB_SERVER_USER": "$dir"
    fi
    if ! as_server "$bin/initdb" -D "$dir/data" -U "$role" -A trust -k -E UTF8 --locale=C -N \
            >"$dir/initdb.log" 2>&1; then
        cat "$dir/initdb.log" >&2
        rm -rf "$dir"
        die "initdb failed"
    fi
    {
        echo "listen_addresses = ''"
        echo "unix_socket_directories = '$dir/socket'"
        echo "port = $port"
        # Nothing here outlives a crash of the machine; crash tests kill processes.
        echo "fsync = off"
        echo "log_line_prefix = '%m [%p] %b %q%a '"
        for setting in "${settings[@]}"; do
            echo "${setting%%=*} = '${setting#*=}'"
        done
    } | as_server tee -a "$dir/data/postgresql.conf" >/dev/null
    echo "$role" >"$dir/role"
    echo "$dir"
}

start()
{
    check_dir "$1"
    # The log stays out of the pipes of the caller, who would wait for their end.
    if ! as_server "$bin/pg_ctl" -D "$1/data" -l "$1/log" -w -t 60 start >"$1/pg_ctl.log" 2>&1 \
            </dev/null; then
        tail -n 30 "$1/log" >&2 || true
        die "the server did not start"
    fi
}

stop()
{
    check_dir "$1"
    if as_server "$bin/pg_ctl" -D "$1/data" status >/dev/null 2>&1; then
        as_server "$bin/pg_ctl" -D "$1/data" -w -t 60 -m "${2:-fast}" stop >/dev/null
    fi
}

environment()
{
    check_dir "$1"
    echo "export PGHOST='$1/socket' PGPORT=$port PGUSER='$(cat "$1/role")' PGDATABASE=postgres"
    # These would win over the above or change what a test sees.
    echo "unset PGHOSTADDR PGSERVICE PGPASSWORD PGOPTIONS PGTZ PGSSLMODE PGAPPNAME"
}

[ $# -ge 1 ] || die "usage: server.sh create|start|stop|env|psql|destroy"
command=$1
shift
case $command in
    create) create "$@" ;;
    start) start "$1" ;;
    stop) stop "$@" ;;
    env) environment "$1" ;;
    psql)
        eval "$(environment "$1")"
        shift
        exec "$bin/psql" -X -v ON_ERROR_STOP=1 "$@"
        ;;
    destroy)
        stop "$1" immediate
        rm -rf "$1"
        ;;
    *) die "no command '$command'" ;;
esac

#!/usr/bin/env bash
#
# deps.sh GROUP... - install the Debian packages a command needs and that are
# missing. Groups: build, check, neon, package, quickstart, bench, micro.
#
# What is tested for is the thing (a header, a program, a module), not the
# package, so a PostgreSQL built from source serves as well. Nothing is
# downloaded, and no privilege asked for, when everything is there.
#
# Environment: PG_CONFIG (the server to build for), NO_INSTALL=1 (only report).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=test/env.sh
. "$here/env.sh"

missing=()

# need PACKAGE COMMAND...: the package is missing when the command fails.
need()
{
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}

# Debian's interpreter: the modules are Debian packages, and another python3
# earlier in PATH would not see them.
need_module() { need "$1" /usr/bin/python3 -c "import $2"; }

# need_header PACKAGE HEADER: whether the compiler finds it.
need_header()
{
    if ! { command -v g++ && echo "#include <$2>" | g++ -x c++ -fsyntax-only -; } \
            >/dev/null 2>&1; then
        # Without a compiler the usual place decides.
        need "$1" test -e "/usr/include/$2"
    fi
}

need_build()
{
    need make command -v make
    need gcc command -v gcc
    need g++ command -v g++
    need "postgresql-server-dev-$OMENDB_PG_MAJOR" test -e "$(pg_file server-headers)"
    need "postgresql-server-dev-$OMENDB_PG_MAJOR" test -e "$(pg_file pgxs)"
    need_header libsimde-dev simde/x86/avx512.h
}

need_server()
{
    need "postgresql-$OMENDB_PG_MAJOR" test -x "$(pg_file bindir)/postgres"
    need "postgresql-$OMENDB_PG_MAJOR" test -x "$(pg_file bindir)/initdb"
    need "postgresql-client-$OMENDB_PG_MAJOR" test -x "$(pg_file bindir)/psql"
    need util-linux command -v runuser
}

need_check()
{
    need_build
    need_server
    need "postgresql-client-$OMENDB_PG_MAJOR" test -x "$(pg_file pg_regress)"
    need_header libgtest-dev gtest/gtest.h
    need binutils command -v nm
    need perl command -v prove
    need libipc-run-perl perl -MIPC::Run -e 1
    need python3 test -x /usr/bin/python3
    # Of test/bench_test.py.
    need_module python3-numpy numpy
    need_module python3-h5py h5py
}

# To run the tests of AArch64's kernels on another machine.
need_neon()
{
    need g++-aarch64-linux-gnu command -v aarch64-linux-gnu-g++
    need qemu-user command -v qemu-aarch64
    need googletest test -e /usr/src/googletest/googletest/src/gtest-all.cc
}

# The package is built for Debian's own servers, wherever PG_CONFIG may be.
need_package()
{
    # dpkg-buildpackage asks for it by name.
    need build-essential dpkg -s build-essential
    need debhelper command -v dh
    need postgresql-server-dev-all command -v pg_buildext
    need_header libsimde-dev simde/x86/avx512.h
}

need_quickstart()
{
    need_build
    need_server
    need dataset-fashion-mnist test -d /usr/share/datasets/fashion-mnist
    need python3 test -x /usr/bin/python3
    need_module python3-psycopg psycopg
    need_module python3-numpy numpy
    need_module python3-matplotlib matplotlib
}

need_bench()
{
    need_quickstart
    need_header libbenchmark-dev benchmark/benchmark.h
    # The client library's header may lie outside the compiler's usual places.
    need libpq-dev test -e "$("${PG_CONFIG:-pg_config}" --includedir 2>/dev/null)/libpq-fe.h"
    need_header libhnswlib-dev hnswlib/hnswlib.h
    need_module python3-h5py h5py
    need_module python3-tqdm tqdm
    need_module python3-faiss faiss
    need zstd command -v zstd
    need npm command -v npm
}

if [ $# -eq 0 ]; then
    echo "usage: deps.sh build|check|neon|package|quickstart|bench|micro..." >&2
    exit 2
fi
for group in "$@"; do
    case $group in
        build) need_build ;;
        check) need_check ;;
        neon) need_neon ;;
        package) need_package ;;
        quickstart) need_quickstart ;;
        bench) need_bench ;;
        micro) need_build; need_header libbenchmark-dev benchmark/benchmark.h ;;
        *) echo "deps.sh: no group '$group'" >&2; exit 2 ;;
    esac
done

[ ${#missing[@]} -gt 0 ] || exit 0
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
echo "deps: missing: ${missing[*]}"

give_up()
{
    echo "deps: $1" >&2
    echo "deps: install these (Debian names) and try again: ${missing[*]}" >&2
    exit 1
}

[ -z "${NO_INSTALL:-}" ] || give_up "NO_INSTALL is set"
command -v apt-get >/dev/null || give_up "there is no apt-get here"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || give_up "not root, and there is no sudo"
    as_root=(sudo)
fi

# No questions; and our createcluster.conf below stays as it was written.
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 apt-get -q "$@"; }

# Installing postgresql-N creates and starts a cluster of the system's own
# unless told otherwise. Nobody asked for one: the tests bring up private ones.
# Only said where postgresql-common comes with us; an administrator's own
# configuration is left as it is.
config=/etc/postgresql-common/createcluster.conf
if [[ " ${missing[*]} " == *" postgresql-$OMENDB_PG_MAJOR "* ]] &&
        ! dpkg -s postgresql-common >/dev/null 2>&1 && [ ! -e "$config" ]; then
    echo "deps: telling postgresql-common not to create a cluster ($config)"
    "${as_root[@]}" mkdir -p "${config%/*}"
    printf '%s\n' "# Written by omendb's test/deps.sh: no cluster comes with the package." \
        "create_main_cluster = false" | "${as_root[@]}" tee "$config" >/dev/null
fi

# The lists of packages may be absent or out of date; both show as a failure.
install() { apt install -y --no-install-recommends "$@"; }
if ! install "${missing[@]}"; then
    echo "deps: refreshing the package lists"
    apt update || give_up "apt-get update failed"
    install "${missing[@]}" || give_up "apt-get could not install them"
fi

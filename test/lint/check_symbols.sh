#!/usr/bin/env bash
#
# check_symbols.sh LIBRARY [FLAVOUR] - what the built module takes and gives.
#
# Undefined symbols show whether throwing or allocating C++ is in it, whatever
# the source looks like: a failing operator new ends in std::terminate and
# takes the whole cluster down. Exported ones meet those of every other
# extension in the process (PostgreSQL loads modules RTLD_GLOBAL). Fault points
# (src/store/fault.h) are for tests: FLAVOUR release (the default) has none, assert
# has them.
set -euo pipefail
library=${1:?usage: check_symbols.sh LIBRARY [FLAVOUR]}
flavour=${2:-release}
status=0

verdict()
{
    if [ -n "$2" ]; then
        echo "$2" | sed 's/^/  /'
        echo "not ok symbols/$1"
        status=1
    else
        echo "ok symbols/$1"
    fi
}

# new, delete, the exception and guard runtime (__cxa_finalize is every
# library's), anything of std.
verdict undefined "$(nm -D --undefined-only "$library" |
    grep -E ' (_Zn[wa]|_Zd[la]|__cxa_[^f]|_Z(N|NK)?St|_Unwind|__gxx)' || true)"

verdict exported "$(nm -D --defined-only "$library" | awk '{ print $NF }' |
    grep -vE '^(omendb_.*|pg_finfo_omendb_.*|Pg_magic_func|_PG_init)$' || true)"

# Hidden with all the rest, a module builds and then cannot be loaded: before
# PostgreSQL 16 the headers make nothing visible by themselves. (Not grep -q:
# it does not wait for all of nm's output, and nm would fail.)
verdict entry "$(nm -D --defined-only "$library" | grep ' Pg_magic_func$' >/dev/null ||
    echo "Pg_magic_func is not exported: was pg/compat.h included?")"

verdict needed "$(readelf -d "$library" | grep -E 'NEEDED.*(stdc\+\+|libgomp|libgcc_s)' || true)"

# The setting's name is in the library, or it is not.
points=$(grep -c 'omen_hnsw\.fault_point' "$library" || true)
case $flavour in
    release) verdict faults "$([ "$points" -eq 0 ] || echo "a release has fault points")" ;;
    *) verdict faults "$([ "$points" -gt 0 ] || echo "there are no fault points")" ;;
esac

exit $status

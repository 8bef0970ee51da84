#!/usr/bin/env bash
#
# pgvector_regress.sh PATH [TEST]... - pgvector's regression tests of its types,
# from its source tree at PATH, against omendb.
#
# Without TEST: all those of types. They run on a private server with the extension
# as installed, from copies in its directory; nothing of them is part of this
# repository. Prints the differences; the exit status is the number of tests that
# differ.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=test/env.sh
. "$here/env.sh"

source=${1:?usage: pgvector_regress.sh PATH [TEST]...}
shift
[ -d "$source/test/sql" ] || { echo "$source has no test/sql" >&2; exit 2; }

server=$("$here/server.sh" create -u postgres)
trap '"$here/server.sh" destroy "$server"' EXIT
"$here/server.sh" start "$server"
eval "$("$here/server.sh" env "$server")"

tests=("$@")
if [ ${#tests[@]} -eq 0 ]; then
    tests=(vector_type halfvec sparsevec bit cast copy btree)
fi

mkdir "$server/regress"
cp -r "$source/test/sql" "$source/test/expected" "$server/regress"
[ "$(id -u)" -ne 0 ] || chown -R "$OMENDB_SERVER_USER": "$server/regress"
failed=0
as_server sh -c 'cd "$1" && shift && exec "$@"' sh "$server/regress" \
    env PATH="$(pg_file bindir):$PATH" "$(pg_file pg_regress)" --inputdir=. --outputdir=. \
    --bindir="$(pg_file bindir)" --host="$PGHOST" --port="$PGPORT" --user="$PGUSER" \
    --load-extension=omendb --dbname=contrib_regression "${tests[@]}" || true
for name in "${tests[@]}"; do
    diff -u "$server/regress/expected/$name.out" "$server/regress/results/$name.out" ||
        failed=$((failed + 1))
done
echo "$((${#tests[@]} - failed)) of ${#tests[@]} files as expected"
exit "$failed"

#!/usr/bin/env bash
# Real ccache with `lre serve` as its remote storage: what one cache directory has compiled, another that is empty
# gets from the server, and the server keeps it over a restart.
set -euo pipefail
: "${LRE_PROGRAM:?the lre program}"
command -v ccache >/dev/null || { echo "ccache is needed: apt-get install ccache" >&2; exit 1; }
command -v gcc >/dev/null || { echo "gcc is needed" >&2; exit 1; }

work=$(mktemp -d)
# shellcheck source=test/e2e/serve.sh
. "$(dirname "$0")/serve.sh"
serve_dir=$work
trap 'serve_end; rm -rf "$work"' EXIT

start() { serve server --data-dir "$work/data" --store-size-max 256MiB; }

# compile <cache directory>: writes $work/out.o and prints how many direct, preprocessed and remote hits there were.
compile() {
  rm -f "$work/out.o"
  CCACHE_CONFIGPATH=$work/none CCACHE_DIR=$1 CCACHE_REMOTE_STORAGE="http://$address/raw/ccache|layout=bazel" \
    CCACHE_STATSLOG=$work/stats CCACHE_NODISABLE=1 http_proxy='' ccache gcc -c "$work/in.c" -o "$work/out.o"
}
hits() { grep -c '^remote_storage_hit$' "$work/stats" || true; }

echo 'int answer(void) { return 42; }' >"$work/in.c"
start
compile "$work/cache1"
cp "$work/out.o" "$work/first.o"
[ "$(hits)" = 0 ] || { echo "a hit before anything was stored" >&2; exit 1; }
grep -q '^remote_storage_write$' "$work/stats" || { cat "$work/stats" >&2; echo "nothing was stored" >&2; exit 1; }

: >"$work/stats"
compile "$work/cache2"
[ "$(hits)" -gt 0 ] || { cat "$work/stats" >&2; echo "no hit from the server" >&2; exit 1; }
cmp "$work/first.o" "$work/out.o"

serve_end
start
: >"$work/stats"
compile "$work/cache3"
[ "$(hits)" -gt 0 ] || { cat "$work/stats" >&2; echo "no hit after a restart" >&2; exit 1; }
cmp "$work/first.o" "$work/out.o"
echo "ccache: stored, found from another cache, found after a restart"

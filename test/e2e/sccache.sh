#!/usr/bin/env bash
# Real sccache with `lre serve` as its WebDAV storage: what one sccache has compiled, another that has just started
# gets from the server, also over a restart of that.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
: "${LRE_PROGRAM:?the lre program}"
command -v gcc >/dev/null || { echo "gcc is needed" >&2; exit 1; }
sccache=$(command -v sccache || true)
# Debian 12 has one without WebDAV.
if [ -z "$sccache" ] || ! "$sccache" --version | grep >/dev/null -E ' (0\.([5-9]|[1-9][0-9])|[1-9])'; then
  sccache=$("$root/tools/sccache/provision")
fi

work=$(mktemp -d)
# shellcheck source=test/e2e/serve.sh
. "$(dirname "$0")/serve.sh"
serve_dir=$work
# A socket of its own, so that no other sccache of this user is met.
export SCCACHE_SERVER_UDS=$work/sccache.sock SCCACHE_IDLE_TIMEOUT=60 SCCACHE_CONF=$work/none SCCACHE_LOG=info
export SCCACHE_WEBDAV_KEY_PREFIX=/objects http_proxy='' https_proxy='' no_proxy='*'
end() {
  "$sccache" --stop-server >/dev/null 2>&1 || true
  serve_end
  rm -rf "$work"
}
trap end EXIT

start() {
  serve server --data-dir "$work/data" --store-size-max 256MiB
  SCCACHE_WEBDAV_ENDPOINT=http://$address/raw/sccache
  export SCCACHE_WEBDAV_ENDPOINT
}

# compile: by an sccache that has just started; writes $work/out.o and leaves its statistics in $work/stats.
compile() {
  rm -f "$work/out.o"
  "$sccache" --stop-server >/dev/null 2>&1 || true
  (cd "$work" && SCCACHE_ERROR_LOG=$work/sccache.log "$sccache" gcc -c in.c -o out.o)
  "$sccache" --show-stats >"$work/stats"
}
hits() { awk '/^Cache hits  / { print $3 }' "$work/stats"; }
expect_hits() {
  [ "$(hits)" = "$1" ] || { cat "$work/stats" "$work/sccache.log" >&2; echo "$2: not $1 hits" >&2; exit 1; }
}

echo 'int answer(void) { return 42; }' >"$work/in.c"
start
compile
cp "$work/out.o" "$work/first.o"
expect_hits 0 "before anything was stored"
grep -q 'Cache location *webdav' "$work/stats" || { cat "$work/stats" >&2; echo "not stored by WebDAV" >&2; exit 1; }

compile
expect_hits 1 "from the server"
cmp "$work/first.o" "$work/out.o"

serve_end
start
compile
expect_hits 1 "after a restart"
cmp "$work/first.o" "$work/out.o"
echo "sccache: stored, found by another, found after a restart"

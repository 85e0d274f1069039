#!/usr/bin/env bash
# Real Bazel with --remote_cache=http://: what one output root has built is all hits in another, over a restart of
# the server; blobs that came over gRPC are the same blobs; and with updates switched off nothing is written.
. "$(dirname "$0")/session.sh"
# shellcheck disable=SC2034 # for farm.sh
farm_rc=() farm_overrides=() # no toolchain is needed
workspace=$farm_dir/workspace
with_servers

# build WHAT EXPECTED FLAGS...: cleans, builds, and compares who ran what.
build() {
  local what=$1 expected=$2
  shift 2
  farm_workspace=$workspace farm_log=$farm_dir/bazel.log
  farm_clean
  farm_bazel build --lockfile_mode=off --color=no --curses=no "$@" //... >"$farm_log" 2>&1 ||
    { cat "$farm_log" >&2; fail "$what"; }
  expect_spawns "$what" "$expected"
}

mkdir -p "$workspace"
touch "$workspace/MODULE.bazel"
cat >"$workspace/BUILD.bazel" <<'EOF'
[genrule(name = "g%d" % i, outs = ["g%d.txt" % i], cmd = "seq %d000 > $@" % i) for i in range(1, 9)]
genrule(name = "all", srcs = [":g%d" % i for i in range(1, 9)], outs = ["all.txt"], cmd = "cat $(SRCS) > $@")
EOF

serve server --data-dir "$farm_dir/server" --execution-enabled=false
cache=--remote_cache=http://$address
build "first, over HTTP" "9 $local_strategy" "$cache"
sum=$(sha256sum "$workspace/bazel-bin/all.txt")
build "again, over HTTP" "9 remote cache hit" "$cache"
build "another instance name" "9 $local_strategy" "$cache/other"
serve_end
serve server --data-dir "$farm_dir/server" --execution-enabled=false
cache=--remote_cache=http://$address
build "after a restart" "9 remote cache hit" "$cache"
[ "$sum" = "$(sha256sum "$workspace/bazel-bin/all.txt")" ] || fail "other bytes came back"
build "over gRPC" "9 $local_strategy" "--remote_cache=grpc://$address"
build "over gRPC again" "9 remote cache hit" "--remote_cache=grpc://$address"
build "over HTTP after gRPC" "9 remote cache hit" "$cache"
serve_end

serve readonly --data-dir "$farm_dir/readonly" --execution-enabled=false --action-cache-updates=false
cache=--remote_cache=http://$address
build "read-only" "9 $local_strategy" "$cache"
build "read-only again" "9 $local_strategy" "$cache"

#!/usr/bin/env bash
# A worker on a machine that never saw the toolchain: `lre push`, the cache filled three times over,
# then a worker whose /lre/store is an empty directory builds hello_lre and the test project remotely
# (a genrule whose tool, and tests whose only mention of the store is inside a file). Reports what the
# worker fetched and how long it took.
. "$(dirname "$0")/session.sh"
farm_workspace=$farm_dir/project farm_log=
copy_project "$farm_workspace"
cp "$root"/local-remote-execution/examples/hello_lre.cc "$farm_workspace/"
cat >>"$farm_workspace/BUILD.bazel" <<'BUILD'

cc_binary(
    name = "hello_lre",
    srcs = ["hello_lre.cc"],
)
BUILD
push_end() {
  end_fresh_worker
  farm_end
}
trap push_end EXIT
[ "$(id -u)" = 0 ] || { echo "this test makes a mount namespace: run it as root" >&2; exit 1; }

# Cache and scheduler only; small, so that filling it is quick. What was just written is leased for some
# minutes at least, so its clock runs a hundred times as fast (not the one that deadlines are taken from).
command -v faketime >/dev/null || fail "faketime is not installed: tools/install-packages test"
FAKETIME_DONT_FAKE_MONOTONIC=1 faketime -f '+0 x100' \
  "$lre" serve --data-dir "$farm_dir/data" --listen 127.0.0.1:0 --store-size-max 800MiB --store-lease 10m \
  --ready-file "$farm_dir/ready.json" >"$farm_dir/lre-up.log" 2>&1 &
farm_pid=$!
for _ in $(seq 300); do [ -e "$farm_dir/ready.json" ] && break; sleep 0.1; done
# The server itself: faketime is only its parent.
farm_pid=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "$farm_dir/ready.json")
address=$(grep -o '127.0.0.1:[0-9]*' "$farm_dir/ready.json" | head -n 1)
farm_executor=grpc://$address farm_cache=grpc://$address farm_instance=main

# The toolchain that the module was made from.
"$lre" push --server "$address" --manifest "$module/toolchain.json"
again=$("$lre" push --server "$address" --manifest "$module/toolchain.json")
echo "$again"
[[ "$again" == *"sent 0"* ]] || fail "a second push sent something"
"$lre" push --server "$address" --list

# Three times what the cache holds. Full of what was just written, it asks writers to wait a moment.
filler=$farm_dir/filler
for ((i = 0; i < 38; ++i)); do
  head -c 64M /dev/urandom >"$filler"
  curl -sS -f --retry 20 --retry-delay 1 --retry-all-errors -T "$filler" \
    "http://$address/cas/$(sha256sum "$filler" | cut -d' ' -f1)" 2>"$farm_dir/curl.log" ||
    fail "filling the cache: $(cat "$farm_dir/curl.log")"
done
rm "$filler"

# The worker: an empty store, made by nobody.
start_fresh_worker fresh "$address" "$farm_dir/empty-store"

started=$(date +%s%N)
farm_build remote //:hello_lre
echo "hello_lre: $(farm_spawns) after $((($(date +%s%N) - started) / 1000000)) ms"
expect_spawns "hello_lre" "2 remote"
ls "$farm_dir/empty-store"
compgen -G "$farm_dir/empty-store/*-gcc" >/dev/null || fail "the worker fetched no compiler"
grep store_path_fetched "$farm_dir/worker.log" | tail -n 10

farm_verb="test"
farm_build remote //... --test_output=errors
spawns=$(count_spawns)
expect_spawns "everything" "$spawns remote(, [0-9]* remote cache hit)?|[0-9]* remote cache hit, [0-9]* remote"

# A path that nobody pushed is named, with what to do.
cat >>"$farm_workspace/BUILD.bazel" <<'BUILD'

genrule(
    name = "nowhere",
    outs = ["nowhere.txt"],
    cmd = "/lre/store/00000000000000000000000000000000-nowhere/bin/tool > $@",
)
BUILD
farm_verb=build
if farm_build remote //:nowhere 2>"$farm_dir/nowhere.log"; then fail "a path that is nowhere was found"; fi
grep -q '00000000000000000000000000000000-nowhere.*lre push' "$farm_dir/nowhere.log" ||
  fail "the error names no path or no remedy: $(cat "$farm_dir/nowhere.log")"
echo "passed"

#!/usr/bin/env bash
# `lre dev`: a header is laid over the sysroot and edited; each time a worker with a store of its own compiles with
# the new one. Prints how long that takes, from the edit to the remote compile. Then back to the lock.
. "$(dirname "$0")/session.sh"
copy_module "$farm_dir/project" lre-cc
cat >>"$farm_workspace/BUILD.bazel" <<'BUILD'
load("@rules_cc//cc:cc_binary.bzl", "cc_binary")

cc_binary(
    name = "edited",
    srcs = ["edited.cc"],
)
BUILD
printf '#include <lre_dev.h>\n\n#include <cstdio>\nint main() { std::puts(LRE_DEV); }\n' >"$farm_workspace/edited.cc"

serve_farm
fresh_worker dev

cd "$farm_workspace" || exit
milliseconds() { echo $(($(date +%s%N) / 1000000)); }
# edit TEXT: what a person does, from the edit on.
edit() {
  local started
  mkdir -p over/usr/include
  started=$(milliseconds)
  echo "#define LRE_DEV \"$1\"" >over/usr/include/lre_dev.h
  "$lre" dev lre-cc sysroot=over --push --server "$address" >"$farm_dir/dev.log" || { cat "$farm_dir/dev.log"; fail "lre dev"; }
  echo "  lre dev: $(($(milliseconds) - started)) ms"
  farm_build remote //:edited --remote_download_outputs=all
  took=$(($(milliseconds) - started))
  expect_spawns "  $1" "[12] remote( cache hit)?(, 1 remote)?"
  [ "$(bazel-bin/edited)" = "$1" ] || fail "the program says '$(bazel-bin/edited)'"
}

"$lre" push lre-cc --server "$address" >/dev/null
locked=$(sha256sum local-remote-execution/toolchain.json)
edit first
cat "$farm_dir/dev.log"
edit second
echo "edit to remote compile: $took ms"
sent=$(grep -o 'sent [^,]*' "$farm_dir/dev.log")
# Of five paths the sysroot, and the compiler that references it.
grep -q ': 5 store paths, .* 2 index entries' "$farm_dir/dev.log" || { cat "$farm_dir/dev.log"; fail "more was pushed than changed"; }
echo "of $(grep -o '[0-9]* store paths, [^;]*' "$farm_dir/dev.log"): $sent"
edit third
echo "edit to remote compile: $took ms"

# The lock says otherwise, and brings back what was.
if "$lre" check --without-store >"$farm_dir/check"; then fail "lre check takes a change that is being tried for the lock's"; fi
grep -q 'lre sync lre-cc' "$farm_dir/check" || fail "lre check names no way back"
"$lre" sync lre-cc && "$lre" generate >/dev/null
[ "$locked" = "$(sha256sum local-remote-execution/toolchain.json)" ] || fail "the way back leads elsewhere"
"$lre" check --without-store >/dev/null || fail "lre check after the way back"

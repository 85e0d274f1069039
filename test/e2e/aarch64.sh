#!/usr/bin/env bash
# Programs for aarch64 built on x86_64: the test project, and C and C++ linked dynamically and statically. Remotely,
# then all cache hits here; dependency files name no header of x86_64; the programs run, where qemu-user is.
. "$(dirname "$0")/session.sh"
[ "$(uname -m)" = x86_64 ] || { echo "SKIPPED: the toolchain runs on x86_64" >&2; exit 77; }
copy_module "$farm_dir/module" lre-cc lre-cross-aarch64
use_module_of "$farm_dir/module"
farm_workspace=$farm_dir/project
copy_project "$farm_workspace"
mkdir "$farm_workspace/other"
cat >"$farm_workspace/other/BUILD.bazel" <<'EOF'
load("@rules_cc//cc:cc_binary.bzl", "cc_binary")
load("@rules_cc//cc:cc_library.bzl", "cc_library")

cc_library(
    name = "text",
    srcs = ["text.c"],
    hdrs = ["text.h"],
)

# With the loader of the store, which is where the program will look for it.
cc_binary(
    name = "dynamic",
    srcs = ["main.cc"],
    features = ["lre_store_loader"],
    deps = [":text"],
)

cc_binary(
    name = "static",
    srcs = ["main.cc"],
    features = ["fully_static_link"],
    linkopts = ["-static"],
    deps = [":text"],
)
EOF
cat >"$farm_workspace/other/text.h" <<'EOF'
#pragma once
#ifdef __cplusplus
extern "C"
#endif
const char* processor(void);
EOF
cat >"$farm_workspace/other/text.c" <<'EOF'
#include "text.h"
#include <stdio.h>
#include <sys/utsname.h>
const char* processor(void) {
  static struct utsname names;
  return uname(&names) == 0 ? names.machine : "unknown";
}
EOF
cat >"$farm_workspace/other/main.cc" <<'EOF'
#include <iostream>
#include <stdexcept>
#include "text.h"
int main() {
  try {
    throw std::runtime_error(processor());
  } catch (const std::exception& e) {
    std::cout << e.what() << " caught\n";
  }
}
EOF
farm_start
targets=(//... @local-remote-execution//examples:hello_lre
  --platforms=@local-remote-execution//generated-cc/config:platform-aarch64)

farm_build remote "${targets[@]}"
spawns=$(count_spawns)
[ "$spawns" -ge 20 ] || fail "only $spawns spawns"
expect_spawns "for aarch64, remote" "$spawns remote"
farm_clean
farm_build cached "${targets[@]}" --remote_download_outputs=all
expect_spawns "clean, local" "$spawns remote cache hit"

bin=$farm_workspace/bazel-bin
for program in dynamic static; do
  readelf -h "$bin/other/$program" | grep -q 'Machine: *AArch64' || fail "$program is no program for aarch64"
  if ! command -v qemu-aarch64 >/dev/null; then echo "SKIPPED: no qemu-user to run $program"; continue; fi
  said=$(qemu-aarch64 "$bin/other/$program")
  [ "$said" = "aarch64 caught" ] || fail "$program said '$said'"
done

# Here, and with the dependency files on disk.
echo '// another' >>"$farm_workspace/other/main.cc"
echo '// another' >>"$farm_workspace/other/text.c"
farm_build cached //other:all "${targets[-1]}" --noexperimental_inmemory_dotd_files
files=$(find "$bin/other/" -name '*.d')
[ "$(wc -l <<<"$files")" -eq 3 ] || fail "dependency files: $files"
# shellcheck disable=SC2086  # one word per file
if cat $files | tr ' ' '\n' | grep '^/' | grep -v '^/lre/store/'; then fail "headers of this machine"; fi
sysroot=$(sed -n 's/.*"sysroot": "\(.*\)",/\1/p' "$farm_dir/module/local-remote-execution/toolchain.json" | head -n 1)
[ -d "$sysroot" ] || fail "which sysroot is that of x86_64?"
# shellcheck disable=SC2086
if grep -e x86_64 -e "$sysroot" $files; then fail "headers of x86_64"; fi
# shellcheck disable=SC2086
grep -q 'usr/include/aarch64-linux-gnu' $files || fail "no header of aarch64"

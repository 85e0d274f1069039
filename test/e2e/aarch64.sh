#!/usr/bin/env bash
# Programs for aarch64 built on x86_64: the test project, C and C++ linked dynamically, statically and with each
# sanitizer, the examples of Java and of Python with a module in C. Remotely, then all cache hits here; dependency
# files name no header of x86_64; the programs run, where qemu-user is, on the JDK and the Python of aarch64.
. "$(dirname "$0")/session.sh"
[ "$(uname -m)" = x86_64 ] || { echo "SKIPPED: the toolchain runs on x86_64" >&2; exit 77; }
copy_module "$farm_dir/module" lre-cc lre-cross-aarch64 lre-java lre-py
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

# The libraries of sanitizers are those that clang has there.
[
    cc_binary(
        name = sanitizer,
        srcs = ["main.cc"],
        features = [
            "lre_store_loader",
            sanitizer,
        ],
        deps = [":text"],
    )
    for sanitizer in ["asan", "lsan", "tsan", "ubsan"]
]
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
targets=(//... @local-remote-execution//examples:hello_lre @local-remote-execution//examples/java:hello_lre)
# They are made by running them: with qemu-user, on a kernel that starts it for programs of aarch64. Java needs
# what is there only to run.
if (cd "$farm_dir/module" && "$lre" sync lre-java-aarch64 lre-py-aarch64 && "$lre" generate); then
  targets+=(@local-remote-execution//examples/python:hello_lre)
else
  echo "SKIPPED: no JDK and no Python for aarch64 can be made here"
fi
targets+=(
  --platforms=@local-remote-execution//generated-cc/config:platform-aarch64)

farm_build remote "${targets[@]}"
spawns=$(count_spawns)
[ "$spawns" -ge 20 ] || fail "only $spawns spawns"
expect_spawns "for aarch64, remote" "$spawns remote"
farm_clean
farm_build cached "${targets[@]}" --remote_download_outputs=all
expect_spawns "clean, local" "$spawns remote cache hit"

bin=$farm_workspace/bazel-bin
# Of the sanitizers only the last: with the others qemu-user takes all memory before main.
for program in dynamic static ubsan; do
  readelf -h "$bin/other/$program" | grep >/dev/null 'Machine: *AArch64' || fail "$program is no program for aarch64"
  if ! command -v qemu-aarch64 >/dev/null; then echo "SKIPPED: no qemu-user to run $program"; continue; fi
  said=$(qemu-aarch64 "$bin/other/$program")
  [ "$said" = "aarch64 caught" ] || fail "$program said '$said'"
done
for sanitizer in asan lsan tsan ubsan; do
  symbols=$(readelf -sW "$bin/other/$sanitizer")
  grep -q " __${sanitizer}_" <<<"$symbols" || fail "$sanitizer is not in its program"
done

# field TOOLCHAIN NAME: a path that the manifest of that toolchain has.
field() { sed -n "s|.*\"$2\": \"\(.*\)\".*|\1|p" "$farm_dir/module/local-remote-execution/$1.json" | head -n 1; }
examples=$(echo "$bin"/external/local-remote-execution*/examples)
java=$(field lre-java-aarch64 home)/bin/java
grep -qF "$java" "$examples/java/hello_lre" || fail "the launcher names another JDK than that of aarch64"
if [ -e "$java" ] && command -v qemu-aarch64 >/dev/null; then
  said=$(qemu-aarch64 "$java" -Xmx64m -XX:+UseSerialGC -cp "$examples/java/hello_lre.jar:$examples/java/libgreeting.jar" examples.HelloLre)
  [[ "$said" == "Hello, Local Remote Execution! Java 17."* ]] || fail "Java said '$said'"
fi
if [ -e "$examples/python/hello_lre" ]; then
  python=$(field lre-py-aarch64 interpreter)
  [ "$(head -n 1 "$examples/python/hello_lre")" = "#!$python" ] || fail "the program names another Python"
  module=$(echo "$examples"/python/hello_lre.runfiles/local-remote-execution*/examples/python)
  if command -v qemu-aarch64 >/dev/null; then
    # Not by the program in bin, which starts this one as the kernel would.
    said=$(PYTHONPATH=$module/../..:$module qemu-aarch64 "${python/bin/libexec}" -B "$module/hello_lre.py")
    [[ "$said" == "Hello, Local Remote Execution (20 letters)! Python 3."* ]] || fail "Python said '$said'"
  fi
fi
# On workers of aarch64 it is the JDK there that compiles.
farm_bazel aquery --config=aarch64 --lockfile_mode=off "${farm_overrides[@]}" 'deps(@local-remote-execution//examples/java:hello_lre)' \
  >"$farm_dir/actions" 2>&1 || fail "aquery: $(tail -n 3 "$farm_dir/actions")"
grep -qF "${java%java}javac" "$farm_dir/actions" || fail "the JDK of aarch64 compiles nothing"
if grep -F "$(field lre-java home)" "$farm_dir/actions"; then fail "the JDK of x86_64 is needed on aarch64"; fi

# Here, and with the dependency files on disk.
echo '// another' >>"$farm_workspace/other/main.cc"
echo '// another' >>"$farm_workspace/other/text.c"
farm_build cached //other:all "${targets[-1]}" --noexperimental_inmemory_dotd_files
files=$(find "$bin/other/" -name '*.d')
[ "$(wc -l <<<"$files")" -eq 7 ] || fail "dependency files: $files"
# shellcheck disable=SC2086  # one word per file
if cat $files | tr ' ' '\n' | grep '^/' | grep -v '^/lre/store/'; then fail "headers of this machine"; fi
sysroot=$(sed -n 's/.*"sysroot": "\(.*\)",/\1/p' "$farm_dir/module/local-remote-execution/toolchain.json" | head -n 1)
[ -d "$sysroot" ] || fail "which sysroot is that of x86_64?"
# shellcheck disable=SC2086
if grep -e x86_64 -e "$sysroot" $files; then fail "headers of x86_64"; fi
# shellcheck disable=SC2086
grep -q 'usr/include/aarch64-linux-gnu' $files || fail "no header of aarch64"

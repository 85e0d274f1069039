#!/usr/bin/env bash
# The whole test project (exceptions dynamic and static, genrules, shell tests, generators): built and
# tested remotely it is all cache hits locally, and the reverse.
. "$(dirname "$0")/session.sh"
farm_workspace=$farm_dir/project
farm_verb="test"
copy_project "$farm_workspace"
# libc_of_sysroot: a test and a generator of the last build ran on the version of the C library that the manifest names.
libc_of_sysroot() {
  local version
  version=$(sed -n 's/^ *"libc": "glibc_\(.*\)",$/\1/p' "$module/toolchain.json")
  grep "linked against $version, running on $version,.*/lre/store/" "$farm_workspace/bazel-testlogs/test_libc/test.log" ||
    fail "the test ran on another C library than $version"
  grep "^$version $version .*/lre/store/" "$farm_workspace/bazel-bin/generated.txt" ||
    fail "the generator ran on another C library than $version: $(cat "$farm_workspace/bazel-bin/generated.txt")"
}
farm_start

farm_build remote //... --test_output=errors
spawns=$(count_spawns)
[ "$spawns" -ge 20 ] || fail "only $spawns spawns"
expect_spawns "remote" "$spawns remote"
libc_of_sysroot
farm_clean
farm_build cached //...
expect_spawns "clean, local" "$spawns remote cache hit"

new_sources "$farm_workspace" 1
farm_build cached //... --test_output=errors
expect_spawns "new sources, local" "$spawns $local_strategy"
libc_of_sysroot
farm_clean
farm_build remote //...
expect_spawns "clean, remote" "$spawns remote cache hit"

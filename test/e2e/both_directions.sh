#!/usr/bin/env bash
# The whole test project (exceptions dynamic and static, genrules, shell tests, generators): built and
# tested remotely it is all cache hits locally, and the reverse. Either way each program names the loader that it
# should: the store's for tests and for what the build runs, the machine's for what users get, none for static ones.
. "$(dirname "$0")/session.sh"
farm_workspace=$farm_dir/project
farm_verb="test"
copy_project "$farm_workspace"
bin=$farm_workspace/bazel-bin
expect_interpreter() { # expect_interpreter FILE PATTERN
  local found
  found=$(readelf -lW "$1" | sed -n 's/.*interpreter: \(.*\)]/\1/p')
  echo "$(basename "$1"): ${found:-static}"
  # shellcheck disable=SC2053  # a pattern
  [[ "$found" == $2 ]] || fail "$1 names the loader '$found', not '$2'"
}
# What the last build made: the loaders; and a test and a generator ran on the C library that the manifest names.
look_at_outputs() {
  local version tool
  expect_interpreter "$bin/libc_version" '/lib64/*'
  expect_interpreter "$bin/throws_dynamic" '/lre/store/*'
  expect_interpreter "$bin/throws_static" ''
  tool=$(find -L "$farm_workspace"/bazel-out -path '*-exec-*' -name libc_version -type f | head -n 1)
  [ -n "$tool" ] || fail "no libc_version of the exec configuration"
  expect_interpreter "$tool" '/lre/store/*'
  version=$(sed -n 's/^ *"libc": "glibc_\(.*\)",$/\1/p' "$module/toolchain.json")
  grep "linked against $version, running on $version,.*/lre/store/" "$farm_workspace/bazel-testlogs/test_libc/test.log" ||
    fail "the test ran on another C library than $version"
  grep "^$version $version .*/lre/store/" "$bin/generated.txt" ||
    fail "the generator ran on another C library than $version: $(cat "$bin/generated.txt")"
}
farm_start

remote_then_cached 20 //... --test_output=errors
look_at_outputs
new_sources "$farm_workspace" 1
here_then_remote "$spawns $local_strategy" //... --test_output=errors --remote_download_outputs=all
look_at_outputs

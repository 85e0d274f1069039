#!/usr/bin/env bash
# abseil with googletest, from Debian's source packages: built and tested remotely, then all cache hits
# locally, and the reverse with other flags.
. "$(dirname "$0")/session.sh"
farm_verb="test"
abseil=$("$root/tools/bazel/source" abseil "$shared/sources")
googletest=$("$root/tools/bazel/source" googletest "$shared/sources")

# A workspace that depends on both; re2, which googletest names and these tests do not use, is a stub.
farm_workspace=$farm_dir/workspace
mkdir -p "$farm_workspace" "$farm_dir/re2"
cat >"$farm_workspace/MODULE.bazel" <<'END'
module(name = "real_project")
bazel_dep(name = "local-remote-execution", version = "0")
bazel_dep(name = "abseil-cpp", version = "20260526.0")
bazel_dep(name = "googletest", version = "1.17.0")
bazel_dep(name = "re2", version = "1")
END
: >"$farm_workspace/BUILD.bazel"
echo 'module(name = "re2")' >"$farm_dir/re2/MODULE.bazel"
echo 'cc_library(name = "re2", visibility = ["//visibility:public"])' >"$farm_dir/re2/BUILD.bazel"
farm_overrides+=("--override_module=abseil-cpp=$abseil" "--override_module=googletest=$googletest"
  "--override_module=re2=$farm_dir/re2")
tests=()
for name in strings:ascii_test strings:match_test strings:str_split_test container:fixed_array_test \
  synchronization:mutex_method_pointer_test; do
  tests+=("@abseil-cpp//absl/$name")
done
farm_start

farm_build remote "${tests[@]}" --test_output=errors
spawns=$(count_spawns)
[ "$spawns" -ge 150 ] || fail "only $spawns spawns"
expect_spawns "remote" "$spawns remote"
farm_clean
farm_build cached "${tests[@]}"
expect_spawns "clean, local" "$spawns remote cache hit"

# Optimised, so every action is another one.
farm_build cached -c opt "${tests[@]}" --test_output=errors
spawns=$(count_spawns)
expect_spawns "optimised, local" "$spawns $local_strategy"
farm_clean
farm_build remote -c opt "${tests[@]}"
expect_spawns "clean, remote" "$spawns remote cache hit"

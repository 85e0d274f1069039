#!/usr/bin/env bash
# abseil with googletest, from Debian's source packages: some of its tests built and run remotely, then all cache hits
# locally, and the reverse with a library and other flags. All tests, and more projects: real_projects.sh.
. "$(dirname "$0")/session.sh"
. "$(dirname "$0")/real_workspaces.sh"
farm_verb="test"
abseil_workspace
farm_start

tests=(@abseil-cpp//absl/numeric:bits_test @abseil-cpp//absl/strings:ascii_test)
farm_build remote "${tests[@]}" --test_output=errors
spawns=$(count_spawns)
[ "$spawns" -ge 60 ] || fail "only $spawns spawns"
expect_spawns "remote" "$spawns remote"
farm_clean
farm_build cached "${tests[@]}"
expect_spawns "clean, local" "$spawns remote cache hit"

# Optimised, so every action is another one.
farm_verb=build
farm_build cached -c opt @abseil-cpp//absl/base
spawns=$(count_spawns)
expect_spawns "optimised, local" "$spawns $local_strategy"
farm_clean
farm_build remote -c opt @abseil-cpp//absl/base
expect_spawns "clean, remote" "$spawns remote cache hit"

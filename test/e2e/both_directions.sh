#!/usr/bin/env bash
# The whole test project (exceptions dynamic and static, genrules, shell tests, generators): built and
# tested remotely it is all cache hits locally, and the reverse.
. "$(dirname "$0")/session.sh"
farm_workspace=$farm_dir/project
farm_verb="test"
copy_project "$farm_workspace"
farm_start

farm_build remote //... --test_output=errors
spawns=$(count_spawns)
[ "$spawns" -ge 20 ] || fail "only $spawns spawns"
expect_spawns "remote" "$spawns remote"
farm_clean
farm_build cached //...
expect_spawns "clean, local" "$spawns remote cache hit"

new_sources "$farm_workspace" 1
farm_build cached //... --test_output=errors
expect_spawns "new sources, local" "$spawns $local_strategy"
farm_clean
farm_build remote //...
expect_spawns "clean, remote" "$spawns remote cache hit"

#!/usr/bin/env bash
# All tests of abseil and googletest, and flatbuffers, whose compiler generates what its test compiles: with GCC or
# clang, fastbuild or optimised. Built and run remotely, then after `bazel clean` locally: every spawn is a hit in the
# remote cache; then, with another farm, the reverse. Takes hours on a small machine. Prints rows for
# docs/real-projects.md.
#   real_projects.sh CONFIGURATION [remote|local]     gcc-fastbuild, gcc-opt, clang-fastbuild or clang-opt; where it is
#                                                     built first: both, in turn, when not said
# LRE_REAL_PROJECTS: those of "abseil flatbuffers" to build, both when unset.
. "$(dirname "$0")/session.sh"
. "$(dirname "$0")/real_workspaces.sh"
configuration=${1:?a configuration} directions=${2:-remote local}
projects=${LRE_REAL_PROJECTS:-abseil flatbuffers}
flags=(--keep_going --test_output=errors --remote_download_outputs=minimal --test_timeout=900)
case $configuration in
  gcc-*) ;;
  clang-*) flags+=(--config=clang) ;;
  *) fail "no such configuration: $configuration" ;;
esac
flags+=(-c "${configuration#*-}")
# Where abseil's tests of time zones find theirs, from their runfiles (its cctz/testdata/README.zoneinfo): else they take
# the machine's, which is not among their inputs and which a worker need not have.
flags+=("--test_env=TZDIR=../abseil-cpp~/absl/time/internal/cctz/testdata/zoneinfo")
copy_module "$farm_dir/module" lre-cc lre-clang lre-py
use_module_of "$farm_dir/module"
farm_verb="test"
farm_startup=() # the server is to last

# tests_of UNIVERSE: every test but benchmarks, which need another library, and those that fail everywhere: in
# real_projects.failures with the reason.
tests_of() {
  farm_bazel query --lockfile_mode=off "${farm_overrides[@]}" \
    "kind('_test rule', $1) except attr('tags', '\\bbenchmark\\b|\\bmanual\\b', $1) except attr('deps', 'google_benchmark', $1)" \
    2>"$farm_dir/query.log" | sort | grep -vxFf <(sed 's/[[:space:]]*#.*//; /^$/d' "$root/test/e2e/real_projects.failures")
}

# built PROJECT FIRST: built there first, then found by the other.
built() {
  local project=$1 first=$2 then=cached ran=remote started=$SECONDS built_seconds spawns tests
  [ "$first" = remote ] || { first=cached then=remote ran=$local_strategy; }
  case $project in
    abseil) tests_of "@abseil-cpp//absl/... + @googletest//..." >"$farm_dir/tests" ;;
    flatbuffers) tests_of "//tests:all" >"$farm_dir/tests" ;;
  esac
  [ -s "$farm_dir/tests" ] || { cat "$farm_dir/query.log"; fail "no tests of $project"; }
  tests=$(wc -l <"$farm_dir/tests")
  farm_build "$first" "${flags[@]}" "--target_pattern_file=$farm_dir/tests"
  spawns=$(count_spawns)
  built_seconds=$((SECONDS - started))
  expect_spawns "$project, $configuration, $first" "$spawns $ran"
  farm_clean
  started=$SECONDS
  farm_build "$then" "${flags[@]}" "--target_pattern_file=$farm_dir/tests"
  expect_spawns "$project, $configuration, clean, $then" "$spawns remote cache hit"
  echo "| $project | $configuration | $2 | $tests | $spawns | $spawns | $built_seconds s | $((SECONDS - started)) s |"
}

for direction in $directions; do
  farm_start --store-size-max 20GiB
  for project in $projects; do
    "${project}_workspace"
    built "$project" "$direction"
    farm_clean
    farm_bazel shutdown
  done
  farm_stop
  rm -rf "$farm_dir/data"
done

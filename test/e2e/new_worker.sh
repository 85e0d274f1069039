#!/usr/bin/env bash
# Java and Python on workers that never saw them: after `lre push` a worker with an empty /lre/store builds the
# examples; then, for a java_test and a py_test each, another one with an empty store runs just that test, whose
# command names no JDK and no Python: only its input files do.
. "$(dirname "$0")/session.sh"
copy_module "$farm_dir/project" lre-cc lre-java lre-py
serve_farm
(cd "$farm_workspace" && "$lre" push lre-cc lre-java lre-py --server "$address")
examples=@local-remote-execution//examples

fresh_worker builder
farm_verb=build
started=$(date +%s%N)
farm_build remote "$examples/java:all" "$examples/python:all" --remote_download_outputs=all
expect_spawns "the examples" "[0-9]+ remote"
echo "built after $((($(date +%s%N) - started) / 1000000)) ms; fetched $(du -sm "$farm_dir/store-builder" | cut -f1) MiB"

# runs_alone NAME TARGET ROLE: another worker runs the test of TARGET, and had to fetch the path with this role.
runs_alone() {
  fresh_worker "$1"
  farm_verb="test"
  farm_build remote "$examples/$2" --test_output=errors --remote_download_outputs=all
  [[ "$(farm_spawns)" =~ ^([0-9]+\ remote\ cache\ hit,\ )?[12]\ remote$ ]] || fail "$1: '$(farm_spawns)'"
  compgen -G "$farm_dir/store-$1/*-$3" >/dev/null || fail "$1: its worker has no $3"
  farm_bazel aquery --lockfile_mode=off --include_param_files "${farm_overrides[@]}" "mnemonic(TestRunner, $examples/$2)" >"$farm_dir/$1.actions" 2>&1 || fail "aquery"
  grep -q 'Mnemonic: TestRunner' "$farm_dir/$1.actions" || fail "$1: no test action"
  if grep -q -e "/lre/store/[0-9a-f]*-$3" "$farm_dir/$1.actions"; then fail "the command of $1 names its $3"; fi
  grep store_path_fetched "$farm_dir/worker.log" | sed 's/.*"path":"\([^"]*\)","bytes":\([0-9]*\),"ms":\([0-9]*\).*/  \1: \2 bytes in \3 ms/'
}
runs_alone java_test java:greeting_test jdk
runs_alone py_test python:greeting_test python
echo "passed"

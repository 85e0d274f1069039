#!/usr/bin/env bash
# Which loader each program names: the store's for tests and for what the build runs, the machine's for
# what users get, none for static programs. The same bytes, wherever they were linked.
. "$(dirname "$0")/session.sh"
farm_workspace=$farm_dir/project
copy_project "$farm_workspace"
farm_start

interpreter() { readelf -lW "$1" | sed -n 's/.*interpreter: \(.*\)]/\1/p'; }
expect_interpreter() { # expect_interpreter FILE PATTERN
  local found
  found=$(interpreter "$1")
  echo "$(basename "$1"): ${found:-static}"
  # shellcheck disable=SC2053  # a pattern
  [[ "$found" == $2 ]] || fail "$1 names the loader '$found', not '$2'"
}

bin=$farm_workspace/bazel-bin
for where in remote alone; do
  farm_build $where //:libc_version //:throws_dynamic //:throws_static //:generated --remote_download_outputs=all
  expect_interpreter "$bin/libc_version" '/lib64/*'
  expect_interpreter "$bin/throws_dynamic" '/lre/store/*'
  expect_interpreter "$bin/throws_static" ''
  tool=$(find -L "$farm_workspace"/bazel-out -path '*-exec-*' -name libc_version -type f | head -n 1)
  [ -n "$tool" ] || fail "no libc_version of the exec configuration"
  expect_interpreter "$tool" '/lre/store/*'
  read -r compiled ran _ <"$bin/generated.txt"
  [ "$compiled" = "$ran" ] || fail "a generator compiled against $compiled ran on $ran"
  sha256sum "$bin/libc_version" "$bin/throws_dynamic" "$bin/throws_static" "$bin/generated.txt" | sed 's| .*/| |' \
    >"$farm_dir/sums.$where"
  farm_clean
done
cmp "$farm_dir/sums.remote" "$farm_dir/sums.alone" || fail "other bytes here than in the farm"

#!/usr/bin/env bash
# bazel coverage with a combined report, of C and C++ with GCC and with clang, and of Java: run remotely it is all cache
# hits locally, and the report says the same. gcov and JaCoCo are the store's; the report is put together by Bazel's own
# generator, on the store's JDK.
. "$(dirname "$0")/session.sh"
copy_module "$farm_dir/module" lre-cc lre-clang lre-java
use_module_of "$farm_dir/module"
# A Bazel without the network is given the generator; another downloads it.
if [ -n "$bazel_rc" ]; then
  "$root/tools/bazel/coverage" "$(sed -n 's/^ *"home": "\(.*\)",$/\1/p' "$farm_dir/module/local-remote-execution/lre-java.json")" \
    "$(dirname "$bazel_rc")" || fail "the report generator cannot be made"
fi
farm_workspace=$farm_dir/project
farm_verb=coverage
copy_project "$farm_workspace"
cp -R "$root/test/e2e/features" "$farm_workspace/features"
# JaCoCo knows sources by their packages: these are in the package `examples`.
mkdir -p "$farm_workspace/java"
cp -R "$farm_dir/module/local-remote-execution/examples/java" "$farm_workspace/java/examples"
echo 'bazel_dep(name = "rules_java", version = "7.6.5")' >>"$farm_workspace/MODULE.bazel"
farm_start
report=$farm_workspace/bazel-out/_coverage/_coverage_report.dat

# of SOURCE: "LINE,COUNT" of what the report says of it.
of() { sed -n "/^SF:.*$1\$/,/^end_of_record/s/^DA://p" "$report"; }

for config in gcc clang; do
  flags=(//features:plain //features:shared --combined_report=lcov)
  # The other compiler changes nothing in Java.
  if [ $config = gcc ]; then flags+=(//java/examples:greeting_test); else flags+=("--config=$config"); fi
  farm_clean
  farm_build remote "${flags[@]}" --test_output=errors
  spawns=$(count_spawns)
  expect_spawns "$config, remote" "([0-9]+ remote cache hit, )?[0-9]+ remote"
  cp -L "$report" "$farm_dir/$config.remote.dat"
  farm_clean
  farm_build cached "${flags[@]}" "--execution_log_json_file=$farm_dir/spawns.json"
  # Bazel lists the parts of the report in the order in which the tests ended: with another order, putting it together
  # is another action. Nothing else is, and the report has the same bytes.
  expect_spawns "$config, clean, local" "($spawns remote cache hit|$((spawns - 1)) remote cache hit, 1 $local_strategy)"
  gcov=$(sed -n '/"COVERAGE_GCOV_PATH"/{n;s/^ *"value": "\(.*\)".*/\1/p}' "$farm_dir/spawns.json" | sort -u)
  [[ "$gcov" == /lre/store/* ]] || fail "$config: the gcov of tests is '$gcov'"
  missed=$(awk '/^  "mnemonic":/ { name = $2 } /^  "cacheHit": false/ { print name }' "$farm_dir/spawns.json")
  [[ "$missed" =~ ^(\"CoverageReport\",)?$ ]] || fail "$config: run here: $missed"
  cmp "$report" "$farm_dir/$config.remote.dat" || fail "$config: another report"
  # Each of two tests makes one sum that is refused and one that is not.
  [[ $(of text.cc) == *"9,4"*"10,2"* ]] || fail "$config: of text.cc the report says $(of text.cc)"
  [ "$(of sum.c)" = 3,4 ] || fail "$config: of sum.c the report says $(of sum.c)"
  [ $config != gcc ] || [ "$(of Greeting.java)" = 9,1 ] || fail "of Greeting.java the report says $(of Greeting.java)"
done
echo "of text.cc: $(of text.cc | paste -sd' ')"

#!/usr/bin/env bash
# The Java examples on the JDK and the Java tools of the store: a library, a program that a genrule runs, a
# test with JUnit. Remotely, then all cache hits here, and the reverse; no action knows another JDK, a tool
# that is downloaded, or the C++ toolchain. A test that fails says so as anywhere.
. "$(dirname "$0")/session.sh"
farm_verb="test"
copy_module "$farm_dir/project" lre-cc lre-java
farm_start
examples=@local-remote-execution//examples/java
sources=$farm_workspace/local-remote-execution/examples/java

farm_build remote "$examples:all" --test_output=errors "--execution_log_json_file=$farm_dir/spawns.json"
spawns=$(count_spawns)
[ "$spawns" -ge 14 ] || fail "only $spawns spawns"
expect_spawns "remote" "$spawns remote"

# What ran, on what: sources of the module, what was built of them, Bazel's own scripts, and one source of rules_java.
# The test's runner is a file of the store under the name that Bazel looks for.
mnemonics=$(sed -n 's/^ *"mnemonic": "\(.*\)",$/\1/p' "$farm_dir/spawns.json" | sort -u | paste -sd' ')
[[ " $mnemonics " == *" JavaIjar "* || " $mnemonics " == *" Turbine "* ]] || fail "nobody took interfaces: $mnemonics"
[[ "$mnemonics" != *Cpp* ]] || fail "C++ was built for Java: $mnemonics"
sed -n 's/^ *"path": "\(external\/[^"]*\)",$/\1/p' "$farm_dir/spawns.json" | sort -u >"$farm_dir/inputs"
others=$(grep -vE '^external/(local-remote-execution~|bazel_tools/|rules_java~/toolchains/|rules_java~~toolchains~remote_java_tools/)' \
  "$farm_dir/inputs" || true)
[ -z "$others" ] || fail "an action takes $others"
repository=$(echo "$farm_dir"/bazel/*/external/rules_java~~toolchains~remote_java_tools)
[[ "$(readlink -f "$repository")" == /lre/store/*-java-tools/* ]] || fail "the test's runner comes from $repository"

farm_clean
farm_build cached "$examples:all" --remote_download_outputs=all
expect_spawns "clean, local" "$spawns remote cache hit"
said=$(cat "$farm_workspace"/bazel-bin/external/local-remote-execution*/examples/java/said.txt)
[[ "$said" == "Hello, Local Remote Execution! Java 17."* ]] || fail "the program said '$said'"

# Another library and another test. Java's compiler stays in memory when it runs here.
sed -i 's/Remote Execution!/Remote Execution again!/' "$sources/Greeting.java"
sed -i 's/"runs on/"it runs on/' "$sources/GreetingTest.java"
here_then_remote "([0-9]+ remote cache hit, )?[0-9]+ $local_strategy, [0-9]+ worker" "$examples:all" --test_output=errors

# A test that fails.
sed -i 's/assertEquals("Hello"/assertEquals("Good evening"/' "$sources/GreetingTest.java"
if farm_build remote "$examples:greeting_test" --test_output=errors 2>/dev/null; then fail "a wrong test passed"; fi
grep -qF '1) greets(examples.GreetingTest)' "$farm_log" || fail "no name of the test"
grep -qF 'expected:<[Good evening]> but was:<[Hello]>' "$farm_log" || fail "no reason"
grep -q 'at examples.GreetingTest.greets(GreetingTest.java:[0-9]*)' "$farm_log" || fail "no line"
report=$(echo "$farm_workspace"/bazel-testlogs/external/local-remote-execution*/examples/java/greeting_test/test.xml)
grep -q "testcase name='runsOnTheJdkOfTheStore' classname='examples.GreetingTest'" "$report" || fail "no case in $report"

# No action runs, reads or names a Java of this machine.
farm_bazel aquery --lockfile_mode=off "deps($examples:all)" >"$farm_dir/actions" 2>&1 || fail "aquery"
if grep -E '/usr/lib/jvm|remotejdk' "$farm_dir/actions" | grep -v /lre/store/; then
  fail "an action above knows another JDK than the store's"
fi
grep -q '/lre/store/[0-9a-f]*-jdk/' "$farm_dir/actions" || fail "no action names the JDK of the store"

# Compile toolchains for older languages, and the JDK by its number.
farm_bazel aquery --lockfile_mode=off --java_language_version=8 --java_runtime_version=17 "mnemonic(Javac, $examples:greeting)" \
  >"$farm_dir/older" 2>&1 || fail "aquery: $(tail -n 3 "$farm_dir/older")"
grep -A1 -e '-source' "$farm_dir/older" | grep >/dev/null -x ' *8 .' || fail "nothing is compiled for Java 8"

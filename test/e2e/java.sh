#!/usr/bin/env bash
# The Java examples on the JDK and the Java tools of the store: a library, a program that a genrule runs, a
# test. Remotely, then all cache hits here, and the reverse; no action knows another JDK.
. "$(dirname "$0")/session.sh"
farm_verb="test"
copy_module "$farm_dir/project" lre-cc lre-java
farm_start
examples=@local-remote-execution//examples/java

farm_build remote "$examples:all" --test_output=errors
spawns=$(count_spawns)
[ "$spawns" -ge 12 ] || fail "only $spawns spawns"
expect_spawns "remote" "$spawns remote"
farm_clean
farm_build cached "$examples:all" --remote_download_outputs=all
expect_spawns "clean, local" "$spawns remote cache hit"
said=$(cat "$farm_workspace"/bazel-bin/external/local-remote-execution*/examples/java/said.txt)
[[ "$said" == "Hello, Local Remote Execution! Java 17."* ]] || fail "the program said '$said'"

# Another library and another test. Java's compiler stays in memory when it runs here.
sed -i 's/Hello, /Hello again, /' "$farm_workspace"/local-remote-execution/examples/java/Greeting.java
sed -i 's/: runs on/: it runs on/' "$farm_workspace"/local-remote-execution/examples/java/GreetingTest.java
farm_build cached "$examples:all" --test_output=errors
expect_spawns "new sources, local" "([0-9]+ remote cache hit, )?[0-9]+ $local_strategy, [0-9]+ worker"
farm_clean
farm_build remote "$examples:all"
expect_spawns "clean, remote" "$spawns remote cache hit"

# No action runs, reads or names a Java of this machine.
farm_bazel aquery --lockfile_mode=off "deps($examples:all)" >"$farm_dir/actions" 2>&1 || fail "aquery"
if grep -E '/usr/lib/jvm|remotejdk|remote_java_tools' "$farm_dir/actions" | grep -v /lre/store/; then
  fail "an action above knows another JDK than the store's"
fi
grep -q '/lre/store/[0-9a-f]*-jdk/' "$farm_dir/actions" || fail "no action names the JDK of the store"

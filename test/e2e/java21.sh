#!/usr/bin/env bash
# A further JDK beside the first, by --java_runtime_version: it compiles and runs what is built, remotely, then all cache
# hits here; what the build itself runs stays with the first JDK, and is not built again.
. "$(dirname "$0")/session.sh"
copy_module "$farm_dir/project" lre-cc lre-java lre-java21
farm_start
examples=@local-remote-execution//examples/java
targets=("$examples:all" --java_runtime_version=21 --java_language_version=21)

farm_build remote "$examples:said"
farm_verb="test"
farm_build remote "${targets[@]}" --test_output=errors
spawns=$(count_spawns)
expect_spawns "JDK 21" "$spawns remote"
farm_clean
farm_build cached "${targets[@]}" --remote_download_outputs=all
expect_spawns "clean, local" "[0-9]+ remote cache hit"
programs=("$farm_workspace"/bazel-bin/external/local-remote-execution*/examples/java/hello_lre)
said=$("${programs[0]}")
[[ "$said" == *" Java 21."* ]] || fail "the program said '$said'"
said=$(cat "$(dirname "${programs[0]}")/said.txt")
[[ "$said" == *" Java 17."* ]] || fail "the build's own program said '$said'"
echo "$spawns spawns"

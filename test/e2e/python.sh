#!/usr/bin/env bash
# The Python examples on the Python of the store: a library with a module in C, a program that a genrule
# runs, a test. Remotely, then all cache hits here, and the reverse; programs name that Python and no other,
# and nobody leaves compiled modules behind.
. "$(dirname "$0")/session.sh"
farm_verb="test"
copy_module "$farm_dir/project" lre-cc lre-py
farm_start
examples=@local-remote-execution//examples/python
sources=$farm_workspace/local-remote-execution/examples/python

farm_build remote "$examples:all" --test_output=errors
spawns=$(count_spawns)
[ "$spawns" -ge 5 ] || fail "only $spawns spawns"
expect_spawns "remote" "$spawns remote"
farm_clean
farm_build cached "$examples:all" --remote_download_outputs=all
expect_spawns "clean, local" "$spawns remote cache hit"

bin=$(echo "$farm_workspace"/bazel-bin/external/local-remote-execution*/examples/python)
said=$(cat "$bin/said.txt")
[[ "$said" == "Hello, Local Remote Execution (20 letters)! Python 3."* ]] || fail "the program said '$said'"
first=$(head -n 1 "$bin/hello_lre")
[[ "$first" =~ ^#!/lre/store/[0-9a-f]{32}-python/usr/bin/python3\.[0-9]+$ ]] || fail "a program begins with '$first'"

sed -i 's/counts letters/counts the letters/; s/long count = 0/long count = 0L/' "$sources/examples_count.c"
sed -i 's/Hello, /Hello again, /' "$sources/greeting.py"
farm_build cached "$examples:all" --test_output=errors
expect_spawns "new sources, local" "([0-9]+ remote cache hit, )?[0-9]+ $local_strategy"
farm_clean
farm_build remote "$examples:all"
expect_spawns "clean, remote" "$spawns remote cache hit"

left=$(find -L "$farm_workspace/local-remote-execution" "$farm_workspace/bazel-out/" -name '*.pyc' -print -quit)
[ -z "$left" ] || fail "$left was left behind"

#!/usr/bin/env bash
# Shapes of builds and tests that remote execution must get right: tree artifacts, symlinks, sharded and flaky
# tests, a test that fails and one that takes too long, --remote_download_minimal, a build that is interrupted.
. "$(dirname "$0")/session.sh"
farm_workspace=$farm_dir/project
copy_project "$farm_workspace"
mkdir -p "$farm_workspace/shapes"
cd "$farm_workspace/shapes" || exit

cat >tree.bzl <<'END'
def _tree(ctx):
    out = ctx.actions.declare_directory(ctx.label.name)
    ctx.actions.run_shell(
        outputs = [out],
        command = "set -e; cd $1; mkdir -p deep/er empty; for i in 1 2 3; do echo $i > deep/f$i; done; " +
                  "ln -s ../f1 deep/er/link; chmod +x deep/f2",
        arguments = [out.path],
    )
    return DefaultInfo(files = depset([out]))
tree = rule(_tree)

def _uses(ctx):
    out = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.run_shell(
        inputs = ctx.files.src,
        outputs = [out],
        command = "cd $1 && { find . | sort; cat deep/er/link deep/f3; test -x deep/f2 && echo runs; } > $OLDPWD/$2",
        arguments = [ctx.files.src[0].path, out.path],
    )
    return DefaultInfo(files = depset([out]))
uses = rule(_uses, attrs = {"src": attr.label(allow_files = True)})

def _links(ctx):
    file = ctx.actions.declare_file(ctx.label.name + ".file")
    link = ctx.actions.declare_file(ctx.label.name + ".link")
    dangling = ctx.actions.declare_symlink(ctx.label.name + ".dangling")
    ctx.actions.run_shell(
        outputs = [file, dangling],
        command = "echo content > $1; ln -s nowhere/at/all $2",
        arguments = [file.path, dangling.path],
    )
    ctx.actions.symlink(output = link, target_file = file)
    read = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.run_shell(
        inputs = [link, dangling],
        outputs = [read],
        command = "cat $1 > $3; readlink $2 >> $3",
        arguments = [link.path, dangling.path, read.path],
    )
    return DefaultInfo(files = depset([read]))
links = rule(_links)
END
cat >sharded.sh <<'END'
#!/bin/sh
[ -z "$TEST_SHARD_STATUS_FILE" ] || : >"$TEST_SHARD_STATUS_FILE"
echo "shard $TEST_SHARD_INDEX of $TEST_TOTAL_SHARDS"
[ "$TEST_TOTAL_SHARDS" = 3 ]
END
# Fails about every third time: with ten attempts it passes.
cat >flaky.sh <<'END'
#!/bin/sh
[ $(($(date +%N | sed 's/^0*//;s/^$/0/') / 1000 % 3)) != 0 ]
END
printf '#!/bin/sh\necho the reason of the failure\nexit 3\n' >fails.sh
printf '#!/bin/sh\necho begun\nsleep 100\n' >slow.sh
chmod +x ./*.sh
{
  grep '^load(.*rules_shell' ../BUILD.bazel || true
  cat <<'END'
load(":tree.bzl", "links", "tree", "uses")
tree(name = "a_tree")
uses(name = "of_tree", src = ":a_tree")
links(name = "some_links")
sh_test(name = "sharded", size = "small", srcs = ["sharded.sh"], shard_count = 3)
sh_test(name = "flaky", size = "small", srcs = ["flaky.sh"], flaky = True)
sh_test(name = "fails", size = "small", srcs = ["fails.sh"], tags = ["manual"])
sh_test(name = "slow", size = "small", srcs = ["slow.sh"], timeout = "short", tags = ["manual"])
[genrule(name = "slow%d" % i, outs = ["slow%d.txt" % i], cmd = "sleep 1; echo %d > $@" % i) for i in range(12)]
filegroup(name = "all_slow", srcs = [":slow%d" % i for i in range(12)])
END
} >BUILD.bazel
cd - >/dev/null || exit
farm_start
bin=$farm_workspace/bazel-bin/shapes

# Trees and links: what a dependent action sees is what was made; here as well.
farm_build remote //shapes:of_tree //shapes:some_links //shapes:a_tree --remote_download_outputs=all
expect_spawns "trees and links" "4 remote"
grep -qx './deep/er/link' "$bin/of_tree" && grep -qx runs "$bin/of_tree" || fail "of_tree: $(cat "$bin/of_tree")"
[ "$(cat "$bin/a_tree/deep/f3")" = 3 ] && [ -x "$bin/a_tree/deep/f2" ] || fail "the tree here: $(find "$bin/a_tree")"
[ "$(cat "$bin/some_links")" = "$(printf 'content\nnowhere/at/all')" ] || fail "some_links: $(cat "$bin/some_links")"
farm_clean
farm_build remote //shapes:of_tree //shapes:some_links --remote_download_minimal
expect_spawns "again, nothing downloaded" "4 remote cache hit"
[ ! -e "$bin/of_tree" ] || fail "--remote_download_minimal downloaded an output"
# What was not downloaded is still an input of what is new, and can be fetched later.
printf 'uses(name = "of_tree_again", src = ":a_tree")\n' >>"$farm_workspace/shapes/BUILD.bazel"
farm_build remote //shapes:of_tree_again --remote_download_minimal
farm_build remote //shapes:of_tree_again --remote_download_outputs=toplevel
cmp <(sort "$bin/of_tree_again") <(farm_build remote //shapes:of_tree --remote_download_outputs=toplevel && sort "$bin/of_tree") ||
  fail "the tree was another one for the second reader"

# Tests.
farm_verb="test"
farm_build remote //shapes:sharded --test_output=errors
# Each shard, and the making of its test.xml.
expect_spawns "sharded" "6 remote"
farm_build remote //shapes:flaky --flaky_test_attempts=10 --test_output=errors
echo "flaky: $(farm_spawns)"
! farm_build remote //shapes:fails --test_output=errors 2>/dev/null || fail "a failing test passed"
grep -q 'the reason of the failure' "$farm_log" || fail "the failing test's output is lost"
! farm_build remote //shapes:slow --test_timeout=3 --test_output=errors 2>/dev/null || fail "a slow test passed"
grep -q 'TIMEOUT' "$farm_log" || fail "a test that took too long is no TIMEOUT"
grep -q 'begun' "$farm_log" || fail "what a test said before its timeout is lost"

# Interrupted: the farm stops what nobody waits for, and the next build ends what this one began.
farm_verb=build
farm_client=(sh -c 'echo $$ >"$0"; exec "$@"' "$farm_dir/client.pid")
farm_build remote //shapes:all_slow --jobs=4 2>/dev/null &
build=$!
until [[ $(farm_metric lre_scheduler_slots_busy) = [1-9]* ]]; do sleep 0.1; done
kill -TERM "$(cat "$farm_dir/client.pid")"
! wait $build || fail "an interrupted build succeeded"
farm_client=(env)
farm_build remote //shapes:all_slow --jobs=12 --remote_download_outputs=all
for i in 0 5 11; do [ "$(cat "$bin/slow$i.txt")" = $i ] || fail "slow$i.txt"; done
[ "$(count_spawns)" -ge 8 ] || fail "the interrupted build had built it all: $(farm_spawns)"
echo "after the interruption: $(farm_spawns)"

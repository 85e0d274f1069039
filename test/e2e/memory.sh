#!/usr/bin/env bash
# An action that needs more memory than was set aside for it: it is killed, runs once more with more, and
# Bazel never hears of it. One that needs more than that fails, with the reason and a log.
. "$(dirname "$0")/session.sh"
farm_workspace=$farm_dir/project
copy_project "$farm_workspace"
mkdir -p "$farm_workspace/memory"
# tail keeps in memory what it may have to print until its input ends: for ten of the worker's looks at
# memory, which without a cgroup is all that sees it.
cat >"$farm_workspace/memory/BUILD.bazel" <<'END'
[genrule(
    name = "mb%d" % mb,
    outs = ["mb%d.txt" % mb],
    cmd = "{ head -c %d000000 /dev/zero; sleep 1; } | tail -c %d000000 | wc -c > $@" % (mb, mb),
) for mb in [200, 900]]
END
farm_start --worker-slots=1 --worker-action-memory-max=100MiB --execution-minimum-properties=memory \
  --worker-properties="OSFamily=linux,ISA=x86-64,memory=700000000"

farm_build remote //memory:mb200 --remote_download_outputs=all
[ "$(cat "$farm_workspace/bazel-bin/memory/mb200.txt")" = 200000000 ] || fail "the output is wrong"
killed=$(farm_metric lre_scheduler_out_of_memory_total)
[ "$killed" = 1 ] || fail "$killed attempts were killed, not 1"
echo "200 MB: killed once, then built"

! farm_build remote //memory:mb900 2>/dev/null || fail "900 MB fit into 700"
grep -q 'ran out of memory' "$farm_log" || fail "the reason is lost"
echo "900 MB: refused"

#!/usr/bin/env bash
# Java libraries compiled in the farm by one JavaBuilder that stays, as Bazel's --experimental_remote_mark_tool_inputs
# has it: the same bytes as without, also after a library that others use has changed; errors are the compiler's.
. "$(dirname "$0")/session.sh"
copy_module "$farm_dir/project" lre-cc lre-java
farm_start --worker-slots=1
libraries=${LRE_E2E_LIBRARIES:-3}
kept=(--experimental_remote_mark_tool_inputs)

# A chain of libraries: each shows what it had from the one before.
mkdir -p "$farm_workspace/chain"
cd "$farm_workspace/chain" || exit
printf 'package chain;\npublic class L0 { public static String say() { return "one"; } }\n' >L0.java
printf 'java_library(name = "l0", srcs = ["L0.java"])\n' >BUILD.bazel
for i in $(seq "$libraries"); do
  printf 'package chain;\n/** Says more. */\npublic class L%d { public static String say() { return "%d " + L%d.say(); } }\n' \
    "$i" "$i" $((i - 1)) >"L$i.java"
  printf 'java_library(name = "l%d", srcs = ["L%d.java"], deps = [":l%d"])\n' "$i" "$i" $((i - 1)) >>BUILD.bazel
done
cd - >/dev/null || exit

counter() { farm_metric "lre_worker_persistent_$1"; }
log=$farm_dir/profile
# The mean time that Javac actions took, of a build's profile.
javac_ms() {
  python3 -c 'import json, sys
times = [event["dur"] / 1000 for event in json.load(open(sys.argv[1]))["traceEvents"]
         if event.get("cat") == "action processing" and event.get("args", {}).get("mnemonic") == "Javac"]
print("%d actions of %.0f ms" % (len(times), sum(times) / max(len(times), 1)))' "$1"
}
sums() { (cd "$farm_workspace/bazel-bin/chain" && sha256sum ./*.jar); }
compile() { # compile NAME FLAGS...: all libraries, from the beginning
  local name=$1
  shift
  farm_clean
  farm_build remote "//chain:l$libraries" --remote_download_outputs=all --noremote_accept_cached \
    --experimental_profile_include_target_label --noslim_profile "--profile=$log.$name.json" "$@"
  sums >"$farm_dir/sums.$name"
  echo "$name: $(javac_ms "$log.$name.json"); requests $(counter requests_total), starts $(counter starts_total), failures $(counter failures_total)"
}

compile plain
[ "$(counter requests_total)" = 0 ] || fail "a persistent process was used although nobody asked"
compile kept "${kept[@]}"
[ "$(counter requests_total)" = $((libraries + 1)) ] || fail "not every Javac was run by the process that stays"
[ "$(counter starts_total)" = 1 ] || fail "one process does not serve them all"
cmp "$farm_dir/sums.plain" "$farm_dir/sums.kept" || fail "other bytes by a process that stays"

# The jar of the first library changes under the same name: a process that remembered the old one would show.
sed -i 's/String say() { return "one"; }/int say() { return 1; }/' "$farm_workspace/chain/L0.java"
compile kept2 "${kept[@]}"
compile plain2
cmp "$farm_dir/sums.plain2" "$farm_dir/sums.kept2" || fail "other bytes after a change"
! cmp -s "$farm_dir/sums.plain" "$farm_dir/sums.plain2" || fail "nothing has changed"

# An error is the compiler's, and the process serves on.
echo 'package chain; public class L0 { no_such_thing }' >"$farm_workspace/chain/L0.java"
! farm_build remote //chain:l0 "${kept[@]}" 2>/dev/null || fail "nonsense compiled"
grep -q 'identifier> expected' "$farm_log" || fail "the compiler's message is lost"
[ "$(counter failures_total)" = 0 ] || fail "a persistent process failed"
[ "$(counter starts_total)" = 1 ] || fail "the process did not serve on"

# Another tool is another process. The tool's script is part of its key.
sed -i 's/"-XX:-UsePerfData",/"-XX:-UsePerfData", "-Dchanged=1",/' "$farm_workspace"/local-remote-execution/generated-java/java/BUILD.bazel
printf 'package chain;\npublic class L0 { public static int say() { return 2; } }\n' >"$farm_workspace/chain/L0.java"
farm_build remote //chain:l0 "${kept[@]}"
[ "$(counter starts_total)" = 2 ] || fail "the process of another tool was used"
echo "errors and another tool: as they should be"

#!/usr/bin/env bash
# `lre explain` on logs of real Bazel builds, in all three formats: the flags, the variable and the source
# that made keys differ are named, and what follows from them is not; flags that must not make them differ do not.
. "$(dirname "$0")/session.sh"
farm_workspace=$farm_dir/project farm_log=
copy_project "$farm_workspace"
farm_start
logs=$farm_dir/logs
mkdir -p "$logs"

# expect_cause WHAT LOG_A LOG_B REGULAR_EXPRESSION
expect_cause() {
  local out
  if out=$("$lre" explain "$2" "$3"); then fail "$1: no difference found"; fi
  printf '%s\n' "== $1" "$out" | head -n 12
  grep -Eq "$4" <<<"$out" || fail "$1: /$4/ is not in: $out"
}

build() { # FLAGS...: from nothing; a log says of a hit what it says of what was run
  farm_clean
  farm_build cached "$@" //:generated //:words
}
# Debian's Bazel has no zstd and cannot write compact logs: those are then only tested by the unit tests.
formats=(json binary compact)
build "--execution_log_json_file=$logs/a.json"
build "--execution_log_binary_file=$logs/a.binary"
if ! build "--execution_log_compact_file=$logs/a.compact" 2>"$logs/compact.txt"; then
  grep -q 'zstd-jni' "$logs/compact.txt" || fail "no compact log: $(cat "$logs/compact.txt")"
  echo "this Bazel cannot write compact logs"
  formats=(json binary)
fi
build "--execution_log_binary_file=$logs/flag.binary" --host_copt=-DEXPLAIN
build "--execution_log_json_file=$logs/variable.json" --action_env=EXPLAIN=yes
# What people set that enters no key, and what enters keys.
build "--execution_log_json_file=$logs/same.json" --define=EXECUTOR=remote --stamp --spawn_strategy=local \
  --remote_default_exec_properties=explain=yes
expect_spawns "flags that enter no key" "[0-9]+ remote cache hit"
build "--execution_log_json_file=$logs/others.json" -c opt --platform_suffix=other --shell_executable=/bin/sh \
  --noincompatible_strict_action_env
expect_spawns "flags that enter all keys" "[0-9]+ $local_strategy"
new_sources "$farm_workspace" 7
build "--execution_log_binary_file=$logs/source.binary"

for format in "${formats[@]}"; do
  "$lre" explain "$logs/a.json" "$logs/a.$format" >"$logs/same.txt" ||
    fail "a.json and a.$format differ: $(cat "$logs/same.txt")"
done
expect_cause "a flag" "$logs/a.json" "$logs/flag.binary" 'DEXPLAIN'
expect_cause "a variable" "$logs/a.json" "$logs/variable.json" 'variable EXPLAIN \(environment\)'
"$lre" explain "$logs/a.json" "$logs/same.json" >"$logs/same.txt" || fail "flags that enter no key: $(cat "$logs/same.txt")"
expect_cause "another configuration" "$logs/a.json" "$logs/others.json" 'B: .*bazel-out/k8-opt-other/bin/words\.out'
expect_cause "another shell" "$logs/a.json" "$logs/others.json" 'B: /bin/sh$'
expect_cause "the client's PATH" "$logs/a.json" "$logs/others.json" 'variable PATH \(environment\)'
expect_cause "a source" "$logs/a.binary" "$logs/source.binary" 'input words.txt \(input file\)'
# Programs made from a changed source follow from their compile.
"$lre" explain "$logs/a.binary" "$logs/source.binary" --json >"$logs/source.json" || true
grep -q '"following": [1-9]' "$logs/source.json" || fail "nothing follows: $(cat "$logs/source.json")"
"$lre" explain "$logs/a.json" "$logs/flag.binary" --target //:words >/dev/null ||
  fail "//:words has another key"

# Two actions as the server has them, inputs too because they run there: the same answer without a log.
for name in a b; do
  farm_clean
  farm_build remote "--execution_log_json_file=$logs/remote-$name.json" --noremote_accept_cached //:generated \
    "--host_copt=-DREMOTE=$name"
done
mapfile -t keys < <("$lre" explain "$logs/remote-a.json" "$logs/remote-b.json" --json |
  sed -n 's/^ *"\([ab]\)": "\([0-9a-f]\{64\}\/[0-9]*\)".*/\2/p' | head -n 2)
[ "${#keys[@]}" = 2 ] || fail "no keys in the JSON"
if "$lre" explain "${keys[@]}" --server "${farm_cache#grpc://}" --instance-name "$farm_instance" \
  >"$logs/stored.txt"; then
  fail "the stored actions are the same"
fi
cat "$logs/stored.txt"
grep -q 'DREMOTE=a' "$logs/stored.txt" || fail "the flag is not named"

# With the record of one side: the server names the action that is most like it. By digest, by label, by log.
one_side=(--server "${farm_cache#grpc://}" --instance-name "$farm_instance")
label=$("$lre" explain "$logs/remote-a.json" "$logs/remote-b.json" --json |
  sed -n 's/^ *"spawn": "\([^,]*\), CppCompile.*/\1/p' | head -n 1 || true)
[ -n "$label" ] || fail "no label in the JSON"
# expect_nearest WHAT REGULAR_EXPRESSION ARGUMENTS...
expect_nearest() {
  local what=$1 expected=$2
  shift 2
  if "$lre" explain "$@" "${one_side[@]}" >"$logs/nearest.txt" 2>&1; then
    fail "$what: nothing differs: $(cat "$logs/nearest.txt")"
  fi
  printf '%s\n' "== $what" "$(head -n 8 "$logs/nearest.txt")"
  grep -Eq "$expected" "$logs/nearest.txt" || fail "$what: /$expected/ is not in: $(cat "$logs/nearest.txt")"
}
expect_nearest "a digest alone" 'A: .*DREMOTE=b' "${keys[1]}"
expect_nearest "a label alone" 'A: .*DREMOTE=b' "$label" --mnemonic CppCompile
# What was made here, with another source: the log knows its inputs, the server those of the runs before.
farm_clean
farm_build remote --noremote_accept_cached //:words
new_sources "$farm_workspace" 8
farm_clean
farm_build cached "--execution_log_json_file=$logs/here.json" //:generated //:words
expect_nearest "a log alone" 'input salt.h \(input file\)' "$logs/here.json"
grep -Eq '[1-9][0-9]* follow from' "$logs/nearest.txt" || fail "nothing follows: $(cat "$logs/nearest.txt")"
expect_nearest "one target" 'input words.txt \(input file\)' "$logs/here.json" --target //:words
if "$lre" explain //:none "${one_side[@]}" >"$logs/none.txt" 2>&1; then fail "an action of a target that is not there"; fi
grep -q 'has seen no action of //:none' "$logs/none.txt" || fail "it says $(cat "$logs/none.txt")"
echo "passed"

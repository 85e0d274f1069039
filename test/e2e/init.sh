#!/usr/bin/env bash
# From a Bazel project that knows nothing of LRE to `remote cache hit`, with `lre init`; and `lre check`, which
# says what disagrees.
. "$(dirname "$0")/session.sh"
farm_workspace=$farm_dir/project farm_rc=() farm_overrides=()
mkdir -p "$farm_workspace"
cd "$farm_workspace" || exit
printf 'module(name = "mine")\n\nbazel_dep(name = "rules_cc", version = "0.0.17")\n' >MODULE.bazel
printf 'load("@rules_cc//cc:cc_binary.bzl", "cc_binary")\n\ncc_binary(\n    name = "mine",\n    srcs = ["mine.cc"],\n)\n' >BUILD.bazel
printf '#include <iostream>\nint main() { std::cout << "mine\\n"; }\n' >mine.cc
echo 'build --color=no' >.bazelrc

# Without a terminal to ask on, nothing of the user's is changed.
cp MODULE.bazel before
if "$lre" init </dev/null >"$farm_dir/refused" 2>&1; then fail "lre init changed a file without asking"; fi
grep -q -e '--yes' "$farm_dir/refused" || fail "lre init does not say how to go on"
cmp MODULE.bazel before
if grep -q $'\033' "$farm_dir/refused"; then fail "colours without a terminal"; fi
# On one it asks for each; one no, and none is changed.
for answers in 'n' 'y\nn'; do
  # shellcheck disable=SC2059
  if printf "$answers\n" | script -qec "'$lre' init" /dev/null >"$farm_dir/asked" 2>&1; then fail "lre init after '$answers'"; fi
  grep -q 'change MODULE.bazel? \[y/N\]' "$farm_dir/asked" || fail "lre init does not ask: $(cat "$farm_dir/asked")"
  grep -q $'\033' "$farm_dir/asked" || fail "no colours on a terminal"
  cmp MODULE.bazel before
done
grep -q 'change .bazelrc? \[y/N\]' "$farm_dir/asked" || fail "lre init asks for one file only: $(cat "$farm_dir/asked")"
"$lre" init --yes
"$lre" check || fail "lre check after lre init"
files=$(find . -name .git -prune -o -type f -exec sha256sum {} + | sort)
"$lre" init --yes
[ "$files" = "$(find . -name .git -prune -o -type f -exec sha256sum {} + | sort)" ] || fail "a second lre init changes files"

farm_start
remote_then_cached 2 //:mine

# The server was not pushed to: workers elsewhere could not fetch what this project builds with. Then it was.
server=(--server "${farm_cache#grpc://}" --instance-name "$farm_instance")
"$lre" check "${server[@]}" >"$farm_dir/check" || fail "lre check with a server"
grep -q 'server lre-cc: the server lacks 5 of 5' "$farm_dir/check" || fail "lre check says $(cat "$farm_dir/check")"
"$lre" push lre-cc "${server[@]}" >/dev/null
"$lre" doctor --json "${server[@]}" >"$farm_dir/doctor.json" || true # what else is wrong with this machine is its own
python3 - "$farm_dir/doctor.json" <<'PYTHON' || fail "lre doctor says $(cat "$farm_dir/doctor.json")"
import json
import sys
found = {each["check"]: each for each in json.load(open(sys.argv[1]))}
assert found["server lre-cc"]["verdict"] == "good" and found["compiler lre-cc"]["verdict"] == "good", found
assert {"sandbox", "store", "environment", "host specs", "userland", "bazel version", "server", "lock"} <= found.keys()
PYTHON

# What of this machine could get into builds is named.
CPATH=/usr/include LD_LIBRARY_PATH=/nowhere "$lre" doctor >"$farm_dir/doctor" || true
grep -q 'environment: set here: CPATH LD_LIBRARY_PATH' "$farm_dir/doctor" || fail "lre doctor names no variables: $(cat "$farm_dir/doctor")"
grep -q '^good *compiler lre-cc:' "$farm_dir/doctor" || fail "the compiler takes CPATH's headers: $(cat "$farm_dir/doctor")"

# disagrees WHAT: lre check fails and says so.
disagrees() {
  if "$lre" check --without-store >"$farm_dir/check" 2>&1; then fail "lre check sees nothing, although: $1"; fi
  grep -q "$1" "$farm_dir/check" || { cat "$farm_dir/check"; fail "lre check does not say: $1"; }
}
spoil() { # spoil FILE EXPRESSION EXPECTED: sed changes FILE, then all is as it was
  cp "$1" "$farm_dir/kept"
  sed -i "$2" "$1"
  disagrees "$3"
  cp "$farm_dir/kept" "$1"
}
spoil lre.toml 's/"zstd",/"zstd",\n  "time",/' 'store path base lacks package time'
spoil lre.lock '0,/^version = .*/s//version = "9"/' 'made from another lre.lock'
spoil lre.lock '$ a <<<<<<< HEAD' 'git left a merge undecided here'
spoil lre.cmake 's/Linux/Windows/' 'lre.cmake is not what'
spoil lre.bazelrc 's/lre_store_loader/other/' 'lre.bazelrc is not what'
spoil .bazelrc '/lre.bazelrc/d' '.bazelrc does not import'
spoil .bazelrc 's/^try-import/# try-import/' '.bazelrc does not import'
spoil MODULE.bazel '/local-remote-execution/d' 'MODULE.bazel does not depend'
spoil MODULE.bazel 's/path = "local-remote-execution"/path = "elsewhere"/' 'MODULE.bazel takes the module in elsewhere'
spoil MODULE.bazel 's/local_path_override/git_override/' 'MODULE.bazel takes the module by git_override'
spoil local-remote-execution/toolchain.json 's/"lock": "sha256:./"lock": "sha256:x/' 'made from another lre.lock'
"$lre" generate --bazelrc-prefix lre >/dev/null
"$lre" check --without-store || fail "lre check does not know lre.bazelrc with a prefix"
"$lre" generate-toolchains >/dev/null
grep -q '^build:lre --extra_toolchains=' lre.bazelrc || fail "generating again forgets the prefix"
"$lre" generate --bazelrc-prefix '' >/dev/null
grep -q '^build --extra_toolchains=' lre.bazelrc || fail "the prefix cannot be taken away"

#!/usr/bin/env bash
# Real justbuild (`just`): a program and a tree of files with links, built in the farm, again from its
# cache, and a failing action with its message.
. "$(dirname "$0")/client_session.sh"
need_clients justbuild
unset http_proxy https_proxy
mkdir -p "$farm_dir/project"
cd "$farm_dir/project" || exit
: >ROOT
echo input >in.txt
echo 'int main() { return 0; }' >main.cc
cat >TARGETS <<END
{ "text":
  { "type": "generic", "outs": ["out.txt"], "cmds": ["cat in.txt >out.txt", "echo more >>out.txt"], "deps": ["in.txt"] }
, "tree":
  { "type": "generic", "out_dirs": ["tree"]
  , "cmds": ["mkdir -p tree/sub tree/empty", "cp out.txt tree/sub/copy", "ln -s sub/copy tree/link"], "deps": ["text"] }
, "program":
  { "type": "generic", "outs": ["program"], "cmds": ["$(tool g++) -O2 main.cc -o program"], "deps": ["main.cc"] }
, "fails":
  { "type": "generic", "outs": ["never"], "cmds": ["echo the reason is here >&2; exit 7"] }
, "":
  { "type": "install", "files": {"result.txt": "text", "program": "program"}, "dirs": [["tree", "."]] }
}
END
# build COMMAND ROOT ARGUMENTS...: with a local root of its own, so that nothing is remembered here. The
# hashes of the REAPI, not just's own.
just() {
  local verb=$1 own=$2
  shift 2
  justbuild "$verb" --compatible --local-build-root "$farm_dir/$own" -r "$address" --remote-instance-name main \
    --remote-execution-property OSFamily:linux "$@" >"$farm_dir/log" 2>&1
}

for round in 1 2; do
  just install "root$round" -o "$farm_dir/out$round" || { cat "$farm_dir/log" >&2; fail "round $round"; }
  [ "$(cat "$farm_dir/out$round/result.txt")" = "$(printf 'input\nmore')" ] || fail "result.txt"
  [ "$(readlink "$farm_dir/out$round/tree/link")" = sub/copy ] || fail "the link in the tree"
  cmp "$farm_dir/out$round/tree/sub/copy" "$farm_dir/out$round/result.txt" || fail "the tree's file"
  "$farm_dir/out$round/program" || fail "the program cannot be run"
  expect_run $((round == 1 ? 3 : 0)) "round $round"
done

just build root3 fails && fail "a failing action passed"
grep -q 'the reason is here' "$farm_dir/log" || fail "the action's message is lost: $(cat "$farm_dir/log")"
expect_run 1 "a failing action"

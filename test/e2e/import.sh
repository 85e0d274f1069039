#!/usr/bin/env bash
# A project that imports the module by git_override, from a repository of this machine: it has no lock and no
# manifest of its own. `lre sync` in its tree finds the lock through MODULE.bazel; then a remote build, and all
# cache hits here.
. "$(dirname "$0")/session.sh"
export XDG_CACHE_HOME=$farm_dir/cache # the repository is fetched anew; packages are those of before
mkdir -p "$XDG_CACHE_HOME/lre"
ln -s "$HOME/.cache/lre/packages" "$XDG_CACHE_HOME/lre/packages"

origin=$farm_dir/origin
copy_module "$origin" lre-cc
git_in() { git -C "$origin" -c user.name=test -c user.email=test@localhost -c commit.gpgsign=false "$@"; }
git_in init --quiet
git_in add lre.toml lre.lock local-remote-execution
git_in commit --quiet -m module
commit=$(git_in rev-parse HEAD)

farm_workspace=$farm_dir/project farm_rc=() farm_overrides=()
mkdir -p "$farm_workspace"
cd "$farm_workspace" || exit
cat >MODULE.bazel <<MODULE
module(name = "mine")

bazel_dep(name = "rules_cc", version = "0.0.17")
bazel_dep(name = "local-remote-execution", version = "0")

git_override(
    module_name = "local-remote-execution",
    commit = "$commit",
    remote = "file://$origin",
    strip_prefix = "local-remote-execution",
)
MODULE
printf 'load("@rules_cc//cc:cc_binary.bzl", "cc_binary")\n\ncc_binary(\n    name = "mine",\n    srcs = ["mine.cc"],\n)\n' >BUILD.bazel
printf '#include <iostream>\nint main() { std::cout << "mine\\n"; }\n' >mine.cc
echo 'try-import %workspace%/lre.bazelrc' >.bazelrc

# Before a sync, nothing is downloaded, and one line says what to run.
if "$lre" env >"$farm_dir/env" 2>&1; then fail "lre env without a toolchain"; fi
if [ "$(wc -l <"$farm_dir/env")" != 1 ] || ! grep -q 'lre sync' "$farm_dir/env"; then fail "lre env says $(cat "$farm_dir/env")"; fi
"$lre" sync
compiler=$(eval "$("$lre" env)" && echo "$CC")
[[ $compiler = /lre/store/*-gcc/* ]] || fail "CC is '$compiler'"
[ "$(ls)" = "$(printf 'BUILD.bazel\nMODULE.bazel\nlre.bazelrc\nmine.cc')" ] || fail "lre sync wrote more than lre.bazelrc: $(ls)"

farm_start
remote_then_cached 2 //:mine

# A module that is not its lock's is refused by name.
sed -i 's/"name": "lre-cc"/"name": "lre-cc", "zzz": 1/' "$origin/local-remote-execution/toolchain.json"
git_in commit --quiet -am spoilt
sed -i "s/$commit/$(git_in rev-parse HEAD)/" MODULE.bazel
if "$lre" sync >"$farm_dir/spoilt" 2>&1; then fail "a module that was not made from its lock was taken"; fi
grep -q "$origin" "$farm_dir/spoilt" || fail "nothing says which module is wrong: $(cat "$farm_dir/spoilt")"

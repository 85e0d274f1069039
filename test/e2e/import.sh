#!/usr/bin/env bash
# A project that imports the module by git_override, from a repository of this machine: it has no lock and no
# manifest of its own. `lre sync` in its tree finds the lock through MODULE.bazel; then a remote build, and all
# cache hits here. Another imports it by archive_override, and shares what the first one built.
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

# Before a sync, nothing is downloaded, and one line says what to run; after it, the compiler is the store's.
sync_names_compiler() {
  local compiler
  if "$lre" env >"$farm_dir/env" 2>&1; then fail "lre env without a toolchain"; fi
  if [ "$(wc -l <"$farm_dir/env")" != 1 ] || ! grep -q 'lre sync' "$farm_dir/env"; then fail "lre env says $(cat "$farm_dir/env")"; fi
  "$lre" sync
  compiler=$(eval "$("$lre" env)" && echo "$CC")
  [[ $compiler = /lre/store/*-gcc/* ]] || fail "CC is '$compiler'"
}
sync_names_compiler
"$lre" check || fail "lre check of a project that imports"
echo '# mine' >>lre.bazelrc
if "$lre" check >"$farm_dir/check"; then fail "lre check does not see that lre.bazelrc was changed"; fi
grep -q 'lre.bazelrc is not what' "$farm_dir/check" || fail "lre check says $(cat "$farm_dir/check")"
"$lre" sync
[ "$(ls)" = "$(printf 'BUILD.bazel\nMODULE.bazel\nlre.bazelrc\nmine.cc')" ] || fail "lre sync wrote more than lre.bazelrc: $(ls)"

farm_start
remote_then_cached 2 //:mine

# The same module out of an archive, whose integrity says which bytes are meant.
git_in archive --prefix=lre-1/ --output="$farm_dir/lre.tar.gz" HEAD
integrity=sha256-$(openssl dgst -sha256 -binary "$farm_dir/lre.tar.gz" | base64)
farm_workspace=$farm_dir/archived
cp -R "$farm_dir/project" "$farm_workspace"
cd "$farm_workspace" || exit
rm -f lre.bazelrc bazel-*
cat >MODULE.bazel <<MODULE
module(name = "other")

bazel_dep(name = "rules_cc", version = "0.0.17")
bazel_dep(name = "local-remote-execution", version = "0")

archive_override(
    module_name = "local-remote-execution",
    integrity = "$integrity",
    strip_prefix = "lre-1/local-remote-execution",
    urls = ["file://$farm_dir/gone.tar.gz", "file://$farm_dir/lre.tar.gz"],
)
MODULE
sync_names_compiler
farm_build cached //:mine
expect_spawns "another project, out of an archive" "2 remote cache hit"
farm_bazel shutdown >/dev/null 2>&1 # farm_end ends the server of one workspace
sed "s|sha256-|sha256-AAAA|" MODULE.bazel >MODULE.bazel.new
mv MODULE.bazel.new MODULE.bazel
if "$lre" sync >"$farm_dir/integrity" 2>&1; then fail "an integrity that is none was taken"; fi
sed -i 's|sha256-AAAA.*"|sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="|' MODULE.bazel
if "$lre" sync >"$farm_dir/integrity" 2>&1; then fail "an archive with another hash was taken"; fi
grep -q 'its hash is' "$farm_dir/integrity" || fail "nothing says that the hash is wrong: $(cat "$farm_dir/integrity")"

# And one in the folder of another project of this machine.
mkdir -p "$farm_dir/neighbour"
cd "$farm_dir/neighbour" || exit
cat >MODULE.bazel <<'MODULE'
bazel_dep(name = "local-remote-execution", version = "0")
local_path_override(
    module_name = "local-remote-execution",
    path = "../origin/local-remote-execution",
)
MODULE
echo 'try-import %workspace%/lre.bazelrc' >.bazelrc
"$lre" sync && "$lre" check || fail "lre check of a project that takes the module of another"
[ "$(ls)" = "$(printf 'MODULE.bazel\nlre.bazelrc')" ] || fail "lre sync wrote more than lre.bazelrc: $(ls)"
farm_workspace=$farm_dir/project
cd "$farm_workspace" || exit

# A module that is not its lock's is refused by name.
sed -i 's/"name": "lre-cc"/"name": "lre-cc", "zzz": 1/' "$origin/local-remote-execution/toolchain.json"
git_in commit --quiet -am spoilt
sed -i "s/$commit/$(git_in rev-parse HEAD)/" MODULE.bazel
if "$lre" sync >"$farm_dir/spoilt" 2>&1; then fail "a module that was not made from its lock was taken"; fi
grep -q "$origin" "$farm_dir/spoilt" || fail "nothing says which module is wrong: $(cat "$farm_dir/spoilt")"

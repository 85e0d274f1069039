#!/usr/bin/env bash
# What must not enter a key: who calls, from where, with which environment. Built once remotely; every
# variation then finds all of it in the cache. Each costs the start of a Bazel, so several things vary in each. And
# what must enter some: with another userland, genrules, shell actions and tests are new, and nothing is compiled again.
. "$(dirname "$0")/session.sh"
farm_verb="test"
farm_workspace=$farm_dir/project
copy_project "$farm_workspace"
farm_start
farm_build remote //...
spawns=$(count_spawns)
expect_spawns "remote" "$spawns remote"
farm_bazel shutdown

# variation NAME: with farm_client, farm_output_root and farm_workspace as they are set.
variation() {
  farm_clean # where an earlier one was in the same place
  farm_build cached //...
  expect_spawns "$1" "$spawns remote cache hit"
  farm_bazel shutdown
  farm_client=(env)
}

farm_workspace=$farm_dir/another/place farm_output_root=$farm_dir/elsewhere/a/b
copy_project "$farm_workspace"
variation "another workspace folder and output root"

mkdir -p "$farm_dir/home"
farm_client=(unshare --user --map-user=12345 --map-group=12345 env USER=somebody LOGNAME=somebody "HOME=$farm_dir/home"
  PATH=/opt/none:/usr/sbin:/usr/bin:/sbin:/bin LANG=de_DE.UTF-8 LC_ALL=tr_TR.UTF-8 TZ=Asia/Tokyo CC=/bin/false CPATH=/nowhere TERM=dumb)
farm_output_root=$farm_dir/somebody variation "another user, HOME, PATH and LANG"

# The module as it is, but for a file in the path of the shell.
farm_workspace=$farm_dir/another/place farm_output_root=$farm_dir/elsewhere/a/b
place=$farm_workspace
copy_module "$farm_dir/module" lre-cc
mkdir -p "$farm_dir/over/usr/share"
echo another >"$farm_dir/over/usr/share/another"
(cd "$farm_dir/module" && "$lre" dev lre-cc "base=$farm_dir/over") >"$farm_dir/dev.log" || { cat "$farm_dir/dev.log"; fail "lre dev"; }
use_module_of "$farm_dir/module"
farm_workspace=$place
farm_clean
farm_build cached //... "--execution_log_json_file=$farm_dir/spawns.json" --test_output=errors
expect_spawns "another userland" "[0-9]+ remote cache hit, [0-9]+ $local_strategy"
new=$(awk '/^  "mnemonic":/ { name = $2 } /^  "cacheHit": false/ { print name }' "$farm_dir/spawns.json" | tr -d '",' | sort -u | paste -sd' ')
[ "$new" = "Genrule Shelled TestRunner" ] || fail "with another userland these are new: $new"

#!/usr/bin/env bash
# One byte of a toolchain flips on a worker: the worker finds it, names the file and the actions that used the path since
# it was last found good, puts the path away and fetches it again for the next action.
. "$(dirname "$0")/session.sh"
farm_workspace=$farm_dir/project
copy_project "$farm_workspace"
serve_farm
"$lre" push --server "$address" --manifest "$module/toolchain.json" >/dev/null
store=$farm_dir/store-damaged
fresh_worker damaged --worker-store-check-interval 10s
header=

# logged EVENT COUNT: waits until the worker has said so, that often.
logged() {
  for _ in $(seq 1200); do
    [ "$(grep -c "\"$1\"" "$farm_dir/worker.log")" -lt "$2" ] || return 0
    sleep 0.1
  done
  tail -n 20 "$farm_dir/worker.log" >&2
  fail "the worker says no $1 (line $2) within two minutes"
}

# Once in a while the worker looks between the action and the flip, and the action is no concern: then again.
for turn in 1 2 3 4 5; do
  new_sources "$farm_workspace" $turn
  farm_build remote //:thrower "--execution_log_json_file=$farm_dir/spawns.json"
  expect_spawns "before" "[1-9][0-9]* remote(, [0-9]+ remote cache hit)?|[0-9]+ remote cache hit, [0-9]+ remote"
  header=$(ls -d "$store"/*-sysroot)/usr/include/features.h
  good=$(sha256sum "$header")
  fetched=$(grep -c '"store_path_fetched"' "$farm_dir/worker.log")
  printf '\xff' | dd of="$header" bs=1 seek=100 conv=notrunc status=none
  logged store_path_damaged $turn
  said=$(grep '"store_path_damaged"' "$farm_dir/worker.log" | tail -n 1)
  users=$(sed -n 's/.*"quarantine": *"\([^"]*\)".*/\1/p' <<<"$said")/actions
  users=$store/${users#/lre/store/}
  [ ! -s "$users" ] || break
done
echo "$said"
grep -q '"file": *"[^"]*-sysroot/usr/include/features\.h"' <<<"$said" || fail "the worker does not name the file"
[ -s "$users" ] || fail "the worker names no action that used the path"
while read -r action; do
  grep -q "\"hash\": \"$action\"" "$farm_dir/spawns.json" || fail "action $action is none of the build's"
done <"$users"
echo "used by $(wc -l <"$users") actions of the build"

# The next action has a good one.
new_sources "$farm_workspace" $((turn + 1))
farm_build remote //:thrower
expect_spawns "after" "[1-9].*"
logged store_path_fetched $((fetched + 1))
[ "$(sha256sum "$header")" = "$good" ] || fail "the header is not what it was"

# One that flips while no worker runs is found when the next one starts, though no action wants the path.
end_fresh_worker
printf '\xff' | dd of="$header" bs=1 seek=100 conv=notrunc status=none
fresh_worker damaged
logged store_path_damaged 1
logged store_path_fetched 1
[ "$(sha256sum "$header")" = "$good" ] || fail "the header was not fetched again"

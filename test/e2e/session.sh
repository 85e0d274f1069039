# shellcheck shell=bash
# Sourced by the end-to-end tests: a folder of the test's own, a farm, a copy of test/e2e/project, and
# checks of who ran what. The farm and Bazel's servers end when the test does.
# shellcheck disable=SC2034  # set for farm.sh
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=tools/farm.sh
. "$root/tools/farm.sh"

lre=${LRE_PROGRAM:?the lre program} shared=${LRE_E2E_DIR:?a folder}
[ -e "$shared/bazel" ] && [ -e "$shared/module" ] || { echo "run test/e2e/setup.sh first" >&2; exit 1; }
{ read -r bazel; read -r bazel_rc || true; } <"$shared/bazel"
module=$(cat "$shared/module")
module=${module:-$root/local-remote-execution}
farm_dir=$shared/$(basename "$0" .sh)
farm_rc=("$(dirname "$module")/lre.bazelrc")
farm_overrides=("--override_module=local-remote-execution=$module")
chmod -R u+rwX "$farm_dir" 2>/dev/null || true
rm -rf "$farm_dir"
mkdir -p "$farm_dir"
trap farm_end EXIT

# copy_project DIR: a fresh copy of the test project.
copy_project() {
  mkdir -p "$1"
  cp -R "$root/test/e2e/project/." "$1/"
}

# copy_module DIR TOOLCHAIN...: makes DIR a workspace with the repository's module and these toolchains, and
# builds use that module. A package that is gone from the archive is locked anew, in the copy.
copy_module() {
  farm_workspace=$1 farm_rc=() farm_overrides=()
  mkdir -p "$1"
  cp -R "$root"/{lre.toml,lre.lock,MODULE.bazel,.bazelrc,.bazelignore,local-remote-execution} "$1/"
  shift
  (cd "$farm_workspace" && { "$lre" sync "$@" || { "$lre" lock && "$lre" sync "$@"; }; } && "$lre" generate)
}

# use_module_of DIR: builds of other workspaces take the module and the flags of DIR, made by copy_module.
use_module_of() {
  farm_rc=("$1/lre.bazelrc") farm_overrides=("--override_module=local-remote-execution=$1/local-remote-execution")
}

# start_fresh_worker NAME ADDRESS STORE FLAGS...: a worker of the server at ADDRESS whose /lre/store is the folder STORE,
# and whose /nix/store is STORE.nix if that is there; sets worker_pid. Callers run as root, and call end_fresh_worker when they leave.
worker_pid=
start_fresh_worker() {
  local name=$1 server=$2 store=$3
  shift 3
  mkdir -p "$store"
  # shellcheck disable=SC2016  # expanded by the inner shell
  unshare --mount --propagation private bash -c '
    mount --bind "$1" /lre/store
    [ ! -d "$1.nix" ] || mount --bind "$1.nix" /nix/store
    shift
    exec "$@"' \
    worker "$store" "$lre" worker --worker-server "$server" --worker-directory "$farm_dir/worker" --worker-name "$name" "$@" \
    >"$farm_dir/worker.log" 2>&1 &
  worker_pid=$!
}
end_fresh_worker() {
  if [ -n "$worker_pid" ]; then kill -TERM "$worker_pid" 2>/dev/null || true; wait "$worker_pid" 2>/dev/null || true; fi
  worker_pid=
}

# new_sources DIR N: changes the bytes of every source, so that every action is new.
new_sources() {
  sed -i "s/E2E_SALT .*/E2E_SALT $2/" "$1/salt.h"
  echo "three words $2" >>"$1/words.txt"
}

fail() {
  echo "FAILED: $*" >&2
  echo "Bazel's output: $farm_log" >&2
  exit 1
}

# expect_spawns WHAT REGULAR_EXPRESSION: who ran the spawns of the last build, as Bazel says.
expect_spawns() {
  local spawns
  spawns=$(farm_spawns)
  echo "$1: ${spawns:-nothing}"
  [[ "$spawns" =~ ^$2$ ]] || fail "$1: '$spawns' is not '$2'"
}

# remote_then_cached SPAWNS TARGETS...: all of them run in the farm; then, here and cleaned, every one is a hit.
remote_then_cached() {
  local spawns=$1
  shift
  farm_build remote "$@"
  expect_spawns "remote" "$spawns remote"
  farm_clean
  farm_build cached "$@"
  expect_spawns "clean, local" "$spawns remote cache hit"
}

# The number of the spawns of the last build.
count_spawns() { farm_spawns | tr ',' '\n' | awk '{ n += $1 } END { print n + 0 }'; }

# One kind of sandbox or the other, as the machine allows.
local_strategy='(linux-sandbox|processwrapper-sandbox)'

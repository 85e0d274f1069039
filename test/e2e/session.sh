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
# Bazel's servers live for a few small builds: compiling itself well costs it more processor time than it saves.
farm_startup=(--host_jvm_args=-XX:TieredStopAtLevel=1 --host_jvm_args=-XX:+UseSerialGC)
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

# with_servers: serve.sh, with its logs and data in $farm_dir; what was started ends with the test.
with_servers() {
  # shellcheck source=test/e2e/serve.sh
  . "$root/test/e2e/serve.sh"
  serve_dir=$farm_dir
  trap 'end_fresh_worker; farm_end; serve_end' EXIT
}

# serve_farm FLAGS...: instead of farm_start, a server without workers, for fresh ones; builds use it. Sets address.
serve_farm() {
  need_root
  with_servers
  serve server --data-dir "$farm_dir/data" "$@"
  use_server
}
use_server() { farm_executor=grpc://$address farm_cache=grpc://$address farm_instance=main; }
need_root() { [ "$(id -u)" = 0 ] || { echo "skipped: this test makes a mount namespace: run it as root" >&2; exit 77; }; }

# fresh_worker NAME FLAGS...: a worker of the server at $address in place of the one before. It knows no file from before;
# its /lre/store is $farm_dir/store-NAME, and its /nix/store is $farm_dir/store-NAME.nix if that is there. Needs root;
# callers without serve_farm call end_fresh_worker when they leave.
worker_pid=
fresh_worker() {
  local name=$1 store=$farm_dir/store-$1
  shift
  end_fresh_worker
  rm -rf "$farm_dir/worker"
  mkdir -p "$store"
  # shellcheck disable=SC2016  # expanded by the inner shell
  unshare --mount --propagation private bash -c '
    mount --bind "$1" /lre/store
    [ ! -d "$1.nix" ] || mount --bind "$1.nix" /nix/store
    shift
    exec "$@"' \
    worker "$store" "$lre" worker --worker-server "$address" --worker-directory "$farm_dir/worker" --worker-name "$name" "$@" \
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
  [ -z "${farm_log:-}" ] || echo "Bazel's output: $farm_log" >&2
  exit 1
}

# expect_spawns WHAT REGULAR_EXPRESSION: who ran the spawns of the last build, as Bazel says.
expect_spawns() {
  local spawns
  spawns=$(farm_spawns)
  echo "$1: ${spawns:-nothing}"
  [[ "$spawns" =~ ^$2$ ]] || fail "$1: '$spawns' is not '$2'"
}

# remote_then_cached LEAST FLAGS_AND_TARGETS...: at least so many spawns, all of them run in the farm; then, here and
# cleaned, every one is a hit, and the outputs are here. Sets spawns.
remote_then_cached() {
  local least=$1
  shift
  farm_build remote "$@"
  spawns=$(count_spawns)
  [ "$spawns" -ge "$least" ] || fail "only $spawns spawns"
  expect_spawns "remote" "$spawns remote"
  farm_clean
  farm_build cached "$@" --remote_download_outputs=all
  expect_spawns "clean, local" "$spawns remote cache hit"
}

# here_then_remote SPAWNS FLAGS_AND_TARGETS...: what is new is built here, by SPAWNS, a regular expression; then, cleaned,
# all of it is hits of a build in the farm.
here_then_remote() {
  local expected=$1
  shift
  farm_build cached "$@"
  expect_spawns "new, local" "$expected"
  farm_clean
  farm_build remote "$@"
  expect_spawns "clean, remote" "[1-9][0-9]* remote cache hit"
}

# The number of the spawns of the last build.
count_spawns() { farm_spawns | tr ',' '\n' | awk '{ n += $1 } END { print n + 0 }'; }

# One kind of sandbox or the other, as the machine allows.
local_strategy='(linux-sandbox|processwrapper-sandbox)'

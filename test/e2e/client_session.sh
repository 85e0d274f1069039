# shellcheck shell=bash
# Sourced by the tests with clients other than Bazel: the clients on PATH, a `lre up`, a folder of the
# test's own, and checks. Ends 77 (skipped) where the clients can neither be found nor provided.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=tools/farm.sh
. "$root/tools/farm.sh"

lre=${LRE_PROGRAM:?the lre program} shared=${LRE_E2E_DIR:?a folder}
farm_dir=$shared/$(basename "$0" .sh)
rm -rf "$farm_dir"
mkdir -p "$farm_dir"
trap farm_stop EXIT

# need_clients NAME...: puts them on PATH.
need_clients() {
  local name bin
  for name in "$@"; do
    command -v "$name" >/dev/null && continue
    bin=$("$root/tools/clients/provision") || { echo "SKIPPED: no $name here, and it cannot be provided (above: why)"; exit 77; }
    PATH=$bin:$PATH
    return
  done
}

# tool NAME: the program of the locked toolchain, by its plain name (clients know compilers by it).
tool() {
  local path
  path=$(grep -o "\"$1\": \"/lre/store/[^\"]*\"" "$shared/toolchain.json" | head -n 1 | sed 's/.*": "//; s/"$//')
  [ -n "$path" ] || fail "no $1 in $shared/toolchain.json"
  echo "$(dirname "$path")/$1"
}

fail() {
  echo "FAILED: $*" >&2
  echo "the farm's log: $farm_dir/lre-up.log" >&2
  exit 1
}

# expect_run N WHAT: since the last look, that many actions were run.
seen=0
expect_run() {
  local now
  now=$(farm_metric lre_worker_actions_total)
  [ $((now - seen)) = "$1" ] || fail "$2: $((now - seen)) actions were run, not $1"
  seen=$now
  echo "$2: $1 run"
}

farm_start
# shellcheck disable=SC2154  # set by farm_start
address=${farm_executor#grpc://}

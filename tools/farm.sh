# shellcheck shell=bash
# Sourced by the scripts that show and test LRE with real Bazel: runs one `lre up` and Bazel against it.
# Callers use `set -euo pipefail`, set `lre` (the program), `bazel` (the command), `bazel_rc` (the
# offline bazelrc or empty) and `farm_dir` (a folder of their own), and call farm_end when they leave:
# it ends the processes started here, by their ids, and no others.

# shellcheck disable=SC2034  # what is set here and in the callers is used on the other side
: "${lre:=}" "${bazel:=}" "${bazel_rc:=}" "${farm_dir:=}" "${farm_workspace:=}"
farm_pid=
farm_startup=()   # further startup flags of Bazel
farm_rc=()        # further --bazelrc= files, after the workspace's
farm_overrides=() # further flags of every build

# farm_start [FLAGS of lre up...]: sets farm_cache, farm_executor, farm_instance from the flags that
# `lre up` prints.
farm_start() {
  mkdir -p "$farm_dir"
  # Two free ports, chosen by the system.
  "$lre" up --data-dir "$farm_dir/data" --listen 127.0.0.1:0,127.0.0.1:0 "$@" >"$farm_dir/lre-up.log" 2>&1 &
  farm_pid=$!
  local waited=0
  until farm_executor=$(farm_flag remote_executor) && farm_cache=$(farm_flag remote_cache); do
    if ! kill -0 $farm_pid 2>/dev/null || [ $((waited += 1)) -gt 300 ]; then
      echo "lre up did not start; its last words ($farm_dir/lre-up.log):" >&2
      tail -n 20 "$farm_dir/lre-up.log" >&2
      return 1
    fi
    sleep 0.1
  done
  farm_instance=$(farm_flag remote_instance_name) || farm_instance=main
}

farm_flag() { grep -s -o -m1 -e "--$1=[^ ]*" "$farm_dir/lre-up.log" | head -n 1 | sed 's/^[^=]*=//' | grep .; }

# farm_metric NAME: its value, as the farm's server says it.
farm_metric() { curl -sS --noproxy '*' "http://${farm_executor#grpc://}/metrics" | sed -n "s/^$1 //p"; }

# Ends `lre up` as an operator would, and waits until it has gone.
farm_stop() {
  if [ -n "$farm_pid" ]; then
    kill -TERM "$farm_pid" 2>/dev/null || true
    wait "$farm_pid" 2>/dev/null || true
    farm_pid=
  fi
}

farm_end() {
  farm_bazel shutdown >/dev/null 2>&1 || true
  farm_stop
}

# farm_bazel COMMAND...: Bazel in $farm_workspace, with an output root of its own.
farm_bazel() {
  local start=(--nohome_rc "--output_user_root=${farm_output_root:-$farm_dir/bazel}" "${farm_startup[@]}") file
  for file in $bazel_rc "${farm_rc[@]}"; do start+=("--bazelrc=$file"); done
  (cd "$farm_workspace" && "${farm_client[@]}" "$bazel" "${start[@]}" "$@")
}
farm_client=(env) # what starts the client: another user, another environment

# farm_build remote|cached|alone FLAGS_AND_TARGETS...: builds and keeps Bazel's output in $farm_log.
# remote: actions run in the farm; cached: here, sharing its cache; alone: neither.
# $farm_verb is build or test.
farm_build() {
  local where=$1 flags=()
  shift
  case $where in
    remote) flags=("--remote_cache=$farm_cache" "--remote_executor=$farm_executor" "--remote_instance_name=$farm_instance") ;;
    cached) flags=("--remote_cache=$farm_cache" "--remote_instance_name=$farm_instance") ;;
    alone) ;;
  esac
  farm_log=$farm_dir/bazel.log
  farm_bazel "${farm_verb:-build}" --lockfile_mode=off --color=no --curses=no "${flags[@]}" "${farm_overrides[@]}" "$@" \
    >"$farm_log" 2>&1 || { cat "$farm_log" >&2; echo "bazel ${farm_verb:-build} ($where) failed" >&2; return 1; }
}

# Who ran the spawns of the last build, from Bazel's own summary line: "2 remote", "3 remote cache hit,
# 1 linux-sandbox". Without Bazel's internal actions and those that it did not have to look at again.
farm_spawns() {
  sed -n 's/^INFO: [0-9]* process[es]*: \(.*\)\.$/\1/p' "$farm_log" | tail -n 1 | tr ',' '\n' | sed 's/^ *//' |
    sed -e '/ internal$/d' -e '/ action cache hit$/d' | paste -sd, | sed 's/,/, /g'
}

farm_clean() { farm_bazel clean >/dev/null 2>&1; }

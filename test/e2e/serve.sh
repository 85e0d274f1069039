# shellcheck shell=bash
# Sourced by the end-to-end tests that need `lre serve` and no workers: starts servers, any number, and ends them.
# Callers set serve_dir, a folder for logs and data, and call serve_end when they leave.
# shellcheck disable=SC2034,SC2154 # set in the callers, used in the callers
serve_pids=()

# serve NAME FLAGS...: a server with its log in $serve_dir/NAME.log; sets $address, and $pid, when it is ready.
serve() {
  local at=$serve_dir/$1
  shift
  rm -f "$at.json"
  "$LRE_PROGRAM" serve --listen 127.0.0.1:0 --drain-max 1s --ready-file "$at.json" "$@" >"$at.log" 2>&1 &
  pid=$!
  serve_pids+=("$pid")
  for _ in $(seq 600); do
    [ ! -s "$at.json" ] || break
    kill -0 "$pid" || { cat "$at.log" >&2; exit 1; }
    sleep 0.1
  done
  address=$(grep -o '127\.0\.0\.1:[0-9]*' "$at.json" | head -n 1)
}

# Ends every server that was started, as an operator would, and waits for it.
serve_end() {
  local each
  for each in "${serve_pids[@]}"; do kill "$each" 2>/dev/null && wait "$each" || true; done
  serve_pids=()
}

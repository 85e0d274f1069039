#!/usr/bin/env bash
# A Bazel build of more than 1,000 actions while workers are killed (SIGKILL) and the server is restarted,
# once by SIGTERM and once by SIGKILL: it ends, and every output has the bytes that it should have.
#   CHAOS_LAYERS=N   layers of 40 genrules each (default 26)
. "$(dirname "$0")/session.sh"
farm_workspace=$farm_dir/project
layers=${CHAOS_LAYERS:-26}
width=40

write_project() {
  local layer i
  mkdir -p "$farm_workspace/chaos"
  copy_project "$farm_workspace"
  cd "$farm_workspace/chaos" || exit
  for i in $(seq 0 $((width - 1))); do
    echo "seed $i" >"g0_$i.txt"
    printf 'int f%d(int x) { return x * %d + %d; }\n' "$i" "$((i + 3))" "$i" >"f$i.cc"
  done
  {
    # The sleep is what a kill can hit; the sum of both inputs is what a wrong blob would show in.
    for layer in $(seq "$layers"); do
      for i in $(seq 0 $((width - 1))); do
        printf 'genrule(name = "n%d_%d", srcs = ["g%d_%d.txt", "g%d_%d.txt"], outs = ["g%d_%d.txt"],\n' \
          "$layer" "$i" $((layer - 1)) "$i" $((layer - 1)) $(((i + 1 + layer % (width - 1)) % width)) "$layer" "$i"
        printf '        cmd = "cat $(SRCS) | sha256sum > $@; sleep 0.1; echo %d.%d >> $@")\n' "$layer" "$i"
      done
    done
    for i in $(seq 0 $((width - 1))); do
      printf 'cc_library(name = "f%d", srcs = ["f%d.cc"])\n' "$i" "$i"
    done
    printf 'filegroup(name = "all_of_it", srcs = ["g%d_%%d.txt" %% i for i in range(%d)])\n' "$layers" "$width"
  } >BUILD.bazel
  # cc_library is not in the global scope of every Bazel: as the project's own BUILD file loads it.
  { grep '^load("@rules_cc' ../BUILD.bazel || true; cat BUILD.bazel; } >BUILD.new && mv BUILD.new BUILD.bazel
  cd - >/dev/null || exit
}

# --- the farm: a server and workers of their own, which can be killed ---
port=
end_farm() {
  touch "$farm_dir/over"
  [ -z "${monkey:-}" ] || wait "$monkey" 2>/dev/null || true
  local pid
  for pid in $(cat "$farm_dir"/*.pid 2>/dev/null); do kill -KILL "$pid" 2>/dev/null || true; done
  farm_end
}
trap end_farm EXIT

start_server() {
  rm -f "$farm_dir/ready.json"
  "$lre" serve --data-dir "$farm_dir/data" --listen "127.0.0.1:${port:-0}" --ready-file "$farm_dir/ready.json" \
    --drain-max 2s >>"$farm_dir/server.log" 2>&1 &
  server=$!
  echo $server >"$farm_dir/server.pid"
  for _ in $(seq 300); do
    [ ! -s "$farm_dir/ready.json" ] || break
    kill -0 $server 2>/dev/null || { tail -n 5 "$farm_dir/server.log" >&2; return 1; }
    sleep 0.1
  done
  port=$(grep -o '127\.0\.0\.1:[0-9]*' "$farm_dir/ready.json" | head -n 1 | sed 's/.*://')
}
start_worker() { # start_worker N
  "$lre" worker --worker-server "127.0.0.1:$port" --worker-directory "$farm_dir/worker$1" --worker-slots 4 \
    --worker-name "worker$1" >>"$farm_dir/worker$1.log" 2>&1 &
  echo $! >"$farm_dir/worker$1.pid"
}
kill_now() { # kill_now NAME SIGNAL
  local pid
  pid=$(cat "$farm_dir/$1.pid")
  kill "-$2" "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
}

# Something happens about every second; the server goes down twice.
make_trouble() {
  local round=0
  # Not before the build is under way.
  until [ -e "$farm_dir/over" ] || [ "$(farm_metric lre_scheduler_answers_total)" -ge 30 ]; do sleep 0.2; done
  while [ ! -e "$farm_dir/over" ]; do
    sleep 1
    round=$((round + 1))
    case $round in
      4) kill_now server KILL; start_server; echo "server killed" >>"$farm_dir/trouble" ;;
      10) kill_now server TERM; start_server; echo "server ended" >>"$farm_dir/trouble" ;;
      *)
        local victim=$((round % 3 + 1))
        [ $((round % 2)) = 0 ] || continue
        kill_now worker$victim KILL
        start_worker $victim
        echo "worker$victim killed" >>"$farm_dir/trouble"
        ;;
    esac
  done
}

# sums PATTERN: of the outputs so named.
sums() { (cd "$farm_workspace/bazel-bin/chaos" && find . -maxdepth 1 -name "$1" | sort | xargs sha256sum); }
# What the genrules write, computed.
expected_sums() {
  python3 - "$layers" "$width" <<'END'
import hashlib, sys
layers, width = map(int, sys.argv[1:])
texts, sums = [f"seed {i}\n" for i in range(width)], {}
for layer in range(1, layers + 1):
    texts = [
        hashlib.sha256((texts[i] + texts[(i + 1 + layer % (width - 1)) % width]).encode()).hexdigest() + f"  -\n{layer}.{i}\n"
        for i in range(width)
    ]
    sums |= {f"./g{layer}_{i}.txt": hashlib.sha256(text.encode()).hexdigest() for i, text in enumerate(texts)}
print("\n".join(f"{sums[name]}  {name}" for name in sorted(sums)))
END
}

write_project
start_server
farm_executor=grpc://127.0.0.1:$port farm_cache=grpc://127.0.0.1:$port farm_instance=main
for n in 1 2 3; do start_worker $n; done
make_trouble &
monkey=$!
SECONDS=0
farm_build remote //chaos:all --jobs=32 --remote_retries=30 --remote_retry_max_delay=1s --remote_timeout=30s \
  --remote_download_outputs=all
took=$SECONDS
spawns=$(count_spawns)
touch "$farm_dir/over"
wait $monkey || true
[ "$spawns" -ge $((layers * width)) ] || fail "only $spawns spawns"
[[ "$(farm_spawns)" =~ ^[0-9]+\ remote(,\ [0-9]+\ remote\ cache\ hit)?$|^[0-9]+\ remote\ cache\ hit,\ [0-9]+\ remote$ ]] || fail "not all ran in the farm: $(farm_spawns)"
echo "chaos: $spawns actions in $took s; $(grep -c worker "$farm_dir/trouble") workers killed, $(grep -c server "$farm_dir/trouble" || true) restarts; since the last: $(farm_metric lre_scheduler_attempts_recovered_total) attempts taken over, $(farm_metric lre_scheduler_attempts_lost_total) lost"
[ "$(grep -c server "$farm_dir/trouble")" = 2 ] || fail "the build ended before the server was restarted twice: more CHAOS_LAYERS"
expected_sums >"$farm_dir/expected.sums"
sums 'g*.txt' | diff "$farm_dir/expected.sums" - >"$farm_dir/differences" || fail "other bytes: $(head -n 4 "$farm_dir/differences")"

# The libraries are compared with those of a build in peace, on this machine.
sums '*.a' >"$farm_dir/chaos.sums"
farm_clean
mapfile -t libraries < <(seq -f '//chaos:f%.0f' 0 $((width - 1)))
farm_build alone "${libraries[@]}" --jobs=16 --spawn_strategy=local
sums '*.a' >"$farm_dir/peace.sums"
[ "$(wc -l <"$farm_dir/peace.sums")" -ge "$width" ] || fail "only $(wc -l <"$farm_dir/peace.sums") libraries"
cmp "$farm_dir/chaos.sums" "$farm_dir/peace.sums" || fail "other libraries than in peace"

#!/usr/bin/env bash
# The names and types of everything that /metrics of a whole farm (`lre up`) says, against metrics.txt beside this:
# dashboards and alarms go by them. LRE_GOLDEN_ACCEPT=1 writes the file. What appears only after its first event (an
# answer with an error, say) is not here.
#   metrics.sh LRE
set -euo pipefail
lre=$1
golden=$(dirname "$0")/metrics.txt
dir=$(mktemp -d)
pid=
finish() {
  if [ -n "$pid" ]; then kill -TERM "$pid" 2>/dev/null || true; wait "$pid" || true; fi
  rm -rf "$dir"
}
trap finish EXIT
# An upstream that is not there has its metrics all the same.
"$lre" up --data-dir "$dir/data" --listen 127.0.0.1:0 --worker-slots 1 --worker-sandbox none --worker-directory "$dir/worker" \
  --upstream-address grpc://127.0.0.1:1 --drain-max 1s --ready-file "$dir/ready" >"$dir/log" 2>&1 &
pid=$!
until [ -s "$dir/ready" ]; do
  kill -0 "$pid" 2>/dev/null || { cat "$dir/log"; exit 1; }
  sleep 0.02
done
address=$(grep -o '127\.0\.0\.1:[0-9]*' "$dir/ready" | head -n 1)
curl -sf --noproxy '*' "http://$address/metrics" | sed -n 's/^# TYPE //p' | sort -u >"$dir/names"
[ -s "$dir/names" ] || { echo "no metrics"; exit 1; }
if [ -n "${LRE_GOLDEN_ACCEPT:-}" ]; then
  cp "$dir/names" "$golden"
  exit 0
fi
diff -u "$golden" "$dir/names" || { echo "names of metrics changed; if that is meant: LRE_GOLDEN_ACCEPT=1 $0 LRE"; exit 1; }

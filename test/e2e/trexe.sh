#!/usr/bin/env bash
# Real trexe, logstreamtail and outputstreamer: any command in the farm; its outputs, output while it runs,
# waiting for an operation by its name, cancelling one; log streams of others.
. "$(dirname "$0")/client_session.sh"
need_clients trexe logstreamtail outputstreamer
cd "$farm_dir" || exit
unset http_proxy https_proxy
mkdir in
echo hello >in/a.txt
run() { trexe --remote="http://$address" --instance=main --platform-properties=OSFamily=linux "$@"; }

# Inputs, outputs, directories, links, both streams, the exit code.
status=0
run --input-path=in --output-path=out.txt --output-path=tree --d=got --stdout-file=stdout --stderr-file=stderr \
  /bin/sh -c 'cat a.txt >out.txt; mkdir -p tree/sub; echo x >tree/sub/f; ln -s sub/f tree/link; echo one; echo two >&2; exit 3' \
  >/dev/null 2>&1 || status=$?
[ $status = 3 ] || fail "exit code 3 came as $status"
cmp in/a.txt got/out.txt || fail "the output differs"
[ "$(readlink got/tree/link)" = sub/f ] || fail "the link in the tree is '$(readlink got/tree/link)'"
[ "$(cat got/tree/sub/f)" = x ] || fail "the tree's file differs"
[ "$(cat stdout) $(cat stderr)" = "one two" ] || fail "stdout '$(cat stdout)', stderr '$(cat stderr)'"
expect_run 1 "a failing command"

# The same command, cached; and again, when asked not to look.
for _ in 1 2; do run /bin/sh -c 'echo cached' >/dev/null; done
expect_run 1 "twice the same"
run --skip-cache-lookup /bin/sh -c 'echo cached' >/dev/null
expect_run 1 "without the cache"

# Started, left alone, found again by its name.
operation=$(run --no-wait --skip-cache-lookup --output-path=late /bin/sh -c 'sleep 1; echo late >late')
[ -n "$operation" ] || fail "trexe names no operation"
run --operation="$operation" --wait --d=late-got >/dev/null || fail "waiting for $operation"
[ "$(cat late-got/late)" = late ] || fail "the output of $operation"
expect_run 1 "an operation found again"

# Cancelled: it ends long before its minute.
operation=$(run --no-wait --do-not-cache /bin/sh -c 'sleep 60')
run --operation="$operation" --cancel || fail "cancelling $operation"
SECONDS=0
while [[ $(farm_metric lre_scheduler_slots_busy) = [1-9]* ]]; do
  [ $SECONDS -lt 30 ] || fail "a cancelled action still runs"
  sleep 0.1
done
seen=$(farm_metric lre_worker_actions_total)

# What a command prints comes while it runs: the first line before the second is written. (trexe --stream-logs
# reads the same streams, but holds back what it writes to a file.)
operation=$(run --no-wait --do-not-cache /bin/sh -c 'echo first; sleep 5; echo second')
live=main/logstreams/${operation#operations/}-stdout
# Named as soon as the command runs.
until logstreamtail --remote="http://$address" --resource-name="$live" >live 2>/dev/null; do sleep 0.1; done &
pid=$!
SECONDS=0
until grep -q first live 2>/dev/null; do
  [ $SECONDS -lt 20 ] || fail "nothing came"
  sleep 0.1
done
! grep -q second live || fail "the first line came only with the second"
wait $pid
[ "$(cat live)" = "$(printf 'first\nsecond')" ] || fail "the stream was '$(cat live)'"
expect_run 1 "followed while it ran"

# Log streams of others: written by one client, followed by another before it has ended.
{ echo begun; sleep 2; echo ended; } | outputstreamer --remote="http://$address" --resource-parent=main --log-level=info \
  >streamer.log 2>&1 &
pid=$!
until name=$(grep -o 'main/logstreams/[0-9a-f-]*' streamer.log | head -n 1) && [ -n "$name" ]; do
  kill -0 $pid || fail "outputstreamer: $(cat streamer.log)"
  sleep 0.1
done
logstreamtail --remote="http://$address" --resource-name="$name" >tailed || fail "logstreamtail"
wait $pid || fail "outputstreamer: $(cat streamer.log)"
[ "$(cat tailed)" = "$(printf 'begun\nended')" ] || fail "logstreamtail read '$(cat tailed)'"
echo "log streams: written by one, read by another"

#!/usr/bin/env bash
# Judges the transport of a running program by two strangers: h2spec (conformance with RFC 9113) and
# h2load (that nothing is lost under load). Needs nghttp2-client, and h2spec, a Go program:
#
#   apt-get install nghttp2-client
#   go install github.com/summerwind/h2spec/cmd/h2spec@latest
#   test/judges/transport.sh <build folder>/lre
#
# Not part of ./check, because of Go. Fails when h2spec finds anything beyond `known_differences`,
# or when one of them has gone (then delete it there), or when h2load loses a request.
set -euo pipefail

# As h2spec names them in its JUnit report. In this order:
#  - The same port serves HTTP/1.1: a broken preface is a broken HTTP/1.1 request and gets a 400
#    before the connection is closed, which h2spec does not take for a close.
#  - h2spec sends 17 kB of headers in one frame and expects that to be too large; we take frames of
#    256 KiB, and say so in SETTINGS.
#  - nghttp2 takes a stream number that was skipped for a stream closed long ago and ignores its
#    frames (RFC 9113 5.1 on the closed state); no call is started.
known_differences=(
  "http2/3.5 Sends invalid connection preface"
  "http2/4.2 Sends a large size HEADERS frame that exceeds the SETTINGS_MAX_FRAME_SIZE"
  "http2/5.1.1 Sends stream identifier that is numerically smaller than previous"
)

lre=${1:?usage: transport.sh <path of lre>}
folder=$(mktemp -d)
server=
finish() {
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
  rm -rf "$folder"
}
trap finish EXIT

"$lre" serve --listen 127.0.0.1:0 --drain-max 1s --ready-file "$folder/ready" 2>"$folder/log" &
server=$!
for _ in $(seq 200); do
  [ -s "$folder/ready" ] && break
  sleep 0.1
done
port=$(grep -oE '127\.0\.0\.1:[0-9]+' "$folder/ready" | head -n 1 | cut -d: -f2)
[ -n "$port" ] || { cat "$folder/log" >&2; exit 1; }

# h2spec's exit code says only that something failed; the report says what.
h2spec --host 127.0.0.1 --port "$port" --timeout 5 --junit-report "$folder/report.xml" \
  >"$folder/h2spec" 2>&1 || true
tail -n 2 "$folder/h2spec"
grep -qE '^[0-9]+ tests, [1-9][0-9]* passed' "$folder/h2spec" || { cat "$folder/h2spec"; exit 1; }
python3 - "$folder/report.xml" >"$folder/found" <<'PYTHON'
import sys, xml.etree.ElementTree as xml
for case in xml.parse(sys.argv[1]).iter("testcase"):
    if case.find("failure") is not None or case.find("error") is not None:
        print(case.get("package"), case.get("classname"))
PYTHON
printf '%s\n' "${known_differences[@]}" | sed '/^$/d' | sort >"$folder/known"
sort -o "$folder/found" "$folder/found"
if ! diff -u "$folder/known" "$folder/found"; then
  echo "h2spec: not the known differences" >&2
  exit 1
fi

# The web page over HTTP/2 with many streams, then with few large windows.
for load in "-n 20000 -c 20 -m 50" "-n 2000 -c 200 -m 10"; do
  # shellcheck disable=SC2086  # the options are words
  h2load $load "http://127.0.0.1:$port/metrics" >"$folder/h2load"
  grep -E '^(finished|requests|status codes)' "$folder/h2load"
  grep -qE ' 0 failed, 0 errored, 0 timeout' "$folder/h2load" || { cat "$folder/h2load"; exit 1; }
done
kill -0 "$server"
echo "transport: no unknown differences, no request lost"

#!/usr/bin/env bash
# lre cas against two servers: what is put can be listed, read, checked, carried to the other in an archive, evicted
# and dropped; a server that has no such calls is named for what it is.
set -euo pipefail
: "${LRE_PROGRAM:?the lre program}"
lre=$LRE_PROGRAM
work=$(mktemp -d)
# shellcheck source=test/e2e/serve.sh
. "$(dirname "$0")/serve.sh"
serve_dir=$work
finish() { serve_end; rm -rf "$work"; }
trap finish EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

cas() { local command=$1; shift; "$lre" cas "$command" --server "$address" "$@"; }
expect() { [ "$2" = "$3" ] || fail "$1: '$2' is not '$3'"; }

mkdir -p "$work/tree/sub"
printf 'hello' >"$work/tree/a.txt"
printf '#!/bin/sh\n' >"$work/tree/sub/run"
chmod +x "$work/tree/sub/run"
ln -s ../a.txt "$work/tree/sub/link"
head -c 20000000 /dev/urandom >"$work/large"
hello=2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824/5

serve first --data-dir "$work/first"
first=$address
root=$(cas put "$work/tree" | cut -d' ' -f1)
large=$(cas put "$work/large" | cut -d' ' -f1)
expect "the digest of a file" "$large" "$(sha256sum <"$work/large" | cut -d' ' -f1)/20000000"
cas stat "$root" "$large" "$hello" >/dev/null
expect "ls" "$(cas ls "$root" | awk '{ print $1, $NF }' | tr '\n' ';')" "- a.txt;d sub/;"
expect "ls -r" "$(cas ls -r "$root" | awk '{ print $1, $NF }' | sort | tr '\n' ';')" "- a.txt;d sub/;l ../a.txt;x sub/run;"
expect "get" "$(cas get "$hello")" hello
cas get "$large" -o "$work/got"
cmp "$work/large" "$work/got" || fail "get: other bytes"
cas verify --tree "$root" | grep >/dev/null '^4 blobs are sound' || fail "verify --tree"
cas verify >/dev/null || fail "verify of the whole store"
cas stat | grep >/dev/null ' used$' || fail "stat of the server"

expect "export" "$(cas export --tree "$root" -o "$work/archive.tar")" "$work/archive.tar: 4 blobs, 0 results"
cas export "$large" -o "$work/large.tar" >/dev/null
tar -tf "$work/archive.tar" | grep >/dev/null "^lre-cas-1/blobs/sha256/${hello%/*}$" || fail "the archive is a tar"
serve second # in memory
expect "import" "$(cas import "$work/archive.tar")" "$work/archive.tar: 4 blobs, 4 of them new; 0 results"
expect "import again" "$(cas import "$work/archive.tar")" "$work/archive.tar: 4 blobs, 0 of them new; 0 results"
cas import "$work/large.tar" >/dev/null
cas verify --tree "$root" "$large" >/dev/null 2>&1 && fail "a file is no Directory"
cas verify "$large" >/dev/null || fail "import: other bytes"
if said=$(cas evict "$hello" 2>&1); then fail "evict on a server in memory"; fi
case $said in *"this server cannot do that"*) ;; *) fail "evict says '$said'" ;; esac

address=$first
expect "evict" "$(cas evict "$hello" "${hello%/*}/6")" "1 of 2 were there"
if said=$(cas stat "$hello" "$root" 2>/dev/null); then fail "the evicted blob is there"; fi
expect "stat" "$(awk '{ print $1 }' <<<"$said" | tr '\n' ' ')" "absent present "
if cas verify --tree "$root" >/dev/null 2>&1; then fail "verify of a tree that lacks a file"; fi
if cas get "$hello" -o "$work/none" 2>/dev/null; then fail "get of the evicted blob"; fi
[ ! -e "$work/none" ] && [ ! -e "$work/none.partial" ] || fail "get left half a file"

# An action result by plain HTTP is the simplest to make: an action of size 0, no outputs.
action=$(printf 'action' | sha256sum | cut -d' ' -f1)
printf '\x20\x07' | curl -fsS --noproxy '*' -T - "http://$first/main/ac/$action"
curl -fsS --noproxy '*' -o /dev/null "http://$first/main/ac/$action" || fail "the result is not there"
cas drop "$action/0" >/dev/null
if curl -fsS --noproxy '*' -o /dev/null "http://$first/main/ac/$action" 2>/dev/null; then fail "the dropped result is there"; fi
echo "lre cas: put, stat, ls, get, verify, export, import, evict, drop"

#!/usr/bin/env bash
# A lock whose package the archive has no longer: the quickstart's toolchain step says which and how to relock,
# goes on with a lock and a module of its own, and leaves the tree as it was.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
: "${LRE_PROGRAM:?the lre program}" "${LRE_E2E_DIR:?a folder}"
dir=$LRE_E2E_DIR/relock
rm -rf "$dir"
mkdir -p "$dir/tree"
cp -R "$root/tools" "$root/lre.toml" "$root/lre.lock" "$root/local-remote-execution" "$root/lre.bazelrc" "$dir/tree/"

gone=4.9-0+gone
awk -v gone="$gone" '
  /^\[package\."sed"\]/ { within = 1 }
  within && /^version = /  { $0 = "version = \"" gone "\"" }
  within && /^sha256 = /   { gsub(/[0-9a-f]/, "0", $3) }
  within && /^path = /     { $0 = "path = \"pool/main/s/sed/sed_" gone "_amd64.deb\""; within = 0 }
  { print }' "$root/lre.lock" >"$dir/tree/lre.lock"
! cmp -s "$root/lre.lock" "$dir/tree/lre.lock" || { echo "the lock has no sed to replace" >&2; exit 1; }
before=$(cd "$dir/tree" && find . -type f -exec sha256sum {} + | sort)

module=$("$dir/tree/tools/toolchain" --lre "$LRE_PROGRAM" --dir "$dir/data" 2>"$dir/said") || { cat "$dir/said" >&2; exit 1; }

said() { grep -qF -- "$1" "$dir/said" || { cat "$dir/said" >&2; echo "FAILED: it does not say '$1'" >&2; exit 1; }; }
said "sed"
said "$gone"
said "lre lock"
[ -n "$module" ] && [ -e "$module/MODULE.bazel" ] || { cat "$dir/said" >&2; echo "FAILED: no module of its own: '$module'" >&2; exit 1; }
[ "$before" = "$(cd "$dir/tree" && find . -type f -exec sha256sum {} + | sort)" ] || { echo "FAILED: the tree was changed" >&2; exit 1; }
# What it locked is there, and the module names it.
"$LRE_PROGRAM" store verify >/dev/null
for path in $(grep -rhoE '/lre/store/[0-9a-f]+-[a-z]+' "$module" | sort -u); do
  [ -d "$path" ] || { echo "FAILED: the module names $path, which is not there" >&2; exit 1; }
done
echo "relocked into $dir/data; said: $(grep -m1 -F "$gone" "$dir/said")"

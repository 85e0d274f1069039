#!/usr/bin/env bash
# Makes what all end-to-end tests share: finds or provides a Bazel, and makes the toolchain.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
: "${LRE_PROGRAM:?the lre program}" "${LRE_E2E_DIR:?a folder}"
mkdir -p "$LRE_E2E_DIR"
"$root/tools/toolchain" --lre "$LRE_PROGRAM" --dir "$LRE_E2E_DIR" >"$LRE_E2E_DIR/module.new"
mv "$LRE_E2E_DIR/module.new" "$LRE_E2E_DIR/module"
"$root/tools/bazel/find" "$root" >"$LRE_E2E_DIR/bazel.new"
mv "$LRE_E2E_DIR/bazel.new" "$LRE_E2E_DIR/bazel"
echo "Bazel: $(head -n 1 "$LRE_E2E_DIR/bazel"); module: $(grep . "$LRE_E2E_DIR/module" || echo "the repository's")"

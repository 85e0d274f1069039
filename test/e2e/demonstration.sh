#!/usr/bin/env bash
# The demonstration that the quickstart shows, run as a test.
set -euo pipefail
. "$(dirname "$0")/session.sh"
trap - EXIT
"$root/tools/demonstration" --lre "$lre" --dir "$farm_dir" --bazel "$bazel" --bazelrc "$bazel_rc" --module "$module"

# The same label in the repository itself, which the demonstration only copies.
farm_workspace=$root
trap farm_end EXIT
farm_overrides+=(--experimental_convenience_symlinks=ignore)
farm_build alone --nobuild //local-remote-execution/examples:hello_lre @local-remote-execution//...

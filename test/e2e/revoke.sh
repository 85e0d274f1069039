#!/usr/bin/env bash
# A bad toolchain gets into the cache, by a worker and by a client that builds here. `lre revoke` drops what it
# produced, of both, and nothing else: what the good one produced is still found.
. "$(dirname "$0")/session.sh"
copy_module "$farm_dir/project" lre-cc
cd "$farm_workspace" || exit
cat >>BUILD.bazel <<'BUILD'
load("@rules_cc//cc:cc_binary.bzl", "cc_binary")

[cc_binary(
    name = name,
    srcs = [name + ".cc"],
) for name in ["one", "two"]]
BUILD
for name in one two; do
  printf '#include <cstdlib>\n#include <iostream>\nint main() { std::cout << EXIT_SUCCESS << "%s\\n"; }\n' $name >$name.cc
done
farm_start
server=${farm_cache#grpc://}

farm_build remote //:one //:two
expect_spawns "the good one, remote" "4 remote"

# A header with another value: programs still compile, and are wrong.
mkdir -p over/usr/include
sed 's/define[[:space:]]*EXIT_SUCCESS[[:space:]]*0/define EXIT_SUCCESS 5/' \
  "$(grep -o '/lre/store/[0-9a-f]*-sysroot' local-remote-execution/toolchain.json | head -n 1)/usr/include/stdlib.h" >over/usr/include/stdlib.h
grep -q 'EXIT_SUCCESS 5' over/usr/include/stdlib.h || fail "stdlib.h is not what it was"
"$lre" dev lre-cc sysroot=over >"$farm_dir/dev.log" || fail "lre dev"
bad=$(grep -o '^/lre/store/[0-9a-f]*-sysroot' "$farm_dir/dev.log")
farm_build remote //:one
expect_spawns "the bad one, remote" "2 remote"
farm_build cached //:two --remote_download_outputs=all
expect_spawns "the bad one, local" "2 $local_strategy"
[ "$(bazel-bin/two)" = 5two ] || fail "the bad toolchain is not bad"
farm_clean
farm_build cached //:one //:two
expect_spawns "the bad one, cached" "4 remote cache hit"

found=$("$lre" revoke "$bad" --dry-run --server "$server")
echo "$found"
[[ "$found" == *"-gcc references it"*"4 results mention "* ]] || fail "not the four results of the bad one"
# Of a link that a client ran, the cache knows the compiler's path and a file of parameters: found by the compiler,
# which references the sysroot.
[[ "$("$lre" revoke "$bad" --dry-run --without-referrers --server "$server")" == "3 results"* ]] || fail "referrers"
[[ "$("$lre" revoke "$bad" --server "$server")" == *"4 results "*dropped* ]] || fail "lre revoke"
[[ "$("$lre" revoke "$bad" --dry-run --server "$server")" == *"0 results"* ]] || fail "some are left"
farm_clean
farm_build cached //:one //:two
expect_spawns "the bad one, revoked" "4 $local_strategy"

"$lre" sync lre-cc && "$lre" generate >/dev/null
farm_clean
farm_build cached //:one //:two --remote_download_outputs=all
expect_spawns "the good one, cached" "4 remote cache hit"
[ "$(bazel-bin/two)" = 0two ] || fail "the good one says $(bazel-bin/two)"

#!/usr/bin/env bash
# Real Bazel downloads an http_archive through the Remote Asset API: the server fetches it from its origin, and
# knows it when the origin is gone; a host that the operator did not name is not asked. Origin and server are two
# `lre serve`, the origin serving the archive as a raw value.
. "$(dirname "$0")/session.sh"
workspace=$farm_dir/workspace
# shellcheck disable=SC2034 # for farm.sh
farm_rc=() farm_overrides=() # no toolchain is needed
with_servers

# build LOG FLAGS...: without a repository cache, so that what is forgotten is not there.
build() {
  local log=$farm_dir/build-$1.log
  farm_log=$log
  shift
  farm_workspace=$workspace
  # One attempt: Bazel's own downloader would ask a dead origin for half a minute.
  farm_bazel build --lockfile_mode=off --color=no --curses=no --repository_cache= --http_connector_attempts=1 \
    "${farm_overrides[@]}" "$@" //:copy >"$log" 2>&1
}
# With another attribute the archive is wanted anew.
forget() {
  sed -i "s/patch_cmds = .*/patch_cmds = [\"true $((forgotten += 1))\"],/" "$workspace/MODULE.bazel"
}
forgotten=0

mkdir -p "$farm_dir/archive/thing-1.0" "$workspace"
echo 'exports_files(["hello.txt"])' >"$farm_dir/archive/thing-1.0/BUILD.bazel"
echo "fetched by the server" >"$farm_dir/archive/thing-1.0/hello.txt"
tar -C "$farm_dir/archive" -czf "$farm_dir/thing.tar.gz" thing-1.0
sha256=$(sha256sum <"$farm_dir/thing.tar.gz" | cut -d' ' -f1)

serve origin --data-dir "$farm_dir/origin" --execution-enabled=false
origin=$address origin_pid=$pid
curl -fsS --noproxy '*' -T "$farm_dir/thing.tar.gz" "http://$origin/raw/files/thing.tar.gz"
serve cache --data-dir "$farm_dir/cache" --execution-enabled=false --asset-hosts "$origin"
flags=("--remote_cache=grpc://$address" "--experimental_remote_downloader=grpc://$address")

cat >"$workspace/MODULE.bazel" <<EOF
http_archive = use_repo_rule("@bazel_tools//tools/build_defs/repo:http.bzl", "http_archive")
http_archive(
    name = "thing",
    patch_cmds = [],
    sha256 = "$sha256",
    strip_prefix = "thing-1.0",
    urls = ["http://127.0.0.1:1/no-such-mirror.tar.gz", "http://$origin/raw/files/thing.tar.gz"],
)
EOF
cat >"$workspace/BUILD.bazel" <<'EOF'
genrule(name = "copy", srcs = ["@thing//:hello.txt"], outs = ["out.txt"], cmd = "cat $< > $@")
EOF

build first "${flags[@]}" || { cat "$farm_log" >&2; fail "the first build"; }
grep -q "fetched by the server" "$workspace/bazel-bin/out.txt" || fail "the archive has other bytes"
echo "fetched through the server"

kill "$origin_pid"
wait "$origin_pid" || true
forget
if build alone; then fail "the origin still answers"; fi
forget
build again "${flags[@]}" || { cat "$farm_log" >&2; fail "the build without the origin"; }
echo "and again when the origin was gone"

# Another checksum is another asset: this one has to be fetched, and cannot be.
sed -i 's/sha256 = ".*"/sha256 = "'"$(echo other | sha256sum | cut -d' ' -f1)"'"/' "$workspace/MODULE.bazel"
forget
if build wrong "${flags[@]}"; then fail "bytes with another checksum were taken"; fi

serve strict --data-dir "$farm_dir/strict" --execution-enabled=false
flags=("--remote_cache=grpc://$address" "--experimental_remote_downloader=grpc://$address")
forget
if build strict "${flags[@]}"; then fail "a host that nobody named was asked"; fi
# Bazel 7 does not look at the status in the answer and complains of the checksum of nothing.
grep -q "asset.hosts" "$farm_dir/strict.log" || { cat "$farm_dir/strict.log" >&2; fail "the log does not say which option"; }
echo "a host that is not named is refused, and the server's log says why"

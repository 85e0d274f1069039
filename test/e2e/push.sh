#!/usr/bin/env bash
# A worker on a machine that never saw the toolchain: `lre push`, the cache filled three times over,
# then a worker whose /lre/store is an empty directory builds hello_lre and the test project remotely
# (a genrule whose tool, and tests whose only mention of the store is inside a file). Reports what the
# worker fetched and how long it took. Then further new workers, each for one action that names a Nix closure
# inside an input file and nowhere else.
. "$(dirname "$0")/session.sh"
. "$(dirname "$0")/nix.sh"
farm_workspace=$farm_dir/project farm_log=
copy_project "$farm_workspace"
cp "$root"/local-remote-execution/examples/hello_lre.cc "$farm_workspace/"
cat >>"$farm_workspace/BUILD.bazel" <<'BUILD'

cc_binary(
    name = "hello_lre",
    srcs = ["hello_lre.cc"],
)
BUILD
. "$root/test/e2e/serve.sh"
serve_dir=$farm_dir
push_end() {
  serve_end
  end_fresh_worker
  farm_end
  rmdir /nix/store /nix 2>/dev/null || true
}
trap push_end EXIT
need_root

# More than may be pinned: said with what to do, and nothing is pinned. What was sent stays as long as the cache likes.
serve small --data-dir "$farm_dir/small" --store-size-max 256MiB --store-pinned-share 2
libc=$(sed -n 's/^ *"path": "\(.*-libc\)",$/\1/p' "$module/toolchain.json")
if "$lre" push "$libc" --server "$address" >"$farm_dir/refused" 2>&1; then fail "16 MB were pinned in 5"; fi
cat "$farm_dir/refused"
grep -q 'is not pinned.*store\.pinned_share.*lre push --retire' "$farm_dir/refused" || fail "nothing says what to do"
[[ "$("$lre" push --server "$address" --list)" == "0 pins"* ]] || fail "something is pinned"
[[ "$("$lre" push "$libc" --server "$address" --no-pin)" == *"sent 0 B in 0 blobs"* ]] || fail "what was sent is gone"
serve_end

# Cache and scheduler only; small, so that filling it is quick. What was just written is leased for a minute,
# so its clock runs a hundred times as fast (not the one that deadlines are taken from).
command -v faketime >/dev/null || fail "faketime is not installed: tools/install-packages test"
FAKETIME_DONT_FAKE_MONOTONIC=1 faketime -f '+0 x100' \
  "$lre" serve --data-dir "$farm_dir/data" --listen 127.0.0.1:0 --store-size-max 512MiB --store-pinned-share 75 --store-lease 1m \
  --ready-file "$farm_dir/ready.json" >"$farm_dir/lre-up.log" 2>&1 &
farm_pid=$!
for _ in $(seq 300); do [ -e "$farm_dir/ready.json" ] && break; sleep 0.1; done
# The server itself: faketime is only its parent.
farm_pid=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "$farm_dir/ready.json")
address=$(grep -o '127.0.0.1:[0-9]*' "$farm_dir/ready.json" | head -n 1)
use_server

# The toolchain that the module was made from.
"$lre" push --server "$address" --manifest "$module/toolchain.json"
again=$("$lre" push --server "$address" --manifest "$module/toolchain.json")
echo "$again"
[[ "$again" == *"sent 0"* ]] || fail "a second push sent something"
"$lre" push --server "$address" --list >"$farm_dir/pins"
cat "$farm_dir/pins"

# Three times what the cache holds. Full of what was just written, it asks writers to wait a moment.
filler=$farm_dir/filler
head -c 64M /dev/urandom >"$filler"
for ((i = 0; i < 24; ++i)); do
  echo "$i" | dd of="$filler" conv=notrunc status=none
  curl -sS -f --retry 20 --retry-delay 1 --retry-all-errors -T "$filler" \
    "http://$address/cas/$(sha256sum "$filler" | cut -d' ' -f1)" 2>"$farm_dir/curl.log" ||
    fail "filling the cache: $(cat "$farm_dir/curl.log")"
done
rm "$filler"

# The worker: an empty store, made by nobody.
fresh_worker first

started=$(date +%s%N)
farm_build remote //:hello_lre
echo "hello_lre: $(farm_spawns) after $((($(date +%s%N) - started) / 1000000)) ms"
expect_spawns "hello_lre" "2 remote"
ls "$farm_dir/store-first"
compgen -G "$farm_dir/store-first/*-gcc" >/dev/null || fail "the worker fetched no compiler"
grep store_path_fetched "$farm_dir/worker.log" | tail -n 10

farm_verb="test"
farm_build remote //... --test_output=errors
spawns=$(count_spawns)
expect_spawns "everything" "$spawns remote(, [0-9]* remote cache hit)?|[0-9]* remote cache hit, [0-9]* remote"

# Named by a file alone: a genrule's tool, what a cc_test runs.
make_nix_closure "$farm_dir/nix-made"
mkdir "$farm_dir/words"
cp -a "$farm_dir/nix-made/cache" "$farm_dir/words/"
cat >"$farm_dir/words/lre.toml" <<TOML
schema = 1

[archive.debian]
suites = ["bookworm"]

[store.words.add.words]
nix = "$nix_program"
from = "cache"
keys = ["$(cat "$farm_dir/nix-made/key.public")"]

[toolchain.words]
paths = ["words"]
tools = ["say-words"]
TOML
# shellcheck disable=SC2016 # expanded by the inner shell
in_empty_stores "$farm_dir/made" bash -euc 'cd "$1"; "$2" lock; "$2" sync; "$2" push --server "$3"' words \
  "$farm_dir/words" "$lre" "$address"
echo "exec $nix_program/bin/say-words" >"$farm_workspace/say.sh"
chmod +x "$farm_workspace/say.sh"
cat >"$farm_workspace/says_words.cc" <<'CC'
#include <cstdio>
#include <string>

int main() {
  FILE* said = popen("sh ./say.sh", "r");
  char text[100] = {};
  std::string line = said != nullptr && fgets(text, sizeof text, said) != nullptr ? text : "";
  return line == "from nix\n" ? 0 : 1;
}
CC
cat >>"$farm_workspace/BUILD.bazel" <<'BUILD'

genrule(
    name = "said",
    outs = ["said.txt"],
    cmd = "sh $(execpath say.sh) > $@",
    tools = ["say.sh"],
)

cc_test(
    name = "says_words",
    size = "small",
    srcs = ["says_words.cc"],
    data = ["say.sh"],
)
BUILD
fetched_words() {
  ls "$farm_dir/store-$1.nix"
  [ -e "$farm_dir/store-$1.nix/$(basename "$nix_words")/share/words" ] || fail "$2: the closure is not on its worker"
}
farm_verb=build
mkdir "$farm_dir"/store-{genrule,cc_test}.nix
fresh_worker genrule
farm_build remote //:said //:says_words --remote_download_outputs=all
[ "$(cat "$farm_workspace/bazel-bin/said.txt")" = "from nix" ] || fail "the tool said '$(cat "$farm_workspace/bazel-bin/said.txt")'"
fetched_words genrule "the genrule"
fresh_worker cc_test
farm_verb="test"
farm_build remote //:says_words --test_output=errors
[[ "$(farm_spawns)" =~ ^([0-9]+\ remote\ cache\ hit,\ )?[12]\ remote$ ]] || fail "the test: '$(farm_spawns)'"
fetched_words cc_test "the cc_test"
farm_bazel aquery --lockfile_mode=off "${farm_overrides[@]}" "//:said + //:says_words" >"$farm_dir/actions" 2>&1 || fail "aquery"
if grep -q /nix/store "$farm_dir/actions"; then fail "an action names the closure itself"; fi

# A path that nobody pushed is named, with what to do.
cat >>"$farm_workspace/BUILD.bazel" <<'BUILD'

genrule(
    name = "nowhere",
    outs = ["nowhere.txt"],
    cmd = "/lre/store/00000000000000000000000000000000-nowhere/bin/tool > $@",
)

genrule(
    name = "nix_nowhere",
    outs = ["nix_nowhere.txt"],
    cmd = "/nix/store/00000000000000000000000000000000-nowhere/bin/tool > $@",
)
BUILD
farm_verb=build
for target in nowhere nix_nowhere; do
  if farm_build remote "//:$target" 2>"$farm_dir/nowhere.log"; then fail "a path that is nowhere was found"; fi
  grep -q '/store/00000000000000000000000000000000-nowhere.*lre push' "$farm_dir/nowhere.log" ||
    fail "the error names no path or no remedy: $(cat "$farm_dir/nowhere.log")"
  grep -qi 'failed.precondition' "$farm_dir/nowhere.log" || fail "another code: $(cat "$farm_dir/nowhere.log")"
done

# Retired, the pushed toolchain is no longer pinned.
pin=$(grep -o 'lre-cc-[0-9a-f]*' "$farm_dir/pins" | head -n 1)
"$lre" push --server "$address" --retire "$pin"
if "$lre" push --server "$address" --list | grep "$pin"; then fail "$pin is still pinned"; fi

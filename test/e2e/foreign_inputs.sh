#!/usr/bin/env bash
# Store paths from a container image and from a Nix closure, without Docker or Nix: from a layout, an archive of one, a
# registry; from a binary cache, over HTTP too, and from trees. Debian's skopeo, docker-registry and nix made what is
# read here, and say what it must be. Then the same from a server's CAS, with all of these gone.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
: "${LRE_PROGRAM:?the lre program}" "${LRE_E2E_DIR:?a folder}"
lre=$LRE_PROGRAM dir=$LRE_E2E_DIR/foreign_inputs serve_dir=$dir
. "$root/test/e2e/serve.sh"
. "$root/test/e2e/nix.sh"
fail() { echo "FAILED: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "skipped: this test makes mount namespaces: run it as root" >&2; exit 77; }
for tool in skopeo docker-registry zstd; do command -v $tool >/dev/null || fail "no $tool: tools/install-packages test"; done
chmod -R u+rwX "$dir" 2>/dev/null || true
rm -rf "$dir"
mkdir -p "$dir/project"
cd "$dir/project"
others=()
end() {
  serve_end
  local each
  for each in "${others[@]}"; do kill "$each" 2>/dev/null && wait "$each" 2>/dev/null || true; done
  rmdir /nix/store /nix 2>/dev/null || true
}
trap end EXIT
# wait_for FILE REGULAR_EXPRESSION: until a line of the log says so; prints what the first group matched.
wait_for() {
  for _ in $(seq 300); do
    if grep -qE "$2" "$1"; then sed -nE "s/.*$2.*/\1/p" "$1" | head -n 1; return; fi
    sleep 0.1
  done
  cat "$1" >&2
  fail "no '$2' in $1"
}

echo "an image of two layers, gzip and zstd; the second hides and replaces what the first has"
mkdir -p "$dir/one/opt/tool/bin" "$dir/one/opt/tool/data" "$dir/two/opt/tool/data" image/blobs/sha256
cat >"$dir/hello.c" <<'C'
#include <stdio.h>
int main() { puts("from an image"); }
C
gcc -static -o "$dir/one/opt/tool/bin/image-hello" "$dir/hello.c"
echo gone >"$dir/one/opt/tool/data/gone"
echo old >"$dir/one/opt/tool/data/replaced"
head -c 3000000 /dev/urandom >"$dir/one/opt/unwanted"
touch "$dir/two/opt/tool/data/.wh.gone"
echo new >"$dir/two/opt/tool/data/replaced"
ln -s ../bin/image-hello "$dir/two/opt/tool/data/link"
tar -C "$dir/one" -cf - opt | gzip -n >"$dir/layer1"
tar -C "$dir/two" -cf - opt | zstd -q >"$dir/layer2"
# blob FILE: puts it into the layout; prints its descriptor's digest and size.
blob() {
  local sha
  sha=$(sha256sum <"$1" | cut -d' ' -f1)
  cp "$1" "image/blobs/sha256/$sha"
  printf '"digest":"sha256:%s","size":%s' "$sha" "$(stat -c %s "$1")"
}
diff_id() { "$@" | sha256sum | sed 's/^/sha256:/; s/ .*//'; }
printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["%s","%s"]}}' \
  "$(diff_id gzip -dc "$dir/layer1")" "$(diff_id zstd -qdc "$dir/layer2")" >"$dir/config"
layer=application/vnd.oci.image.layer.v1.tar
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json",%s},"layers":[{"mediaType":"%s+gzip",%s},{"mediaType":"%s+zstd",%s}]}' \
  "$(blob "$dir/config")" $layer "$(blob "$dir/layer1")" $layer "$(blob "$dir/layer2")" >"$dir/manifest"
printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",%s,"annotations":{"org.opencontainers.image.ref.name":"1"}}]}' \
  "$(blob "$dir/manifest")" >image/index.json
echo '{"imageLayoutVersion":"1.0.0"}' >image/oci-layout
image=$(sha256sum <"$dir/manifest" | cut -d' ' -f1)
[ "$(skopeo inspect --raw "oci:image:1" | sha256sum | cut -d' ' -f1)" = "$image" ] || fail "skopeo reads another image"
skopeo copy -q --preserve-digests oci:image:1 "oci-archive:$PWD/image.tar:1"

printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "127.0.0.1:0"}\n' "$dir/registry" >"$dir/registry.yml"
docker-registry serve "$dir/registry.yml" >"$dir/registry.log" 2>&1 &
others+=($!)
registry=$(wait_for "$dir/registry.log" 'listening on ([0-9.:]+)')
skopeo copy -q --preserve-digests --dest-tls-verify=false oci:image:1 "docker://$registry/org/tool:1"

echo "a Nix closure, in a cache behind HTTP"
make_nix_closure "$dir/nix-made"
cp -a "$dir/nix-made/cache" "$dir/nix-made/trees" .
python3 -u -m http.server --bind 127.0.0.1 --directory "$dir/nix-made/cache" 0 >"$dir/http.log" 2>&1 &
others+=($!)
cache=http://127.0.0.1:$(wait_for "$dir/http.log" 'port ([0-9]+)')
key=$(cat "$dir/nix-made/key.public")

# toolchain NAME FROM: one whose store path has what FROM, lines of TOML, says.
toolchain() {
  printf '\n[store.%s.add.it]\n%s\n\n[toolchain.%s]\npaths = ["%s"]\ntools = ["%s"]\n' "$1" "$2" "$1" "$1" "$3" >>lre.toml
}
chosen=$'include = ["opt/tool"]\nstrip = 2\ninto = "usr"'
printf 'schema = 1\n\n[archive.debian]\nsuites = ["bookworm"]\n' >lre.toml
toolchain layout "oci = \"image\""$'\n'"$chosen" image-hello
toolchain archived "oci = \"image.tar\""$'\n'"$chosen" image-hello
toolchain registry "oci = \"oci+http://$registry/org/tool@sha256:$image\""$'\n'"$chosen" image-hello
toolchain trees "nix = \"$nix_program\""$'\nfrom = "trees"' say-words
toolchain cached "nix = \"$nix_program\""$'\nfrom = "cache"\n'"keys = [\"$key\"]" say-words
toolchain remote "nix = \"$nix_program\""$'\n'"from = \"$cache\""$'\n'"keys = [\"$key\"]" say-words
printf '\n[store.packaged]\npackages = ["media-types"]\n\n[toolchain.packaged]\npaths = ["packaged"]\n' >>lre.toml
"$lre" lock
[ "$(grep -c "sha256 = \"$image\"" lre.lock)" = 3 ] || fail "the lock does not name the image thrice"
"$lre" lock | grep >/dev/null unchanged || fail "a second lock is another one"

# The hashes that Nix itself has for the closure.
sed -nE 's|^  "[0-9a-z]{32}-[^ ]* ([0-9a-f]{64}) .*|\1|p' lre.lock | sort -u >"$dir/locked"
while read -r hash; do nix --extra-experimental-features nix-command hash to-base16 "$hash"; done <"$dir/nix-made/hashes" |
  sed 's/^sha256://' | sort >"$dir/nix-says"
diff "$dir/nix-says" "$dir/locked" || fail "other hashes than Nix has"

# try STORES NAME...: makes the toolchains in empty stores and runs what they offer.
try() {
  local stores=$1
  shift
  # shellcheck disable=SC2016 # expanded by the inner shell
  in_empty_stores "$dir/$stores" bash -euc '
    lre=$1 program=$2
    shift 2
    for name in "$@"; do "$lre" sync "$name" ${LRE_FROM:+--server "$LRE_FROM"}; done
    "$lre" store verify
    for name in "$@"; do
      path=$(echo /lre/store/*-"$name")
      case $name in
        trees | cached | remote)
          [ "$("$path/usr/bin/say-words")" = "from nix" ]
          [ "$("$program/bin/say")" = "from nix" ]
          [ "$(readlink "$path/nix/it")" = "$program" ]
          ;;
        packaged) [ -s "$path/usr/share/doc/media-types/copyright" ] ;;
        *)
          [ "$("$path/usr/bin/image-hello")" = "from an image" ]
          [ "$(cat "$path/usr/data/replaced")" = new ]
          [ ! -e "$path/usr/data/gone" ] && [ ! -e "$path/opt" ]
          [ "$("$path/usr/data/link")" = "from an image" ]
          ;;
      esac
    done' try "$lre" "$nix_program" "$@"
}
export XDG_CACHE_HOME=$dir/cache-home
mkdir -p "$XDG_CACHE_HOME/lre"
ln -s "${HOME:-/root}/.cache/lre/indices" "$XDG_CACHE_HOME/lre/indices"
try one layout archived registry cached remote
try two trees
# What is in /nix/store is what Nix says it is.
in_empty_stores "$dir/two" nix --extra-experimental-features nix-command hash path --base16 --type sha256 "$nix_program" >"$dir/hash"
grep -q "$(cat "$dir/hash")" "$dir/locked" || fail "Nix hashes what was installed to $(cat "$dir/hash")"
[ -d "$dir/two/nix/$(basename "$nix_words")/empty" ] || fail "the empty folder is not there"

echo "what is not signed by the key, or has changed, is refused"
sed -i "s|^keys = .*|keys = [\"test-1:$(head -c 32 /dev/zero | base64)\"]|" lre.toml
if "$lre" lock --fresh --lock other.lock 2>"$dir/unsigned"; then fail "a path that another key signed was locked"; fi
grep -q "not signed by any of the keys" "$dir/unsigned" || fail "$(cat "$dir/unsigned")"
sed -i "s|^keys = .*|keys = [\"$key\"]|" lre.toml

echo "from a server's CAS, when registry, cache and archive are gone"
serve farm --data-dir "$dir/data"
"$lre" push --packages registry remote packaged --server "$address" | tee "$dir/pushed"
[ "$(grep -c "pinned as packages-" "$dir/pushed")" = 3 ] || fail "the packages are not pinned"
"$lre" push --packages registry remote packaged --server "$address" | grep -c "sent 0 B in 0 files, 0 index entries" | grep >/dev/null -x 3 || fail "sent twice"
for each in "${others[@]}"; do kill "$each" && wait "$each" 2>/dev/null || true; done
others=()
rm -r "$XDG_CACHE_HOME/lre/packages"
sed -i 's|^suites = .*|&\nmirrors = ["file:///nowhere"]|' lre.toml
for each in registry remote packaged; do
  if in_empty_stores "$dir/three" "$lre" sync $each 2>"$dir/gone"; then fail "$each was made from nothing"; fi
done
grep -q 'lre push --packages' "$dir/gone" || fail "nothing names the remedy: $(cat "$dir/gone")"
LRE_FROM=$address try three registry remote packaged
echo "passed"

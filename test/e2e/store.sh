#!/usr/bin/env bash
# `lre store` on a store of the test's own: what is there and who needs it, bit rot found and named, what no
# project names collected, a toolchain carried to another machine in one file. And what needs no store at all.
[ "$(id -u)" = 0 ] || { echo "skipped: this test mounts: run it as root" >&2; exit 77; }
[ -n "${LRE_E2E_MOUNTS:-}" ] || LRE_E2E_MOUNTS=own exec unshare --mount --propagation private "$0" "$@"
. "$(dirname "$0")/session.sh"
mkdir -p "$farm_dir/here" "$farm_dir/there" "$farm_dir/project"
mount --bind "$farm_dir/here" /lre/store
cp "$root"/lre.{toml,lock} "$farm_dir/project/"
cd "$farm_dir/project" || exit
said=$farm_dir/said
says() { grep -Eq -- "$2" "$said" || { cat "$said"; fail "$1: it does not say /$2/"; }; }

"$lre" sync lre-protoc >"$said" || { cat "$said"; fail "lre sync"; }
"$lre" store list >"$said"
says "list" ' [1-9][0-9]* paths +1  /lre/store/[0-9a-f]{32}-libc$' # references and projects, counted
says "list" "in [0-9]+ store paths; projects:"
says "list" "^ +$farm_dir/project/"
libc=$(grep -oE '/lre/store/[0-9a-f]{32}-libc$' "$said")
paths=$(grep -cE '/lre/store/[0-9a-f]{32}-' "$said")

# One bit of one file.
file=$(find "$libc" -type f -name 'libm.so.6' | head -n 1)
chmod u+w "$file"
byte=$(od -An -tu1 -j4096 -N1 "$file")
printf "%b" "\\0$(printf %o $((byte ^ 1)))" | dd of="$file" bs=1 seek=4096 conv=notrunc status=none
if "$lre" store verify >"$said" 2>&1; then fail "a flipped bit is not found"; fi
says "verify" "^$file: "
says "verify" '1 files are not what was recorded'
if "$lre" store export "$farm_dir/damaged.tar.zst" "$libc" >"$said" 2>&1; then fail "a damaged path is exported"; fi
says "export" "$libc"
printf "%b" "\\0$(printf %o "$((byte))")" | dd of="$file" bs=1 seek=4096 conv=notrunc status=none
chmod u-w "$file"
touch -d @1 "$file"
"$lre" store verify >"$said" || { cat "$said"; fail "the bit is back, and is not taken"; }

# What a project names stays; without the project it goes.
"$lre" store gc --dry-run >"$said"
says "gc" '^0 store paths'
"$lre" store export "$farm_dir/toolchain.tar.zst" "$(ls local-remote-execution/*.json)" >"$said"
says "export" "$paths store paths"
cd "$farm_dir" || exit
mv project moved
if "$lre" store gc >"$said" 2>&1; then fail "everything is collected without being asked"; fi
says "gc" '--all'
"$lre" store gc --keep moved/local-remote-execution/*.json >"$said"
says "gc --keep" '^0 store paths'
"$lre" store gc --all >"$said"
says "gc --all" "^$paths store paths"
[ ! -e "$libc" ] || fail "$libc is still there"

# Another machine.
umount /lre/store
mount --bind "$farm_dir/there" /lre/store
"$lre" store import toolchain.tar.zst >"$said"
says "import" "^$paths store paths added, 0 were here"
"$lre" store import toolchain.tar.zst >"$said"
says "import" "^0 store paths added, $paths were here"
"$lre" store verify >"$said"
says "verify" "^$paths store paths are as they were recorded"

# On a machine without a store, a network and downloads, whatever is generated is made from the manifests alone.
umount /lre/store
mkdir -p "$farm_dir/empty" "$farm_dir/bare/local-remote-execution"
mount --bind "$farm_dir/empty" /lre/store
cd "$farm_dir/bare" || exit
cp "$root"/{lre.toml,lre.lock,MODULE.bazel,.bazelrc} .
cp "$root"/local-remote-execution/*.json local-remote-execution/
bare() { unshare --net env "XDG_CACHE_HOME=$farm_dir/nowhere" "$lre" "$@"; }
bare generate >"$said" || { cat "$said"; fail "lre generate needs more than manifests"; }
bare check --without-store >"$said" || { cat "$said"; fail "lre check --without-store needs more than files"; }
# (The examples of toolchains of one's own are written by hand.)
diff -r -x binutils -x protoc -x zlib local-remote-execution "$root/local-remote-execution" >"$said" || { cat "$said"; fail "something else is generated than is committed"; }
for file in *.cmake recc.conf lre.bazelrc .envrc; do cmp "$file" "$root/$file" || fail "$file is not what is committed"; done
if bare check >"$said"; then fail "lre check misses no store path"; fi
says "check" 'fix: lre sync lre-cc$'
if bare env >"$said" 2>&1; then fail "lre env without a store"; fi
says "env" '^lre: /lre/store/[0-9a-f]{32}-[a-z]+ is not here; run `lre sync lre-cc`$'
[ "$(wc -l <"$said")" = 1 ] || fail "lre env says $(cat "$said")"
if bare sync lre-protoc >"$said" 2>&1; then fail "packages came from nowhere"; fi
says "sync" 'lre sync --server'
[ -z "$(ls "$farm_dir/empty")" ] || fail "something was made: $(ls "$farm_dir/empty")"
[ ! -e "$farm_dir/nowhere/lre/modules" ] || fail "lre env downloads"
echo "passed: $paths store paths"

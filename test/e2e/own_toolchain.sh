#!/usr/bin/env bash
# Toolchains of one's own, the examples of lre.toml: a compiler with a library, one with another binutils, and
# a tool without a compiler. Each is made, registered beside the others and used: remotely, then all cache hits
# here.
. "$(dirname "$0")/session.sh"
copy_module "$farm_dir/project" lre-cc lre-cc-zlib lre-cc-binutils lre-protoc
farm_start
module=@local-remote-execution
examples=$module//examples
bin() { echo "$farm_workspace"/bazel-bin/external/local-remote-execution*/examples/"$1"; }
platform() { echo "--platforms=$module//generated-$1/config:platform"; }

# twice LEAST TARGETS AND FLAGS...: remotely, at least so many spawns; then from the cache.
twice() {
  local least=$1 spawns
  shift
  farm_build remote "$@"
  spawns=$(count_spawns)
  [ "$spawns" -ge "$least" ] || fail "only $spawns spawns"
  expect_spawns "remote" "$spawns remote"
  farm_clean
  farm_build cached "$@" --remote_download_outputs=all
  expect_spawns "clean, local" "$spawns remote cache hit"
}

echo "zlib in the compiler"
farm_verb="test"
twice 5 "$examples/zlib:all" "$(platform lre-cc-zlib)" --test_output=errors
said=$("$(bin zlib/shorten)")
[[ "$said" == "zlib 1."*": 1000 bytes in "* ]] || fail "the program said '$said'"
# Its archive and no shared library, which this machine might not have.
if readelf -d "$(bin zlib/shorten)" | grep NEEDED | grep libz; then fail "it needs a shared libz"; fi
farm_verb=build
# On the platform of the others there is no such library, and the targets say so.
if farm_build cached "$examples/zlib:shorten" 2>"$farm_dir/incompatible"; then fail "built without its compiler"; fi
grep -q 'lre-cc-zlib' "$farm_dir/incompatible" || fail "nothing says which toolchain is missing"

echo "another binutils"
twice 3 "$examples/binutils:all" "$(platform lre-cc-binutils)"
grep -c '2\.[4-9][0-9]' "$(bin binutils/versions.txt)" | grep -qx 2 ||
  fail "ar and ld are $(cat "$(bin binutils/versions.txt)")"
[ "$("$(bin binutils/linked)")" = "linked, thrown and caught" ] || fail "the linked program"
# Beside it, the usual compiler still uses the usual one.
farm_bazel aquery --lockfile_mode=off "mnemonic(CppLink, $examples:hello_lre)" >"$farm_dir/actions" 2>&1 || fail "aquery"
if grep -q -e '-binutils-next' "$farm_dir/actions"; then fail "the usual toolchain has the other binutils"; fi

echo "a tool"
twice 1 "$examples/protoc:all"
grep -q 'lre.example' "$(bin protoc/greeting.descriptors)" || fail "protoc wrote no descriptors"

# The lock, the manifests and what was generated from them agree. (Toolchains that were not made here are not asked.)
(cd "$farm_workspace" && "$lre" check) >"$farm_dir/check" || true
for toolchain in lre-cc lre-cc-zlib lre-cc-binutils lre-protoc; do
  grep -q "^good *manifest: the manifest of $toolchain was" "$farm_dir/check" || { cat "$farm_dir/check"; fail "lre check of $toolchain"; }
done
grep -q '^good *generated:' "$farm_dir/check" || { cat "$farm_dir/check"; fail "lre check of what is generated"; }

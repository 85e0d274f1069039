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

echo "zlib in the compiler"
farm_verb="test"
remote_then_cached 5 "$examples/zlib:all" "$(platform lre-cc-zlib)" --test_output=errors
said=$("$(bin zlib/shorten)")
[[ "$said" == "zlib 1."*": 1000 bytes in "* ]] || fail "the program said '$said'"
# Its archive and no shared library, which this machine might not have.
if readelf -d "$(bin zlib/shorten)" | grep NEEDED | grep libz; then fail "it needs a shared libz"; fi
farm_verb=build
# On the platform of the others there is no such library, and the targets say so.
if farm_build cached "$examples/zlib:shorten" 2>"$farm_dir/incompatible"; then fail "built without its compiler"; fi
grep -q 'lre-cc-zlib' "$farm_dir/incompatible" || fail "nothing says which toolchain is missing"

echo "another binutils"
remote_then_cached 3 "$examples/binutils:all" "$(platform lre-cc-binutils)"
grep -c '2\.[4-9][0-9]' "$(bin binutils/versions.txt)" | grep >/dev/null -x 2 ||
  fail "ar and ld are $(cat "$(bin binutils/versions.txt)")"
[ "$("$(bin binutils/linked)")" = "linked, thrown and caught" ] || fail "the linked program"
# Beside it, the usual compiler still uses the usual one.
farm_bazel aquery --lockfile_mode=off "mnemonic(CppLink, $examples:hello_lre)" >"$farm_dir/actions" 2>&1 || fail "aquery"
if grep -q -e '-binutils-next' "$farm_dir/actions"; then fail "the usual toolchain has the other binutils"; fi

echo "a tool"
remote_then_cached 1 "$examples/protoc:all"
grep -q 'lre.example' "$(bin protoc/greeting.descriptors)" || fail "protoc wrote no descriptors"

echo "an archive of one's own with its key; files of the project: a package, an archive, a header, a patch; flags"
cd "$farm_workspace" || exit
mkdir -p third_party/apt/pool keys mine
# package NAME DEB VERSION: a Debian package with one header.
package() {
  mkdir -p "third_party/$1/DEBIAN" "third_party/$1/usr/include"
  printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: test <test@localhost>\nDescription: a header\n' "$1" "${3:-1}" >"third_party/$1/DEBIAN/control"
  echo "#define FROM_${1^^} \"$1\"" >"third_party/$1/usr/include/from_$1.h"
  dpkg-deb --root-owner-group --build "third_party/$1" "$2" >/dev/null
}
package signed third_party/apt/pool/signed.deb
export GNUPGHOME=$farm_dir/gpg
mkdir -m 700 "$GNUPGHOME"
gpg --batch --quiet --pinentry-mode loopback --passphrase '' --quick-generate-key test@localhost default default never 2>"$farm_dir/gpg.log"
gpg --export test@localhost >keys/own.gpg
# publish SUITE DEB...: the suite of the archive, signed, with these packages of pool/.
publish() (
  suite=$1
  shift
  cd third_party/apt || exit
  mkdir -p "dists/$suite/main/binary-amd64"
  for deb in "$@"; do
    dpkg-deb --field "pool/$deb"
    printf 'Filename: pool/%s\nSize: %s\nSHA256: %s\n\n' "$deb" "$(stat -c %s "pool/$deb")" "$(sha256sum <"pool/$deb" | cut -d' ' -f1)"
  done >"dists/$suite/main/binary-amd64/Packages"
  cd "dists/$suite" || exit
  printf 'Suite: %s\nCodename: %s\nComponents: main\nArchitectures: amd64\nSHA256:\n %s %s main/binary-amd64/Packages\n' "$suite" "$suite" \
    "$(sha256sum <main/binary-amd64/Packages | cut -d' ' -f1)" "$(stat -c %s main/binary-amd64/Packages)" >Release
  gpg --batch --quiet --yes --clearsign --output InRelease Release
  gpgconf --kill all
)
publish own signed.deb
package deb third_party/mine.deb
mkdir -p third_party/tool-1.0
printf 'int Unused();\n#define FROM_PATCH "packaged"\n' >third_party/deb/usr/include/from_patch.h
dpkg-deb --root-owner-group --build third_party/deb third_party/mine.deb >/dev/null # again, with this file
printf -- '--- a/usr/include/from_patch.h\n+++ b/usr/include/from_patch.h\n@@ -1,2 +1,2 @@\n int Unused();\n-#define FROM_PATCH "packaged"\n+#define FROM_PATCH "patched"\n' >third_party/mine.patch
echo '#define FROM_TAR "tar"' >third_party/tool-1.0/from_tar.h
tar -C third_party -czf third_party/tool-1.0.tar.gz tool-1.0
echo '#define FROM_FILE "file"' >third_party/from_file.h
cat >>lre.toml <<TOML

[archive.own]
suites = ["own"]
mirrors = ["file://$PWD/third_party/apt"]
keyring = "keys/own.gpg"
TOML
cat >>lre.toml <<'TOML'

[store.mine]
packages = ["signed"]

[store.mine.add.package]
deb = "third_party/mine.deb"

[store.mine.add.archive]
tar = "third_party/tool-1.0.tar.gz"
strip = 1
into = "usr/include/tool"

[store.mine.add.header]
file = "third_party/from_file.h"
into = "usr/include/from_file.h"

[store.mine.add.patch]
patch = "third_party/mine.patch"

[toolchain.mine]
extends = "lre-cc-zlib"
paths = ["mine"]
libraries = ["mine"]
compile_flags = ["-DFROM_FLAG=7", "-isystem{mine}/usr/include/tool"]
cxx_flags = ["-DFROM_CXX=8"]
link_flags = ["-Wl,-rpath,/from-link-flags"]
link_libs = ["-lz"]
target_compatible_with = ["@@//mine:board"]
env = { MINE = "{mine}/usr/include" }
TOML
"$lre" lock && "$lre" sync mine && "$lre" generate >/dev/null
"$lre" env --manifest local-remote-execution/mine.json | grep >/dev/null "export MINE='/lre/store/[0-9a-f]*-mine/usr/include'" || fail "lre env"
cat >mine/BUILD.bazel <<'BUILD'
load("@rules_cc//cc:cc_binary.bzl", "cc_binary")

constraint_setting(name = "boards")

constraint_value(
    name = "board",
    constraint_setting = ":boards",
    visibility = ["//visibility:public"],
)

cc_binary(
    name = "mine",
    srcs = ["mine.cc"],
    target_compatible_with = [":board"],
)
BUILD
cat >mine/mine.cc <<'CC'
#include <from_deb.h>
#include <from_file.h>
#include <from_patch.h>
#include <from_signed.h>
#include <from_tar.h>
#include <zlib.h>

#include <iostream>

int main() {
  std::cout << FROM_SIGNED << " " << FROM_DEB << " " << FROM_FILE << " " << FROM_PATCH << " " << FROM_TAR << " " << FROM_FLAG << " " << FROM_CXX
            << " " << (zlibVersion() != nullptr) << "\n";
}
CC
remote_then_cached 2 //mine "$(platform mine)"
readelf -d bazel-bin/mine/mine | grep >/dev/null 'RUNPATH.*/from-link-flags' || fail "link_flags are not in the link command"
[ "$(bazel-bin/mine/mine)" = "signed deb file patched tar 7 8 1" ] || fail "the program says '$(bazel-bin/mine/mine)'"
# Another key than the archive's is refused.
cp keys/own.gpg keys/kept
cp /usr/share/keyrings/debian-archive-keyring.gpg keys/own.gpg
if "$lre" lock 2>"$farm_dir/key"; then fail "an archive that another key signed was taken"; fi
grep -q 'suite own' "$farm_dir/key" || fail "nothing says which archive: $(cat "$farm_dir/key")"
mv keys/kept keys/own.gpg

echo "a lock keeps its versions until it is told otherwise, and says what changed"
package other third_party/apt/pool/other.deb
publish own signed.deb other.deb
publish own-security
mkdir pinned
cat >pinned/lre.toml <<TOML
schema = 1
prefer = "newest-version"

[archive.own]
suites = ["own", "own-security"]
mirrors = ["file://$PWD/third_party/apt"]
keyring = "$PWD/keys/own.gpg"

[store.pinned]
packages = ["other", "signed"]

[toolchain.pinned]
paths = ["pinned"]
TOML
lock() { (cd pinned && "$lre" lock "$@") >"$farm_dir/lock" 2>&1 || fail "lre lock $*: $(cat "$farm_dir/lock")"; }
said() { grep -q -x -e "$1" "$farm_dir/lock" || fail "lre lock does not say '$1': $(cat "$farm_dir/lock")"; }
lock
package signed third_party/apt/pool/signed-2.deb 2
package other third_party/apt/pool/other-2.deb 2
publish own signed.deb other.deb other-2.deb
publish own-security signed-2.deb
lock # none
said 'lre.lock: 2 packages in 1 store paths, unchanged'
cp pinned/lre.lock pinned/kept
lock --update other # one
said '    other 1 -> 2 (own)'
said '  1 updated, 0 of them security fixes; 0 added, 0 removed'
cp pinned/kept pinned/lre.lock
lock --fresh # all
said '    signed 1 -> 2 (security fix, own-security)'
said '  2 updated, 1 of them security fixes; 0 added, 0 removed'

# What is locked is what is taken.
echo '#define FROM_FILE "another"' >third_party/from_file.h
if "$lre" check --without-store >"$farm_dir/check"; then fail "lre check does not see that a file is another"; fi
grep -q 'lre lock' "$farm_dir/check" || fail "lre check does not say what to do"
echo '#define FROM_FILE "file"' >third_party/from_file.h

# The lock, the manifests and what was generated from them agree. (Toolchains that were not made here are not asked.)
(cd "$farm_workspace" && "$lre" check) >"$farm_dir/check" || true
for toolchain in lre-cc lre-cc-zlib lre-cc-binutils lre-protoc; do
  grep -q "^good *manifest: the manifest of $toolchain was" "$farm_dir/check" || { cat "$farm_dir/check"; fail "lre check of $toolchain"; }
done
grep -q '^good *generated:' "$farm_dir/check" || { cat "$farm_dir/check"; fail "lre check of what is generated"; }

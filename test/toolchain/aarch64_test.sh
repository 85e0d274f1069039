#!/bin/bash
# aarch64_test.sh SYNC_PACKAGES SOURCE_DIR TOOLCHAIN: makes a toolchain of aarch64 on this machine, whichever it is: the
# manifest, with the digest of every tree, is the committed one, so it is what others made elsewhere. Making it means
# that its programs were asked and tried, by qemu-user where the machine is another one.
set -euo pipefail
sync_packages=$1 source=$2 toolchain=$3
# shellcheck source=test/toolchain/empty_root.sh
. "$(dirname "$0")/empty_root.sh"
check "the manifest is the committed one" cmp "$work/manifest.json" "$source/local-remote-execution/$toolchain.json"
programs() {
  local path found=0
  for path in $paths; do
    while read -r file; do
      found=1
      readelf -h "$file" 2>/dev/null | grep >/dev/null 'Machine: *AArch64' || { echo "$file"; return 1; }
    done < <(find "$path/usr/bin/" -type f -exec sh -c 'head -c4 "$1" | grep -q ELF && echo "$1"' _ {} \; 2>/dev/null)
  done
  [ $found = 1 ]
}
check "every program is one of aarch64" programs
# As root, and not as `again` does, in a namespace of users: sync_packages makes one of its own for qemu-user.
elsewhere() {
  mkdir -p "$work/other"
  (umask 077; TZ=Asia/Tokyo LC_ALL=tr_TR.UTF-8 unshare -m sh -c "mount --bind '$work/other' $store &&
    exec taskset -c 0 '$sync_packages' '$source/lre.lock' '$cache' $store $toolchain" >"$work/again.json")
  cmp "$work/manifest.json" "$work/again.json"
}
if [ "$(id -u)" = 0 ]; then check "the same trees and manifest in another store, umask, locale and time zone" elsewhere; fi
[ $failures = 0 ]

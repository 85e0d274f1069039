#!/bin/sh
# Prints launcher_code.h from launcher.c. Run by hand after a change (needs gcc-12 and, for arm64,
# gcc-12-aarch64-linux-gnu), and raise kRecipeVersion: the bytes are part of every store path.
set -eu
cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
flags="-Os -std=c17 -ffreestanding -fpie -fno-builtin -fno-stack-protector -fcf-protection=none
 -fno-asynchronous-unwind-tables -fno-ident -fno-tree-loop-distribute-patterns -nostdlib -static -Wall -Wextra"
emit() { # triple array extra-flags
  # shellcheck disable=SC2046,SC2086
  "$1-gcc-12" $(echo $flags | sed "s/-fcf-protection=none/$3/") -Wl,-T,launcher.ld -Wl,--build-id=none -o "$out/elf" launcher.c
  "$1-objcopy" -O binary -j .text "$out/elf" "$out/bin"
  [ $(($(wc -c <"$out/bin") % 16)) = 0 ]
  echo "inline constexpr unsigned char $2[] = {"
  od -An -v -tx1 "$out/bin" | sed 's/ \(..\)/ 0x\1,/g'
  echo "};"
}
cat <<END
// Machine code of launcher/launcher.c, printed by launcher/make.sh; not edited by hand. Constant data.
// clang-format off
#pragma once

namespace lre::toolchain {
$(emit x86_64-linux-gnu kLauncherX86_64 -fcf-protection=none)
$(if command -v aarch64-linux-gnu-gcc-12 >/dev/null; then emit aarch64-linux-gnu kLauncherAarch64 -mgeneral-regs-only; fi)
}  // namespace lre::toolchain
END

#!/bin/bash
# clang_test.sh SYNC_PACKAGES SOURCE_DIR: makes lre-clang from the repository's lock and tries it where nothing
# else is, as toolchain_test.sh does with GCC. What only clang does: it guesses options from the machine's
# distribution, and brings a link editor and a C++ library of its own.
set -euo pipefail
sync_packages=$1 source=$2 toolchain=lre-clang
# shellcheck source=test/toolchain/empty_root.sh
. "$(dirname "$0")/empty_root.sh"
clang=$(tool clang) clangxx=$(tool 'clang++')
mapfile -t libcxx < <(sed -n '/"libcxx": {/,/}/p' "$work/manifest.json" | sed -n 's/^ *"\([-\/].*\)",\{0,1\}$/\1/p')

runs() { # options...
  rm -f "$work/program"
  "${bare[@]}" "$clangxx" -O2 throws.cc -o program "$@" && [ "$("${bare[@]}" "$work/program")" = caught ]
}
check "C in an empty root" "${bare[@]}" "$clang" hello.c -o hello -lm "${in_store[@]}"
for options in "" -flto -flto=thin -fsanitize=address -fsanitize=undefined -fsanitize=thread --coverage \
  -fprofile-instr-generate -fuse-ld=bfd -fuse-ld=gold -g3 -fno-integrated-as; do
  # shellcheck disable=SC2086
  check "C++ with exceptions ${options:-plain}" runs $options "${in_store[@]}"
done
for options in -static -static-pie; do check "C++ with exceptions $options" runs $options; done
check "clang's own C++ library" runs -nostdlib++ "${libcxx[@]}" "${in_store[@]}"
check "clang's own C++ library, static" runs -static -nostdlib++ "${libcxx[@]}"

# What stands where the files of distributions stood cannot exist.
check "clang opens and probes nothing outside the store" opens_only \
  "/lre(/lib)?/[a-zA-Z_-]*(release|version)\$|/lre\$" "$clangxx" -O2 -flto=thin throws.cc -o traced "${in_store[@]}"
check "the link editor reads nothing outside the store" links_only "$clangxx" -O2
check "the same bytes on six distributions" distributions "$clangxx" -O2
check "the same bytes where the machine's own files are hostile" same_on_evil_machine "$clangxx" -O2 -g

poisoned() {
  evil_folder
  cd "$work"
  rm -f clean dirty
  env -i "$clangxx" -O2 -g throws.cc -o clean
  env CPATH="$work/evil" C_INCLUDE_PATH="$work/evil" CPLUS_INCLUDE_PATH="$work/evil" LIBRARY_PATH="$work/evil" COMPILER_PATH="$work/evil" \
    CCC_OVERRIDE_OPTIONS='+-O0' CLANG_NO_DEFAULT_CONFIG=1 HOME="$work/evil" \
    LD_LIBRARY_PATH="$work/evil" PATH="$work/evil:$PATH" LANG=de_DE.UTF-8 LC_ALL=de_DE.UTF-8 \
    "$clangxx" -O2 -g throws.cc -o dirty
  cmp clean dirty
}
check "a hostile environment changes no byte" poisoned

# Every program and library: what it needs is found in the store.
mapfile -t own < <(grep -E -e '-(clang|libcxx|llvm-tools)$' <<<"$paths")
check "every program and library resolves inside the store" resolves_in_store "${own[@]}"
check "the same trees and manifest in another namespace, umask and time zone" again
[ $failures = 0 ]

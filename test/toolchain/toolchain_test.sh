#!/bin/bash
# toolchain_test.sh SYNC_PACKAGES SOURCE_DIR: makes lre-cc from the repository's lock and tries it where
# nothing else is. Each check names what would have gone wrong.
set -euo pipefail
sync_packages=$1 source=$2 toolchain=lre-cc
# shellcheck source=test/toolchain/empty_root.sh
. "$(dirname "$0")/empty_root.sh"

gxx=$(tool g++) gcc=$(tool gcc) bash_tool=$(tool bash) gcov=$(tool gcov)

compiles_and_runs() { # options...
  rm -f "$work/program"
  "${bare[@]}" "$gxx" -O2 throws.cc -o program "$@" "${in_store[@]}" && [ "$("${bare[@]}" "$work/program")" = caught ]
}
check "C compiles and runs in an empty root" "${bare[@]}" "$bash_tool" -c "$gcc hello.c -o hello -lm ${in_store[*]} && ./hello"
for options in "" -flto -fsanitize=address -fsanitize=undefined -fsanitize=thread --coverage -pthread -g3 -fopenmp; do
  check "C++ with exceptions ${options:-plain}" compiles_and_runs $options
done
static_runs() { "${bare[@]}" "$gxx" -O2 throws.cc -o static "$@" && [ "$("${bare[@]}" "$work/static")" = caught ]; }
check "C++ with exceptions -static" static_runs -static
check "C++ with exceptions -static-pie" static_runs -static-pie
has_parts() {
  "${bare[@]}" "$gxx" throws.cc -o parts
  readelf -lW "$work/parts" | grep GNU_EH_FRAME && readelf -nW "$work/parts" | grep "Build ID"
}
check "linked programs have GNU_EH_FRAME and a build ID" has_parts
covers() {
  rm -f "$work"/*.gcda "$work"/*.gcno
  "${bare[@]}" "$bash_tool" -c "$gcc --coverage hello.c -o covered -lm ${in_store[*]} && ./covered && $gcov covered-hello.gcda" &&
    grep -q 'sqrt' "$work/hello.c.gcov"
}
check "gcov reads what --coverage writes" covers
userland() { # tar, make and system(3) want /bin/sh, which a worker's root has as a link into base
  "${bare[@]}" --symlink "$(dirname "$bash_tool")/sh" /bin/sh "$bash_tool" -ec '
    echo b a c | tr " " "\n" | sort | sed s/a/x/ | awk "{n++} END {exit n != 3}"
    echo hello >f; for z in gzip xz bzip2 zstd; do rm -rf d; mkdir d; tar cf t.$z --use-compress-program=$z f; tar xf t.$z -C d --use-compress-program=$z; cmp f d/f; done
    perl -MPOSIX -e "exit(floor(1.5) != 1)"; find . -name f | grep >/dev/null f; diff f f; printf "all:\n\t@echo made\n" >Makefile; make | grep >/dev/null made
    file t.gzip | grep >/dev/null gzip; expr 1 + 1; env true; seq 3 | xargs echo; date -u; which gawk | grep >/dev/null ^/lre/store'
}
check "the userland works in an empty root without PATH" userland

# GCC asks for the folders above its own too.
check "the compiler opens and probes nothing outside the store" opens_only "/lre(/lib/gcc/.*)?\$" \
  "$gxx" -O2 -flto throws.cc -o traced "${in_store[@]}"
check "the link editor reads nothing outside the store" links_only "$gxx" -O2
check "the link editor reads nothing outside the store, static" links_only "$gxx" -O2 -static
check "the same bytes on six distributions" distributions "$gxx" -O2
check "the same bytes where the machine's own files are hostile" same_on_evil_machine "$gxx" -O2 -g

# A hostile environment changes no byte.
poisoned() {
  evil_folder
  cd "$work"
  rm -f clean dirty
  env -i "$gxx" -O2 -g throws.cc -o clean
  env CPATH="$work/evil" C_INCLUDE_PATH="$work/evil" CPLUS_INCLUDE_PATH="$work/evil" LIBRARY_PATH="$work/evil" COMPILER_PATH="$work/evil" \
    GCC_EXEC_PREFIX="$work/evil/" LD_LIBRARY_PATH="$work/evil" PATH="$work/evil:$PATH" LANG=de_DE.UTF-8 LC_ALL=de_DE.UTF-8 \
    "$gxx" -O2 -g throws.cc -o dirty
  cmp clean dirty
}
check "a hostile environment changes no byte" poisoned

# Every ELF file: readelf and eu-elflint accept it, the store's own loader finds all libraries in the store.
judged() {
  local bad=0 file
  while read -r file; do
    readelf -lW "$file" 2>/dev/null | grep >/dev/null 'INTERP\|DYNAMIC' || continue
    if readelf -WldSn "$file" 2>&1 >/dev/null | grep .; then echo "readelf: $file"; bad=1; fi
  done < <(elf_files $paths)
  resolves_in_store $paths && [ $bad = 0 ]
}
check "every program and library resolves inside the store" judged

check "the same trees and manifest in another namespace, umask and time zone" again
nobody() {
  mkdir -p "$work/nobody" && chown nobody "$work" "$work/nobody" && chmod 755 "$work"
  cp "$sync_packages" "$work/sync" && cp "$source/lre.lock" "$work/lre.lock" && cp -r "$cache" "$work/cache" && chown -R nobody "$work/cache"
  unshare -m sh -c "mount --bind '$work/nobody' $store && exec setpriv --reuid nobody --clear-groups env -i '$work/sync' '$work/lre.lock' '$work/cache' $store lre-cc" >"$work/nobody.json"
  chown "$(id -u)" "$work"
  cmp "$work/manifest.json" "$work/nobody.json"
}
if [ "$(id -u)" = 0 ]; then check "the same manifest as another user" nobody; fi

# What is interrupted or runs out of space leaves nothing that looks whole.
private_store() { # size command...: with an empty store of its own in memory
  local size=$1
  shift
  unshare -Urm bash -c "mount -t tmpfs -o size=$size none $store && $*"
}
full_disk() {
  private_store 40m "! '$sync_packages' '$source/lre.lock' '$cache' $store lre-cc >'$work/full' 2>&1 &&
    [ -z \"\$(ls $store/.lre/tmp)\" ] && ! ls -d $store/*-gcc" &&
    grep "RESOURCE_EXHAUSTED.*No space left" "$work/full"
}
check "a full disk is named and leaves no half path" full_disk
killed() {
  private_store 1g "for wait in 0.3 1 2; do timeout -s KILL \$wait '$sync_packages' '$source/lre.lock' '$cache' $store lre-cc; done >/dev/null 2>&1;
    '$sync_packages' '$source/lre.lock' '$cache' $store lre-cc" >"$work/killed.json"
  cmp "$work/manifest.json" "$work/killed.json"
}
check "sync after kill -9 gives the same" killed
utf8() { [ "$("${bare[@]}" --setenv LC_ALL C.UTF-8 "$bash_tool" -c 'x=ä; echo ${#x}; printf ä | wc -m' | tr -d '\n ')" = 11 ]; }
check "C.UTF-8 works in the shell" utf8

seconds() { local start=$EPOCHREALTIME; "$@" >/dev/null 2>&1; awk "BEGIN {print $EPOCHREALTIME - $start}"; }
echo "second sync: $(seconds "$sync_packages" "$source/lre.lock" "$cache" $store lre-cc) s"
[ $failures = 0 ]

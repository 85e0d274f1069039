# shellcheck shell=bash
# Sourced by the tests of toolchains: makes one from the repository's lock, and an empty root that holds nothing but
# its store paths. Needs apt's archive (or the package cache), bubblewrap, strace, elfutils, patchelf; and a writable
# /lre/store, which it leaves filled. Callers set sync_packages, source (the repository) and toolchain (its name).
# Sets work (a folder, removed at the end), store, paths, failures, loader, in_store (options that link against the
# store's libraries) and bare (runs a command in the empty root).
# shellcheck disable=SC2154,SC2034 # set in the callers, used in the callers
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
store=/lre/store
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lre/packages
mkdir -p "$cache" "$store" 2>/dev/null || { echo "SKIP: $store cannot be made"; exit 77; }
failures=0
check() { # name command...
  local name=$1
  shift
  if "$@" >"$work/out" 2>&1; then echo "ok      $name"; else
    echo "FAILED  $name"; sed 's/^/        /' "$work/out" | head -40; failures=$((failures + 1)); fi
}

"$sync_packages" "$source/lre.lock" "$cache" $store "$toolchain" >"$work/manifest.json"
paths=$(sed -n 's/^ *"path": "\(.*\)",$/\1/p' "$work/manifest.json")
trees=$(sed -n 's/^ *"tree": "\(.*\)"$/\1/p' "$work/manifest.json")
tool() { sed -n "s/^ *\"$1\": \"\(.*\)\",\{0,1\}\$/\1/p" "$work/manifest.json" | head -1; }
loader=$(tool loader)
libraries=$(sed -n '/"library_paths"/,/]/s/^ *"\(\/.*\)",\{0,1\}$/\1/p' "$work/manifest.json" | paste -sd:)
in_store=("-Wl,--dynamic-linker=$loader" "-Wl,-rpath,$libraries")

cat >"$work/throws.cc" <<'END'
#include <iostream>
#include <stdexcept>
#include <thread>
int main() {
  std::thread thread([] {
    try {
      throw std::runtime_error("caught");
    } catch (const std::exception& e) {
      std::cout << e.what() << std::endl;
    }
  });
  thread.join();
}
END
cat >"$work/hello.c" <<'END'
#include <math.h>
#include <stdio.h>
int main(int argc, char** argv) { (void)argv; return printf("%.3f\n", sqrt(argc + 1.0)) != 6; }
END

# An empty root with the closure, /tmp, /proc and /dev, and no variable set.
bare=(bwrap --unshare-all --clearenv --die-with-parent --proc /proc --dev /dev --tmpfs /tmp --bind "$work" "$work" --chdir "$work")
for path in $paths; do bare+=(--ro-bind "$path" "$path"); done

# opens_only ALSO COMMAND...: it opens and looks for nothing outside the store, but what the expression ALSO says.
opens_only() {
  local also=$1
  shift
  cd "$work" || return
  env -i /usr/bin/strace -f -qq -e trace=file -o "$work/trace" "$@"
  # The first string of each call, when it is an absolute path.
  sed -n 's/^[0-9]* *[a-z0-9_]*([^"]*"\(\/[^"]*\)".*/\1/p' "$work/trace" | sort -u |
    grep -vE "^($store(/|\$)|$work/|/tmp/|/tmp\$|/proc/|/dev/|$also|$work\$)" >"$work/outside" || true
  cat "$work/outside"
  [ ! -s "$work/outside" ]
}

# elf_files PATH...: the programs and libraries below these.
elf_files() { find "$@" -type f \( -perm -100 -o -name '*.so*' \) -exec sh -c 'head -c4 "$1" | grep -q ELF && echo "$1"' _ {} \; ; }

# resolves_in_store PATH...: what each program and library below these needs is found in the store.
resolves_in_store() {
  local bad=0 file
  : "${1:?a path}"
  while read -r file; do
    readelf -dW "$file" 2>/dev/null | grep >/dev/null NEEDED || continue
    if env -i "$loader" --list "$file" 2>&1 | grep -v "=> $store/\|linux-vdso\|^[[:space:]]*$store/"; then echo "loader: $file"; bad=1; fi
  done < <(elf_files "$@")
  return $bad
}

# links_only COMPILER...: what the link editor says that it reads is in the store.
links_only() {
  local outside
  cd "$work" || return
  env -i "$@" throws.cc -o traced -Wl,--trace >"$work/linked" 2>&1 || { cat "$work/linked"; return 1; }
  grep -q "$store/" "$work/linked" || { echo "the link editor names nothing"; return 1; }
  outside=$(grep -oE '/[^ ():]+' "$work/linked" | grep -vE "^($store/|$work/|/tmp/)" || true)
  [ -z "$outside" ] || { echo "$outside"; return 1; }
}

# distributions COMPILER...: the same bytes whatever the machine calls itself.
distributions() {
  local name first='' root="$work/etc"
  for name in none debian ubuntu opensuse alpine fedora; do
    rm -rf "$root"
    mkdir -p "$root"
    case $name in
      none) ;;
      debian) echo bookworm/sid >"$root/debian_version"; echo 'ID=debian' >"$root/os-release" ;;
      ubuntu) printf 'DISTRIB_ID=Ubuntu\nDISTRIB_CODENAME=noble\n' >"$root/lsb-release"; echo 'ID=ubuntu' >"$root/os-release" ;;
      opensuse) echo 'ID="opensuse-leap"' >"$root/os-release"; echo 'VERSION = 15.5' >"$root/SuSE-release" ;;
      alpine) echo 'ID=alpine' >"$root/os-release"; echo 3.19.0 >"$root/alpine-release" ;;
      fedora) echo 'ID=fedora' >"$root/os-release"; echo 'Fedora release 40' >"$root/redhat-release" ;;
    esac
    "${bare[@]}" --ro-bind "$root" /etc "$@" throws.cc -o made || return
    [ -n "$first" ] || first=$(sha256sum <"$work/made")
    [ "$first" = "$(sha256sum <"$work/made")" ] || { echo "on $name other bytes are linked"; return 1; }
  done
}

# Makes $work/evil: what must not be found through the environment.
evil_folder() {
  local name
  mkdir -p "$work/evil"
  for name in stdio.h iostream; do echo '#error evil header' >"$work/evil/$name"; done
  for name in libstdc++.so libz.so.1 libc.so.6; do echo garbage >"$work/evil/$name"; done
  for name in as ld ld.lld x86_64-pc-linux-gnu-ld.lld; do printf '#!/bin/sh\nexit 1\n' >"$work/evil/$name"; chmod +x "$work/evil/$name"; done
  echo --sysroot=/nowhere >"$work/evil/clang++.cfg"
}

# evil_machine: sets machine, which runs a command on a machine on which everything that a compiler might take is wrong:
# GCC's specs, headers, libraries, start files, tools, the loader's files, locales.
evil_machine() {
  local evil=$work/machine name folder
  local gcc=$evil/usr/lib/gcc/x86_64-linux-gnu libraries=$evil/usr/lib/x86_64-linux-gnu
  mkdir -p "$gcc/12" "$libraries/gconv" "$evil"/usr/{bin,lib64,include/{c++/12,x86_64-linux-gnu/bits},local/include} \
    "$evil"/usr/{lib/locale/de_DE.utf8,share/locale/de/LC_MESSAGES} "$evil/etc"
  for folder in "$gcc" "$gcc/12" "$evil/usr/lib"; do printf '*cpp:\n-DEVIL -include /evil\n\n*link:\n-nostdlib /evil.o\n\n' >"$folder/specs"; done
  for name in stdio.h math.h features.h; do
    for folder in include include/x86_64-linux-gnu local/include; do echo '#error evil header' >"$evil/usr/$folder/$name"; done
  done
  for name in iostream thread stdexcept; do echo '#error evil header' >"$evil/usr/include/c++/12/$name"; done
  for name in libc.so{,.6} libm.so{,.6} libstdc++.so{,.6} libgcc_s.so{,.1} libz.so.1 libLLVM-16.so.1 crt1.o crti.o Scrt1.o ld-linux-x86-64.so.2 gconv/gconv-modules; do
    echo garbage >"$libraries/$name"
  done
  cp "$libraries/ld-linux-x86-64.so.2" "$evil/usr/lib64/"
  for name in as ld ld.lld collect2 cc1 cc1plus; do printf '#!/bin/sh\nexit 1\n' >"$evil/usr/bin/$name"; chmod +x "$evil/usr/bin/$name"; done
  for name in lib/locale/locale-archive lib/locale/de_DE.utf8/LC_CTYPE share/locale/de/LC_MESSAGES/{gcc-12,libc,binutils}.mo; do echo garbage >"$evil/usr/$name"; done
  echo garbage >"$evil/etc/ld.so.cache"
  echo /usr/lib/x86_64-linux-gnu/libz.so.1 >"$evil/etc/ld.so.preload"
  machine=("${bare[@]}" --ro-bind "$evil/usr" /usr --symlink usr/lib /lib --symlink usr/lib64 /lib64 --symlink usr/bin /bin
    --ro-bind "$evil/etc" /etc --setenv PATH /usr/bin --setenv LANG de_DE.UTF-8 --setenv LC_ALL de_DE.UTF-8)
}

# same_on_evil_machine COMPILER...: the same bytes there, and what was linked against the store runs.
same_on_evil_machine() {
  local machine
  evil_machine
  "${bare[@]}" "$@" throws.cc -o clean "${in_store[@]}" && "${machine[@]}" "$@" throws.cc -o dirty "${in_store[@]}" || return
  cmp "$work/clean" "$work/dirty" && [ "$("${machine[@]}" "$work/dirty")" = caught ]
}

# The same trees elsewhere: another user id, umask, time zone, folder and number of processors.
again() {
  mkdir -p "$work/other"
  cd /
  (umask 077; TZ=Asia/Tokyo unshare -Urm sh -c "mount --bind '$work/other' $store && exec taskset -c 0 '$sync_packages' '$source/lre.lock' '$cache' $store $toolchain" >"$work/again.json")
  diff <(echo "$trees") <(sed -n 's/^ *"tree": "\(.*\)"$/\1/p' "$work/again.json") && cmp "$work/manifest.json" "$work/again.json"
}

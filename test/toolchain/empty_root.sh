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

# opens_only ALSO COMPILER...: it opens and looks for nothing outside the store, but what the expression ALSO says.
opens_only() {
  local also=$1
  shift
  cd "$work" || return
  env -i /usr/bin/strace -f -qq -e trace=file -o "$work/trace" "$@" throws.cc -o traced "${in_store[@]}"
  # The first string of each call, when it is an absolute path.
  sed -n 's/^[0-9]* *[a-z0-9_]*([^"]*"\(\/[^"]*\)".*/\1/p' "$work/trace" | sort -u |
    grep -vE "^($store(/|\$)|$work/|/tmp/|/tmp\$|/proc/|/dev/|$also|$work\$)" >"$work/outside" || true
  cat "$work/outside"
  [ ! -s "$work/outside" ]
}

# The same trees elsewhere: another user id, umask, time zone, folder and number of processors.
again() {
  mkdir -p "$work/other"
  cd /
  (umask 077; TZ=Asia/Tokyo unshare -Urm sh -c "mount --bind '$work/other' $store && exec taskset -c 0 '$sync_packages' '$source/lre.lock' '$cache' $store $toolchain" >"$work/again.json")
  diff <(echo "$trees") <(sed -n 's/^ *"tree": "\(.*\)"$/\1/p' "$work/again.json") && cmp "$work/manifest.json" "$work/again.json"
}

#!/bin/bash
# python_test.sh SYNC_PACKAGES SOURCE_DIR: makes lre-py from the repository's lock and tries it where nothing else is, as
# toolchain_test.sh does with GCC. What only Python does: it finds modules by the place of its program and by
# variables, and writes what it compiled beside the source.
set -euo pipefail
sync_packages=$1 source=$2 toolchain=lre-py
# shellcheck source=test/toolchain/empty_root.sh
. "$(dirname "$0")/empty_root.sh"
python=$(tool interpreter)
tree=${python%/usr/bin/*}

mkdir "$work/modules"
echo 'SAID = "caught"' >"$work/modules/said.py"
cat >"$work/hello.py" <<'END'
import bz2, concurrent.futures, ctypes, decimal, hashlib, lzma, multiprocessing, sqlite3, ssl, subprocess, sys, tempfile, uuid, zlib

sys.path.insert(0, "modules")
import said


def fails(_):
    raise ValueError(said.SAID)


if __name__ == "__main__":
    with concurrent.futures.ThreadPoolExecutor() as pool:
        try:
            list(pool.map(fails, [1]))
        except ValueError as error:
            caught = str(error)
    assert sqlite3.connect(":memory:").execute("select 6 * 7").fetchone() == (42,)
    assert ctypes.CDLL(None).abs(-7) == 7 and ssl.create_default_context()
    other = multiprocessing.Process(target=fails, args=[1])
    other.start()
    other.join()
    assert other.exitcode == 1
    assert subprocess.check_output([sys.executable, "-c", "print(7)"]) == b"7\n"
    outside = [path for path in sys.path if not path.startswith(("/lre/store/", "modules", sys.argv[1]))]
    print(caught, hashlib.sha256(zlib.compress(b"lre")).hexdigest()[:8], outside, sys.flags.utf8_mode, sys.stdout.encoding)
END
runs() {
  said=$("${bare[@]}" "$python" hello.py "$work") && echo "$said" && [[ "$said" == "caught "*" [] "* ]]
}
check "Python runs in an empty root, and looks nowhere else for modules" runs
check "what it compiled is left nowhere" test -z "$(find "$work" -name '*.pyc')"
utf8() { [ "$("${bare[@]}" --setenv LC_ALL C.UTF-8 "$python" -c 'print("ä", len("ä"))')" = "ä 1" ]; }
check "UTF-8 works" utf8

# Its standard library is compiled, and says that nobody is to compare it with the sources' dates.
compiled() {
  "${bare[@]}" "$python" -c 'import sys, glob
files = glob.glob(sys.argv[1] + "/usr/lib/python3.*/**/*.pyc", recursive=True)
assert len(files) > 300, len(files)
for file in files:
    assert open(file, "rb").read(8)[4:] == b"\1\0\0\0", file' "$tree"
}
check "every module is compiled without a date" compiled

# What stands where the files of libc and of Python's own stood cannot exist. The machine's are its user, time zone and
# number of processors. OpenSSL's settings and authorities are too: docs/toolchains.md says so.
check "Python opens and probes nothing outside the store but OpenSSL's settings" opens_only \
  "/\$|/lre/(lib|share)/|/usr/lib/ssl/(openssl.cnf|cert.pem|certs)\$|/etc/(localtime|nsswitch.conf|passwd)\$|/sys/devices/system/cpu/" \
  "$python" hello.py "$work"

# A hostile environment finds no other module. PYTHONPATH is Bazel's to set, so it is believed; so is PYTHONEXECUTABLE,
# which the launcher does not know.
hostile() {
  local clean dirty name
  mkdir -p "$work/evil/lib/python3.11"
  for name in site sitecustomize usercustomize zlib os; do echo 'raise SystemExit("evil " + __name__)' | tee "$work/evil/$name.py" >"$work/evil/lib/python3.11/$name.py"; done
  for name in libz.so.1 libssl.so.3 libsqlite3.so.0; do echo garbage >"$work/evil/$name"; done
  clean=$(cd "$work" && env -i LC_ALL=C.UTF-8 "$python" hello.py "$work") || return
  dirty=$(cd "$work" && env PYTHONHOME="$work/evil" PYTHONSTARTUP="$work/evil/site.py" PYTHONUSERBASE="$work/evil" LD_LIBRARY_PATH="$work/evil" \
    HOME="$work/evil" PYTHONPLATLIBDIR=evil PYTHONOPTIMIZE=2 LANG=de_DE.UTF-8 LC_ALL=C.UTF-8 PATH="$work/evil" "$python" hello.py "$work") || return
  [ "$clean" = "$dirty" ] || { echo "$clean"; echo "$dirty"; return 1; }
}
check "a hostile environment changes nothing" hostile

# Headers for modules in C, for a compiler that is told nothing but where they are.
headers() { [ -f "$(sed -n '/"include_dirs"/,/]/s/^ *"\(\/.*\)",\{0,1\}$/\1/p' "$work/manifest.json" | head -n 1)/Python.h" ]; }
check "the manifest names its headers" headers

loader=$(echo "$paths" | grep -e '-libc$')/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2
check "every program and library resolves inside the store" resolves_in_store "$tree"
check "the same trees and manifest in another namespace, umask and time zone" again
[ $failures = 0 ]

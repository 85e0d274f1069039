#!/usr/bin/env bash
# Real siso: a ninja build whose compilations run in the farm, again from its cache, and after a change.
. "$(dirname "$0")/client_session.sh"
need_clients siso
unset http_proxy https_proxy
mkdir -p "$farm_dir/project/build/config/siso" "$farm_dir/project/out"
cd "$farm_dir/project" || exit
cat >build/config/siso/main.star <<'END'
load("@builtin//encoding.star", "json")
load("@builtin//struct.star", "module")

def init(ctx):
    step_config = {
        "platforms": {"default": {"OSFamily": "linux"}},
        "input_deps": {},
        "rules": [{"name": "remote", "action": "(cc|text)", "remote": True}],
    }
    return module("config", step_config = json.encode(step_config), filegroups = {}, handlers = {})
END
for i in $(seq 20); do
  printf '#include "header.h"\nint f%d() { return VALUE + %d; }\n' "$i" "$i" >"f$i.cc"
done
echo '#define VALUE 1' >header.h
{
  printf 'rule cc\n  command = %s -O2 -c $in -o $out\n' "$(tool g++)"
  printf 'rule text\n  command = /bin/sh -c '\''cat $in > $out'\''\n'
  for i in $(seq 20); do echo "build f$i.o: cc ../f$i.cc | ../header.h"; done
  echo "build text.txt: text ../header.h"
} >out/build.ninja

build() {
  siso ninja -C out -project '' -reapi_address "$address" -reapi_instance main -reapi_insecure -remote_jobs 8 -cache_dir "$farm_dir/cache" \
    -strict_remote >"$farm_dir/log" 2>&1 || { cat "$farm_dir/log" >&2; fail "$1"; }
}
build "the first build"
expect_run 21 "the first build"
cmp header.h out/text.txt || fail "text.txt"
sha256sum out/*.o >"$farm_dir/sums"

# All that siso remembers is forgotten.
find out -mindepth 1 ! -name build.ninja -delete
build "the second build"
expect_run 0 "all from the cache"
sha256sum --quiet -c "$farm_dir/sums" || fail "other bytes from the cache"

echo '#define VALUE 2' >header.h
build "after a change"
expect_run 21 "after a change of a header"

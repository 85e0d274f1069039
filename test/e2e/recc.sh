#!/usr/bin/env bash
# Real recc: compiles and links a program through the farm, with the recc.conf that `lre generate` writes;
# again from the cache, and with the same bytes that the compiler makes here.
. "$(dirname "$0")/client_session.sh"
need_clients recc
cd "$farm_dir" || exit
mkdir -p project/recc cache
cd project || exit
printf '#include <iostream>\n#include "answer.h"\nint main() { std::cout << answer() << "\\n"; }\n' >main.cc
printf 'int answer();\n' >answer.h
printf '#include "answer.h"\nint answer() { return 42; }\n' >answer.cc
cp "$root/recc.conf" recc/recc.conf
cxx=$(tool g++)
export RECC_SERVER=http://$address RECC_CAS_SERVER=http://$address RECC_ACTION_CACHE_SERVER=http://$address
unset http_proxy https_proxy

compile() {
  rm -f ./*.o program
  for name in main answer; do "$@" "$cxx" -O2 -c $name.cc -o $name.o || fail "compiling $name.cc"; done
  "$@" "$cxx" main.o answer.o -o program || fail "linking"
}
RECC_LINK=1 compile recc
expect_run 3 "compiled and linked by recc"
[ "$(./program)" = 42 ] || fail "the program says '$(./program)'"
sha256sum ./*.o program >../sums

RECC_LINK=1 compile recc
expect_run 0 "again"
sha256sum --quiet -c ../sums || fail "other bytes from the cache"
compile env
sha256sum --quiet -c ../sums || fail "other bytes here than in the farm"

# Errors are the compiler's own, with its exit code.
echo 'int answer() { return no_such_name; }' >answer.cc
status=0
recc "$cxx" -O2 -c answer.cc -o answer.o 2>../errors || status=$?
[ $status = 1 ] || fail "a compile error ends with $status"
grep -q no_such_name ../errors || fail "the compiler's message is lost: $(cat ../errors)"
expect_run 1 "a compile error"

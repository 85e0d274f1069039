#!/bin/bash
# go_test.sh SYNC_PACKAGES SOURCE_DIR: makes lre-go from the repository's lock and tries it where nothing else is: the go
# command with its standard library, its tests, and C through the gcc path.
set -euo pipefail
sync_packages=$1 source=$2 toolchain=lre-go
# shellcheck source=test/toolchain/empty_root.sh
. "$(dirname "$0")/empty_root.sh"
root=$(tool root) gcc=$(tool gcc)
go=${root%/usr/lib/*}/usr/bin/go
bare+=(--setenv GOCACHE "$work/cache" --setenv GOFLAGS -trimpath)

for name in one another; do
  mkdir -p "$work/$name"
  (cd "$work/$name" && printf 'module example.com/hello\n\ngo 1.19\n' >go.mod && cat >hello.go <<'END'
package main

import (
	"fmt"
	"net"
	"net/http/httptest"
	"os/user"
)

func main() {
	defer func() { fmt.Println(recover()) }()
	httptest.NewRecorder()
	user.LookupId("4294967290")
	if net.ParseIP("1.2.3.4") != nil {
		panic("caught")
	}
}
END
  cat >hello_test.go <<'END'
package main

import "testing"

func TestMain_(t *testing.T) { main() }

func ExampleMain() {
	main()
	// Output: caught
}
END
  mkdir c && cat >c/c.go <<'END'
package main

// #include <math.h>
// #cgo LDFLAGS: -lm
import "C"
import "fmt"

func main() { fmt.Println(C.sqrt(16)) }
END
  )
done

in_one() { "${bare[@]}" --chdir "$work/one" "$@"; }
runs() { # expected options...
  local expected=$1
  shift
  rm -f "$work/program"
  in_one "$go" build -o "$work/program" "$@" && [ "$("${bare[@]}" "$work/program")" = "$expected" ]
}

with_c=("${bare[@]}")
bare+=(--setenv CGO_ENABLED 0)
check "a static program in an empty root" runs caught .
check "its tests" in_one "$go" test ./...
bare=("${with_c[@]}" --setenv CC "$gcc")
check "a program that looks up hosts and users in the store's libc" runs caught "-ldflags=-I $loader -r $libraries" .
check "a program with C" runs 4 "-ldflags=-extldflags '${in_store[*]}'" ./c

elsewhere() {
  in_one "$go" build -o "$work/first" . && "${bare[@]}" --chdir "$work/another" "$go" build -o "$work/second" . || return
  cmp "$work/first" "$work/second"
  if strings -a "$work/first" | grep -F -e "$work" -e "$store/"; then echo "the program says where it was made"; return 1; fi
}
check "the same bytes in another folder" elsewhere

opens() {
  cd "$work/one" || return
  # Asked for once by the run-time library of every Go program, and by the go command on its way up to go.mod.
  opens_only '/sys/kernel/mm/transparent_hugepage/hpage_pmd_size|/sys/devices/system/cpu/online|/etc/localtime|/tmp/go\.mod' \
    env -C "$work/one" HOME="$work" GOCACHE="$work/cache" GOENV=off GOFLAGS=-trimpath CGO_ENABLED=0 "$go" build -o "$work/traced" .
}
check "go opens and looks for nothing outside the store" opens

hostile() {
  evil_folder
  cd "$work/one" && env -i HOME="$work" GOCACHE="$work/clean-cache" CGO_ENABLED=0 "$go" build -o "$work/clean" .
  env GOROOT="$work/evil" GOROOT_FINAL=/evil LD_LIBRARY_PATH="$work/evil" PATH="$work/evil:$PATH" CPATH="$work/evil" \
    HOME="$work" GOCACHE="$work/dirty-cache" CGO_ENABLED=0 LANG=de_DE.UTF-8 "$go" build -o "$work/dirty" .
  cmp "$work/clean" "$work/dirty"
}
check "a hostile environment changes no byte" hostile
check "the same trees and manifest in another namespace, umask and time zone" again
[ $failures = 0 ]

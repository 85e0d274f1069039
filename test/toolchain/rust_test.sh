#!/bin/bash
# rust_test.sh SYNC_PACKAGES SOURCE_DIR: makes lre-rust from the repository's lock and tries it where nothing else is:
# rustc, which links by the gcc path, and cargo.
set -euo pipefail
sync_packages=$1 source=$2 toolchain=lre-rust
# shellcheck source=test/toolchain/empty_root.sh
. "$(dirname "$0")/empty_root.sh"
rustc=$(tool rustc)
cargo=$(echo "$paths" | grep -e '-cargo$')/usr/bin/cargo
linked=("-Clink-arg=-Wl,--dynamic-linker=$loader" "-Clink-arg=-Wl,-rpath,$libraries")

cat >"$work/hello.rs" <<'END'
fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    let thread = std::thread::spawn(|| panic!("caught"));
    println!("{}", thread.join().unwrap_err().downcast_ref::<&str>().unwrap());
}
END
mkdir -p "$work/project/"{src,macros/src}
cd "$work/project"
cat >Cargo.toml <<'END'
[package]
name = "project"
version = "0.1.0"
edition = "2021"

[dependencies]
macros = { path = "macros" }
END
cat >macros/Cargo.toml <<'END'
[package]
name = "macros"
version = "0.1.0"
edition = "2021"

[lib]
proc-macro = true
END
cat >macros/src/lib.rs <<'END'
#[proc_macro]
pub fn forty_two(_: proc_macro::TokenStream) -> proc_macro::TokenStream {
    "42".parse().unwrap()
}
END
echo 'fn main() { println!("{}", env!("FROM_SCRIPT")); assert_eq!(macros::forty_two!(), 42); }
#[test]
fn counts() { assert_eq!(macros::forty_two!(), 42); }' >src/main.rs
echo 'fn main() { println!("cargo:rustc-env=FROM_SCRIPT=scripted"); }' >build.rs
cd "$work"

runs() { # options...
  rm -f "$work/program"
  "${bare[@]}" "$rustc" hello.rs -o program "$@" && [ "$("${bare[@]}" "$work/program")" = caught ]
}
for options in "" -O "-O -Clto" -g "-O -Cpanic=unwind -Ccodegen-units=1"; do
  # shellcheck disable=SC2086
  check "a program in an empty root ${options:-plain}" runs $options "${linked[@]}"
done
check "a static program" runs -Ctarget-feature=+crt-static

# Programs of the build itself (macros, scripts) need the store's loader too.
built() {
  local flags="${linked[*]}"
  in_project=("${bare[@]}" --chdir "$work/project" --setenv CARGO_HOME "$work/cargo" --setenv RUSTC "$rustc"
    --setenv RUSTFLAGS "$flags")
  "${in_project[@]}" "$cargo" build --offline && "${in_project[@]}" "$cargo" test --offline &&
    [ "$("${bare[@]}" "$work/project/target/debug/project")" = scripted ]
}
check "cargo builds and tests, with a macro and a script" built

elsewhere() {
  local name
  for name in one another/place; do
    mkdir -p "$work/$name"
    cp "$work/hello.rs" "$work/$name"
    "${bare[@]}" --chdir "$work/$name" "$rustc" -g hello.rs -o hello "${linked[@]}" --remap-path-prefix="$work/$name=." || return
  done
  cmp "$work/one/hello" "$work/another/place/hello"
}
check "the same bytes in another folder" elsewhere

# What stands where GCC's own files stood cannot exist.
check "rustc and what links for it open and probe nothing outside the store" opens_only \
  "/lre\$|/lre/lib/gcc/.*|/sys/kernel/mm/transparent_hugepage/.*|/sys/fs/cgroup.*|/sys/devices/system/cpu.*" \
  "$rustc" -O hello.rs -o traced "${linked[@]}"

hostile() {
  evil_folder
  cd "$work"
  env -i "$rustc" -O hello.rs -o clean
  env CPATH="$work/evil" LIBRARY_PATH="$work/evil" COMPILER_PATH="$work/evil" LD_LIBRARY_PATH="$work/evil" \
    PATH="$work/evil:$PATH" LANG=de_DE.UTF-8 LC_ALL=de_DE.UTF-8 "$rustc" -O hello.rs -o dirty
  cmp clean dirty
}
check "a hostile environment changes no byte" hostile

mapfile -t own < <(grep -E -e '-(rust|cargo)$' <<<"$paths")
check "every program and library resolves inside the store" resolves_in_store "${own[@]}"
check "the same trees and manifest in another namespace, umask and time zone" again
[ $failures = 0 ]

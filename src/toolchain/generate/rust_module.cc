// The Rust part of the Bazel module: a toolchain, rules of our own and examples. rules_rust is in
// no archive that LRE takes packages from. Programs are linked as the C++ toolchain in use links
// its own.
#include "toolchain/generate/parts.h"

namespace lre::toolchain {
namespace {

std::string ConfigBuild(const GenerateInput& input) {
  return FileHead(*input.rust, "#", "Rust, registered.") + std::string(kPublicPackage) + "\n" +
         Registration({.name = "rust-toolchain",
                       .exec = LreOn(input.cpu),
                       .target = LinuxOn(input.cpu),
                       .label = "//generated-rust/rust:rust",
                       .type = "//generated-rust/rust:toolchain_type"});
}

std::string RustBuild(const GenerateInput& input) {
  const RustFacts& rust = *input.rust->rust;
  return FileHead(*input.rust, "#", "Rust, by its absolute path in the store.") +
         fmt::format(R"(
load(":rules.bzl", "lre_rust_toolchain")

package(default_visibility = ["//visibility:public"])

toolchain_type(name = "toolchain_type")

lre_rust_toolchain(
    name = "rust",
    rustc = {rustc},
    shell = {shell},
    target = {target},
    version = {version},
)
)",
                     fmt::arg("rustc", StarlarkString(rust.rustc)),
                     fmt::arg("shell", StarlarkString(rust.shell)),
                     fmt::arg("target", StarlarkString(rust.target)),
                     fmt::arg("version", StarlarkString(rust.version)));
}

// ---- examples: their bytes are inputs of actions, so only the BUILD file names the manifest ----

constexpr std::string_view kGreeting = R"EXAMPLE(//! What the example says.

use greeter::Greeter;
use std::ffi::CString;
use std::os::raw::{c_char, c_int};

extern "C" {
    fn examples_letters(text: *const c_char) -> c_int;
}

/// How many letters a text has: counted in C.
pub fn letters(text: &str) -> i32 {
    let text = CString::new(text).unwrap();
    unsafe { examples_letters(text.as_ptr()) }
}

/// Its greeting is written by a macro, which runs in the compiler.
#[derive(Greeter)]
pub struct LocalRemoteExecution;

pub fn text() -> String {
    format!("{} ({} letters)", LocalRemoteExecution.greeting(), letters("LocalRemoteExecution"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn counts_in_c() {
        assert_eq!(super::letters("a b c 1 2"), 3);
    }

    #[test]
    fn is_greeted_by_the_macro() {
        assert!(super::text().starts_with("Hello, LocalRemoteExecution!"));
    }

    #[test]
    #[should_panic]
    fn catches_panics() {
        super::letters("\0");
    }
}
)EXAMPLE";

constexpr std::string_view kGreeter = R"EXAMPLE(//! #[derive(Greeter)]

use proc_macro::{TokenStream, TokenTree};

#[proc_macro_derive(Greeter)]
pub fn greeter(input: TokenStream) -> TokenStream {
    let mut tokens = input.into_iter();
    tokens.find(|token| token.to_string() == "struct");
    let name = match tokens.next() {
        Some(TokenTree::Ident(name)) => name.to_string(),
        _ => panic!("only structs greet"),
    };
    let code = "impl NAME { pub fn greeting(&self) -> &'static str { \"Hello, NAME!\" } }";
    code.replace("NAME", &name).parse().unwrap()
}
)EXAMPLE";

constexpr std::string_view kHelloLre = R"EXAMPLE(//! Greets.

fn main() {
    println!("{}", greeting::text());
}
)EXAMPLE";

constexpr std::string_view kLetters = R"EXAMPLE(// Counts letters.
int examples_letters(const char* text) {
  int count = 0;
  for (; *text; ++text) count += (*text | 32) >= 'a' && (*text | 32) <= 'z';
  return count;
}
)EXAMPLE";

constexpr std::string_view kBuild = R"EXAMPLE(
load("@rules_cc//cc:cc_library.bzl", "cc_library")
load("//generated-rust/rust:rules.bzl", "lre_rust_binary", "lre_rust_library", "lre_rust_proc_macro", "lre_rust_test")

cc_library(
    name = "letters",
    srcs = ["letters.c"],
)

lre_rust_proc_macro(
    name = "greeter",
    srcs = ["greeter.rs"],
)

lre_rust_library(
    name = "greeting",
    srcs = ["greeting.rs"],
    proc_macro_deps = [":greeter"],
    deps = [":letters"],
)

lre_rust_binary(
    name = "hello_lre",
    srcs = ["hello_lre.rs"],
    visibility = ["//visibility:public"],
    deps = [":greeting"],
)

lre_rust_test(
    name = "greeting_test",
    size = "small",
    crate = ":greeting",
)
)EXAMPLE";

}  // namespace

std::vector<GeneratedFile> RustModule(const GenerateInput& input) {
  const std::string module = "local-remote-execution/", examples = module + "examples/rust/",
                    folder = module + "generated-rust/";
  return {
      {module + input.rust->name + ".json", PrintManifest(*input.rust)},
      {folder + "config/BUILD.bazel", ConfigBuild(input)},
      {folder + "rust/BUILD.bazel", RustBuild(input)},
      {folder + "rust/rules.bzl",
       FileHead(*input.rust, "#", "Rules for Rust.") + std::string(RustRulesText())},
      {examples + "BUILD.bazel",
       FileHead(*input.rust, "#", "Rust of the store, with a macro and a function in C.") +
           std::string(kBuild) + std::string(SaidExample())},
      {examples + "greeter.rs", std::string(kGreeter)},
      {examples + "greeting.rs", std::string(kGreeting)},
      {examples + "hello_lre.rs", std::string(kHelloLre)},
      {examples + "letters.c", std::string(kLetters)},
  };
}

}  // namespace lre::toolchain

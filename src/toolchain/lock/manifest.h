// The manifest of a toolchain, `toolchain.json`: the one thing every generated file derives from.
// `lre sync` writes it by probing the unpacked tree once; projects commit it, so generating needs
// no store, no container, no Bazel and no network. Plain values, no thread-safety of their own.
// Format: docs/formats/manifest.md.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace lre::toolchain {

// One immutable tree in the toolchain store.
struct StorePath {
  // "libc", "sysroot", "binutils", "gcc", "base", ... unique within a toolchain. Its path need not
  // end with it: a newer binutils is "...-binutils-next" and has role "binutils". Of another system
  // than the toolchain's own: with that system, "sysroot.aarch64".
  std::string role;
  std::string path;                     // "/lre/store/<hash>-gcc"
  std::string tree;                     // digest of its root REAPI Directory, "sha256:<hex>/<size>"
  uint64_t size_bytes = 0;              // sum of its file sizes
  std::vector<std::string> references;  // the store paths its bytes name, sorted, itself excluded
  std::vector<std::string> packages;    // "gcc-12=12.2.0-14+deb12u1", sorted
  friend bool operator==(const StorePath&, const StorePath&) = default;
};

// A C++ library other than the one that `CcFacts::link_libs` names, to be had beside it.
struct LibcxxFacts {
  std::vector<std::string> compile_flags;  // of C++, before all other directories
  std::vector<std::string> link_libs;      // its archives, so that programs need none of it to run
  friend bool operator==(const LibcxxFacts&, const LibcxxFacts&) = default;
};

// What a C and C++ compiler was found to be and to need.
struct CcFacts {
  std::string compiler;  // "gcc" or "clang"; the tool of this name compiles and links
  std::string version;   // "12.2.0"
  std::string target;    // "x86_64-linux-gnu"
  std::string libc;      // "glibc_2.36"
  std::string sysroot;   // store path passed as --sysroot
  std::map<std::string, std::string>
      tools;  // "gcc", "g++", "ld", "ar", "nm", "objcopy", "gcov", ... -> absolute path
  std::vector<std::string> builtin_includes;  // absolute, normalised, in search order
  std::vector<std::string> compile_flags, cxx_flags, link_flags, link_libs;
  std::string loader;                      // absolute path of ld-linux inside the libc store path
  std::vector<std::string> library_paths;  // run-time library directories inside the store
  std::optional<LibcxxFacts> libcxx;
  friend bool operator==(const CcFacts&, const CcFacts&) = default;
};

struct JavaFacts {
  std::string home;     // absolute java_home
  int major = 0;        // 17
  std::string version;  // "17.0.13"
  // Bazel's Java tools: "GenClass", "Runner", "Jacoco" (.jar), "ijar", "singlejar",
  // "sh", "cp" -> absolute path; "JavaBuilder", "Turbine" -> a class path; "repository" -> a folder
  // that takes the place of Bazel's @remote_java_tools, where there is one. Empty: the toolchain
  // has none.
  std::map<std::string, std::string> tools;
  friend bool operator==(const JavaFacts&, const JavaFacts&) = default;
};

struct PythonFacts {
  std::string interpreter;                // absolute path: a launcher
  std::string version;                    // "3.11.2"
  std::vector<std::string> include_dirs;  // of the headers for extension modules
  friend bool operator==(const PythonFacts&, const PythonFacts&) = default;
};

struct GoFacts {
  std::string go;                // absolute path of the command: a launcher
  std::string root;              // absolute GOROOT
  std::string version;           // "1.19.8"
  std::string os, architecture;  // GOOS and GOARCH: "linux", "amd64"
  // Folder of the compiled standard library; empty where Go brings none (1.20 and newer), which the
  // rules for Bazel need.
  std::string packages;
  friend bool operator==(const GoFacts&, const GoFacts&) = default;
};

struct RustFacts {
  std::string rustc;    // absolute path: a launcher
  std::string version;  // "1.63.0"
  std::string target;   // "x86_64-unknown-linux-gnu"
  std::string shell;    // absolute path of the shell that starts rustc in actions; empty: none
  friend bool operator==(const RustFacts&, const RustFacts&) = default;
};

struct Manifest {
  static constexpr int kSchema = 2;  // see ManifestSchema
  std::string name;                  // "lre-cc"
  std::string system;                // "x86_64-linux"
  std::string prefix = "/lre/store";
  std::string lock;              // digest of the lock text, "sha256:<hex>"
  std::string recipe;            // "debian/1": version of the rules that turn packages into trees
  std::vector<StorePath> paths;  // the whole closure, references before referrers
  std::map<std::string, std::string> env;  // what `lre env` prints: PATH, CC, CXX, ...
  std::optional<CcFacts> cc;
  std::optional<JavaFacts> java;
  std::optional<PythonFacts> python;
  std::optional<GoFacts> go;
  std::optional<RustFacts> rust;
  std::string extends;  // the toolchain it was made from, "lre-cc"; empty: none
  std::string target;   // the system it builds for, "aarch64-linux"; empty: `system`
  std::map<std::string, std::string> tools;  // programs offered by name -> absolute path
  // Bazel labels of constraint values, further to those of every toolchain.
  std::vector<std::string> exec_compatible_with, target_compatible_with;
  // The store path with this role; nullptr when the toolchain has none.
  const StorePath* Find(std::string_view role) const;
  // The same; of a toolchain that builds for another system that of the other, if it has both.
  const StorePath* FindForTarget(std::string_view role) const;
  const std::string& Target() const { return target.empty() ? system : target; }
  friend bool operator==(const Manifest&, const Manifest&) = default;
};

// The least schema that can say what is in it: 2 when it extends another, offers tools, has Go or
// Rust, or asks for constraints. So other manifests keep their bytes, and an older lre reads them.
int ManifestSchema(const Manifest& manifest);
// Canonical JSON: sorted keys, two-space indent, final newline; the same manifest gives the same
// bytes.
std::string PrintManifest(const Manifest& manifest);
// Reads schemas 1 and 2. kInvalidArgument names the key that is missing, unknown or of the wrong
// type; a newer schema says so.
Result<Manifest> ParseManifest(std::string_view json);

}  // namespace lre::toolchain

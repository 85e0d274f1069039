// The lock, `lre.lock`: what was resolved. Exact packages with hashes, and which store path each
// goes into. Written by `lre lock`, read by `lre sync`, committed in git: deterministic text (TOML,
// sorted, one package per block so that git merges it), the same request and indices give the same
// bytes. Plain values, no thread-safety of their own. Format: docs/formats/lock.md.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace lre::toolchain {

struct LockedPackage {
  // "gcc-12"; with its suite, "libc6@trixie", when it is for a store path with archives of its own.
  std::string name;
  std::string version;       // "12.2.0-14+deb12u1"
  std::string architecture;  // "amd64" or "all"
  std::string sha256;        // lower-case hex of the .deb
  uint64_t size_bytes = 0;   // of the .deb
  std::string path;          // below the archive's root: "pool/main/g/gcc-12/....deb"
  std::string suite;         // "bookworm": where it was found
  std::vector<std::string>
      depends;  // names of the locked packages it depends on, sorted: the closure's edges
  friend bool operator==(const LockedPackage&, const LockedPackage&) = default;
};

// One store path to be: a set of packages unpacked into one tree.
// The packages of a path are the dependency closure of what lre.toml asks for, without those that a
// referenced path (transitively) already holds.
struct LockedPath {
  std::string role;                     // "gcc"
  std::vector<std::string> packages;    // keys of Lock::packages, sorted
  std::vector<std::string> references;  // roles, sorted; never a cycle
  friend bool operator==(const LockedPath&, const LockedPath&) = default;
};

struct Lock {
  static constexpr int kSchema = 1;
  std::string system = "x86_64-linux";
  std::string distribution = "debian";                         // whose archive and keyring
  std::map<std::string, LockedPackage> packages;               // by name
  std::map<std::string, LockedPath> paths;                     // by role
  std::map<std::string, std::vector<std::string>> toolchains;  // "lre-cc" -> roles, sorted
  friend bool operator==(const Lock&, const Lock&) = default;
};

std::string PrintLock(const Lock& lock);
// kInvalidArgument with line and key: what is missing, unknown, duplicated, of the wrong type, a
// role or package that is named but not there, a reference cycle.
Result<Lock> ParseLock(std::string_view text);
// Roles that `toolchain` needs, references before referrers.
Result<std::vector<std::string>> OrderedRoles(const Lock& lock, std::string_view toolchain);

}  // namespace lre::toolchain

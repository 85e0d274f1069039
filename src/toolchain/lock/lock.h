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
#include "toolchain/spec/spec.h"

namespace lre::toolchain {

struct LockedPackage {
  // "gcc-12"; with its suite, "libc6@trixie", when it is for a store path with archives of its own;
  // "libc6:arm64", when it is for one of another system than the lock's.
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
  // As in StoreSpec: a path has a name in the lock, the key of Lock::paths; a role in toolchains;
  // and a label, with which its path in the store ends (empty: the name).
  std::string role;                     // "gcc"
  std::vector<std::string> packages;    // keys of Lock::packages, sorted
  std::vector<std::string> references;  // names, sorted; never a cycle
  std::string label;
  std::vector<Extra> extras;      // by name, each with its hash
  std::vector<std::string> drop;  // sorted
  std::string system;             // empty: that of the lock
  friend bool operator==(const LockedPath&, const LockedPath&) = default;
};

struct LockedToolchain {
  std::vector<std::string> paths;  // names, sorted
  ToolchainSettings settings;
  friend bool operator==(const LockedToolchain&, const LockedToolchain&) = default;
};

struct Lock {
  static constexpr int kSchema = 3;  // see LockSchema
  std::string system = "x86_64-linux";
  std::string distribution = "debian";                // whose archive and keyring
  std::map<std::string, LockedPackage> packages;      // by name
  std::map<std::string, LockedPath> paths;            // by name
  std::map<std::string, LockedToolchain> toolchains;  // by name
  friend bool operator==(const Lock&, const Lock&) = default;
};

// The least schema that can say what is in the lock: 2 when something has a role, label or extra of
// its own or a toolchain has settings. So a lock without keeps its bytes, and an older lre reads
// it.
int LockSchema(const Lock& lock);
std::string PrintLock(const Lock& lock);
// Reads schemas 1 to 3. kInvalidArgument with line and key: what is missing, unknown, duplicated,
// of the wrong type, a role or package that is named but not there, a reference cycle; marks of a
// merge, with how to end it. `file` is only for messages.
Result<Lock> ParseLock(std::string_view text, std::string_view file = "lre.lock");
// Where the toolchain runs, and what it builds for. REQUIRES: it is in the lock.
const std::string& SystemOf(const Lock& lock, const std::string& toolchain);
const std::string& TargetOf(const Lock& lock, const std::string& toolchain);
// Names of the toolchains that run on `system` and build for it, sorted.
std::vector<std::string> ToolchainsOf(const Lock& lock, std::string_view system);
// A locked package's name as in its archive, with the suite: "libc6@trixie" of
// "libc6:arm64@trixie".
std::string WithoutArchitecture(std::string_view name);
// Names of the paths that `toolchain` needs, references before referrers. kInvalidArgument: two of
// them have one role and one system.
Result<std::vector<std::string>> OrderedPaths(const Lock& lock, std::string_view toolchain);
// What of the lock `toolchain` is made of: a lock with it alone. What changes elsewhere in a lock
// does not change this.
Result<Lock> LockOf(const Lock& lock, std::string_view toolchain);
// "sha256:<hex>" of the text of LockOf: what manifests name.
Result<std::string> LockDigest(const Lock& lock, std::string_view toolchain);

}  // namespace lre::toolchain

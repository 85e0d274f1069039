// The request, `lre.toml`: which archives, which packages go into which store path, which store
// paths make a toolchain. Written by people, read by `lre lock`; what it resolves to is the lock
// (toolchain/lock/lock.h). Plain values, no thread-safety of their own.
// Format: docs/formats/lock.md.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace lre::toolchain {

// One Debian archive: "[archive.debian]".
struct ArchiveSpec {
  std::string name;                     // "debian"
  std::string distribution;             // whose archive it is; empty: that of its name
  std::vector<std::string> suites;      // earlier ones are preferred (see Spec::prefer)
  std::vector<std::string> components;  // default: main
  // Roots that hold dists/ and pool/. Empty: those of the machine's own apt configuration.
  std::vector<std::string> mirrors;
  // Roots that keep old versions: tried for packages that the mirrors no longer have.
  std::vector<std::string> snapshots;
  // File of the keys that sign it. Empty: /usr/share/keyrings/<distribution>-archive-keyring.gpg.
  std::string keyring;
  const std::string& Distribution() const { return distribution.empty() ? name : distribution; }
  friend bool operator==(const ArchiveSpec&, const ArchiveSpec&) = default;
};

// One store path to be: "[store.gcc]".
struct StoreSpec {
  std::string role;
  std::vector<std::string> packages;    // what is asked for, in the order of the file
  std::vector<std::string> references;  // roles whose packages this one uses and does not repeat
  // Sorted names of the archives it takes packages from. Empty: those that no store path names.
  std::vector<std::string> archives;
  friend bool operator==(const StoreSpec&, const StoreSpec&) = default;
};

// "[toolchain.lre-cc]".
struct ToolchainSpec {
  std::string name;
  std::vector<std::string> paths;  // roles
  friend bool operator==(const ToolchainSpec&, const ToolchainSpec&) = default;
};

enum class Preference {
  kFirstSuite,     // "first-suite": the version of the first suite that has the package
  kNewestVersion,  // "newest-version": the highest version of all suites
};

struct Spec {
  static constexpr int kSchema = 1;
  std::vector<ArchiveSpec> archives;  // in the order of the file: earlier ones are preferred
  Preference prefer = Preference::kFirstSuite;
  // Packages that never go into a store path, nor what only they need: dependencies of maintainer
  // scripts, which are never run.
  std::vector<std::string> ignore;
  std::map<std::string, StoreSpec> store;           // by role
  std::map<std::string, ToolchainSpec> toolchains;  // by name
  friend bool operator==(const Spec&, const Spec&) = default;
};

// The archives of `store`, in the order of the file. An archive that some store path names serves
// only those that name it, so that its newer packages reach nothing else.
std::vector<const ArchiveSpec*> ArchivesOf(const Spec& spec, const StoreSpec& store);

// kInvalidArgument with file, line and key: not TOML; unknown key (with the nearest known one),
// wrong type, missing; a role that is not there; a reference cycle; a suite in two archives; a name
// that is not a package's, role's or toolchain's. `file` is only for messages.
Result<Spec> ParseSpec(std::string_view text, std::string_view file = "lre.toml");

// What a parsed request means, for people: several lines.
std::string ExplainSpec(const Spec& spec);

// Checks shared with the lock. A role or toolchain: [a-z0-9][a-z0-9.-]*, at most 64 characters.
bool IsRoleName(std::string_view name);
// As Debian policy 5.6.7 has it: [a-z0-9][a-z0-9+.-]+, at most 128 characters.
bool IsPackageName(std::string_view name);
// A suite or component, "bookworm-security", "stable/updates": [A-Za-z0-9._/-]+ without "..".
bool IsArchiveWord(std::string_view word);
inline constexpr size_t kRolesMax = 1024;  // in one request or lock
// Roles that `roles` need, with themselves, references before referrers, otherwise by name.
// kInvalidArgument: an unknown role, a cycle (spelled out: "a -> b -> a"), more than kRolesMax.
Result<std::vector<std::string>> OrderRoles(
    const std::map<std::string, std::vector<std::string>>& references,
    const std::vector<std::string>& roles);

}  // namespace lre::toolchain

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

class TomlTable;

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
  // Relative: below the folder of the request (ArchiveSpec does not know it: see AtFolder).
  std::string keyring;
  const std::string& Distribution() const { return distribution.empty() ? name : distribution; }
  friend bool operator==(const ArchiveSpec&, const ArchiveSpec&) = default;
};

enum class ExtraKind {
  kDeb,    // the files of a package that is in no archive; its dependencies are not looked at
  kTar,    // those of a tar archive, in `into`, without their first `strip` folders
  kFile,   // one file, at `into`
  kPatch,  // a unified diff of the path's text files, applied to all that was there before it
  kOci,    // the files of a container image, or those that `include` chooses, as of a tar
  kNix,    // links to a Nix store path, which stays where it is with all that it references
};

// What a store path holds besides packages of archives: "[store.gcc.add.fix]".
struct Extra {
  std::string name;
  ExtraKind kind = ExtraKind::kFile;
  std::string from;  // a path below the folder of lre.toml, or a URL; kOci: see oci/image.h
  // Lower-case hex; of a kOci the manifest's or index's, of a kNix the closure's. Empty only in a
  // request: `lre lock` finds it.
  std::string sha256;
  std::string into;  // relative, without ".."
  int strip = 0;
  bool executable = false;           // kFile
  std::vector<std::string> include;  // kOci: patterns of files or folders; empty: all
  std::string system;                // kOci, while it is fetched and unpacked: which image is meant
  std::string store_path;            // kNix: "/nix/store/<hash>-hello"
  std::vector<std::string> keys;     // kNix, in a request: who may have signed it
  std::vector<std::string> closure;  // kNix, in a lock: ParseNixPath (nix/binary_cache.h) reads it
  friend bool operator==(const Extra&, const Extra&) = default;
};
bool IsUrl(std::string_view from);
inline constexpr ExtraKind kExtraKinds[] = {ExtraKind::kDeb,   ExtraKind::kTar, ExtraKind::kFile,
                                            ExtraKind::kPatch, ExtraKind::kOci, ExtraKind::kNix};
// "deb", "tar", "file", "patch", "oci", "nix".
std::string_view ExtraKindName(ExtraKind kind);

// One store path to be: "[store.gcc]".
struct StoreSpec {
  std::string name;  // in the request and the lock: unique
  // What it is to the rules and to the toolchain: "libc", "sysroot", "binutils", "gcc", "base" are
  // known ones. A toolchain has each once. Usually the name.
  std::string role;
  std::string label;  // the last part of its path, "/lre/store/<hash>-<label>". Usually the name.
  std::vector<std::string> packages;    // what is asked for, in the order of the file
  std::vector<std::string> references;  // names of those whose packages this one uses, not repeats
  // Sorted names of the archives it takes packages from. Empty: those that no store path names.
  std::vector<std::string> archives;
  std::vector<Extra> extras;      // by name
  std::vector<std::string> drop;  // patterns of files left out: '*' any but '/', '**' any
  std::string system;             // whose programs it holds; empty: that of the lock
  friend bool operator==(const StoreSpec&, const StoreSpec&) = default;
};

// What a toolchain says of itself beyond what it holds. In flags and the environment "{role}"
// stands for the path with that role.
struct ToolchainSettings {
  std::string extends;                 // the toolchain it was made from; empty: none
  std::string system;                  // where it runs; empty: on that of the lock
  std::string target;                  // what it builds for; empty: for where it runs
  std::vector<std::string> libraries;  // roles whose headers and libraries the compiler finds
  std::vector<std::string> tools;      // programs that are offered by name: "protoc"
  std::vector<std::string> compile_flags, cxx_flags, link_flags, link_libs;
  std::map<std::string, std::string> env;
  // Bazel labels of constraint values, further to those that every toolchain of LRE has.
  std::vector<std::string> exec_compatible_with, target_compatible_with;
  friend bool operator==(const ToolchainSettings&, const ToolchainSettings&) = default;
};

// "[toolchain.lre-cc]".
struct ToolchainSpec {
  std::string name;
  std::vector<std::string> paths;  // names of store paths
  ToolchainSettings settings;
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
  // By name; what is extended is written out, and a path that some toolchain needs with another
  // reference is there once more, as "gcc.my-cc", or for another system, as "gcc.aarch64" (see
  // extend.h).
  std::map<std::string, StoreSpec> store;
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

// The request as read from `folder`: relative keyrings become paths there.
Spec AtFolder(Spec spec, const std::string& folder);

// What a parsed request means, for people: several lines.
std::string ExplainSpec(const Spec& spec);

// "x86_64-linux" or "aarch64-linux".
bool IsSystem(std::string_view system);
// "aarch64" of "aarch64-linux", as part of a name: "libc.aarch64".
std::string SystemSuffix(std::string_view system);

// Checks shared with the lock. A role or toolchain: [a-z0-9][a-z0-9.-]*, at most 64 characters.
bool IsRoleName(std::string_view name);
// As Debian policy 5.6.7 has it: [a-z0-9][a-z0-9+.-]+, at most 128 characters.
bool IsPackageName(std::string_view name);
// A suite or component, "bookworm-security", "stable/updates": [A-Za-z0-9._/-]+ without "..".
bool IsArchiveWord(std::string_view word);
inline constexpr size_t kRolesMax = 1024;  // in one request or lock
// The settings of a toolchain, in a request or a lock (the keys of its table).
Result<ToolchainSettings> ParseSettings(TomlTable& table);
// "[store.x.add.y]" of a request.
Result<Extra> ParseExtra(const std::string& name, TomlTable& table);
// "into", "strip", "executable" and "include" of an extra, in a request or a lock, into *extra,
// whose kind is known and whose strip is what it is when nothing is said.
Status ParsePlace(TomlTable& table, Extra* extra);
inline constexpr int kStripMax = 16;
// Lower-case hex of 32 bytes.
bool IsSha256(std::string_view hex);
// A path that stays below the folder it is taken in: relative, no empty, "." or ".." component.
bool IsBelow(std::string_view path);
// A string of a TOML file.
std::string TomlQuote(std::string_view text);
// Roles that `roles` need, with themselves, references before referrers, otherwise by name.
// kInvalidArgument: an unknown role, a cycle (spelled out: "a -> b -> a"), more than kRolesMax.
Result<std::vector<std::string>> OrderRoles(
    const std::map<std::string, std::vector<std::string>>& references,
    const std::vector<std::string>& roles);

}  // namespace lre::toolchain

// Solving: from a request and the archives' indices to exact packages. Pure: no network, no disk,
// no clock; the same arguments give the same lock. One solve over the union of all roles that take
// their packages from the same archives, so that all toolchains of one lock share every version;
// what comes from other archives is locked under another name, "libc6@trixie". Thread-safe (each
// call has its own libsolv pools).
//
// A package of a role is what the role asks for, and what that depends on ("Depends" and
// "Pre-Depends", never "Recommends"), without ignored packages and without what a referenced role
// holds.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "toolchain/lock/lock.h"
#include "toolchain/spec/spec.h"

namespace lre::toolchain {

// The Packages files of one suite for one system, concatenated. Earlier indices are preferred.
struct SuiteIndex {
  std::string suite;
  std::string packages;
  std::string system;  // empty: SolveOptions::system
};

struct SolveOptions {
  std::string system = "x86_64-linux";
  // With a lock: packages in it keep their versions while the indices have them; only `update` and
  // what is new is chosen afresh.
  const Lock* previous = nullptr;
  std::vector<std::string> update;
};

// kInvalidArgument: an unknown system, or a name in `update` that is not in the lock; kNotFound: a
// package that no suite has (with the nearest name); kFailedPrecondition: the requests contradict
// each other (with libsolv's reasons).
Result<Lock> Solve(const Spec& spec, const std::vector<SuiteIndex>& indices,
                   const SolveOptions& options);

// Those that paths of the request are for, `system` first.
std::vector<std::string> SystemsOf(const Spec& spec, const std::string& system);

// "amd64" of "x86_64-linux", "arm64" of "aarch64-linux"; kInvalidArgument for others.
Result<std::string> DebianArchitecture(std::string_view system);

// Where a lock is not an answer to the request: roles, references, toolchains or packages that the
// request names and the lock does not have so, or the reverse. One line each; empty: it fits.
// Whether the dependencies are complete only a solve tells. For `lre check` and `lre doctor`.
std::vector<std::string> Disagreements(const Spec& spec, const Lock& lock);

// What changed between two locks, in the order of names.
struct LockChange {
  std::string package;
  std::string before;  // version, empty: added
  std::string after;   // version, empty: removed
  std::string suite;   // where the new version was found: "bookworm-security" tells a security fix
  friend bool operator==(const LockChange&, const LockChange&) = default;
};
std::vector<LockChange> CompareLocks(const Lock& before, const Lock& after);

}  // namespace lre::toolchain

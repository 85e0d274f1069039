// From what lre.toml says by inheritance to what it means without: a path or toolchain that extends
// another holds all of it. Plain values, pure functions, thread-safe.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "toolchain/spec/spec.h"

namespace lre::toolchain {

// A table as it stands in the file.
struct WrittenStore {
  StoreSpec spec;  // role empty: that of what it extends, else its name
  std::string extends;
  std::vector<std::string> remove;  // packages, or names of extras, of what it extends
  bool has_references = false, has_archives = false;
};
struct WrittenToolchain {
  ToolchainSpec spec;
  std::vector<std::string> remove;  // roles of what it extends
};

// Writes out what is extended. kInvalidArgument names what is not there, removed in vain or in a
// circle.
Result<std::map<std::string, StoreSpec>> ExtendStores(
    const std::map<std::string, WrittenStore>& written);

// A toolchain for another system has each path once more, named "<name>.aarch64"; one that builds
// for another system has what programs are linked with of that one: libc, sysroot, libcxx and its
// libraries.
//
// Writes out toolchains into `spec` (whose `store` is complete). A path that a toolchain adds takes
// the place of one with the same role. What references that one, directly or not, is then made
// against the new one: `spec.store` gets a path of its own for it, named "<name>.<toolchain>", with
// the role and the label of the first. Toolchains for which this gives the same path share it.
// kInvalidArgument: no such path or toolchain, a role twice, a role that is not there in `remove`,
// `libraries` or a "{role}", circles.
Status ExtendToolchains(const std::map<std::string, WrittenToolchain>& written, Spec* spec);

}  // namespace lre::toolchain

// What `lre doctor` finds out about this machine beyond the project: what of the host could get
// into builds, which Bazel there is, and whether a server has what the project's manifests name.
// Blocking; runs compilers and Bazel to ask them, writes nothing. For the main thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/project_checks.h"
#include "cli/remote_server.h"
#include "toolchain/lock/manifest.h"

namespace lre::cli {

// The manifests of the project in this folder, or of the module that it imports; empty: none.
std::vector<toolchain::Manifest> ProjectManifests();

// Specs files below `root`/usr/lib/gcc and `root`/usr/local/lib/gcc: they change what GCC of the
// host does, and no key says so.
Finding CheckHostSpecs(const std::string& root = "");
// What "-v" said of a compiler that is not below `prefix`: specs files, folders of headers.
std::vector<std::string> FindLeaks(std::string_view verbose, const std::string& prefix);
// Asks every compiler that is here, with the variables of this process. Clang is looked into for
// the files by which it knows distributions.
std::vector<Finding> CheckCompilers(const std::vector<toolchain::Manifest>& manifests);

// By `bazel --version`; bazelisk is not asked, because it may download.
Finding CheckBazelVersion();
// Of "bazel 7.7.1": verdict and fix.
Finding JudgeBazelVersion(const std::string& said);

// Whether the server answers, and has the store paths of these manifests with the same bytes.
// `asked_for`: whether the user named the server, who then expects one.
std::vector<Finding> CheckServer(const ServerFlags& server, bool asked_for,
                                 const std::vector<toolchain::Manifest>& manifests);

}  // namespace lre::cli

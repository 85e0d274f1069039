// What `lre check` and `lre doctor` find out about the project in the current folder: whether
// request, lock, manifests, generated files, MODULE.bazel and .bazelrc say the same. A project
// without a lock is compared with that of the module that it imports. Reads files and records
// only: no network, no Bazel, and a store only if there is one. Not thread-safe: prints.
#pragma once

#include <string>
#include <vector>

namespace lre::cli {

enum class Verdict { kGood, kWarning, kBad };

struct Finding {
  std::string check;  // a name that scripts may rely on
  Verdict verdict = Verdict::kGood;
  std::string what;
  std::string fix;  // empty when good
};

struct ProjectCheckOptions {
  bool with_store = true;  // whether the store paths have to be on this machine
  bool required = false;   // whether it is bad that there is nothing to compare in this folder
};
std::vector<Finding> CheckProject(const ProjectCheckOptions& options = {});

// One line each, with the fix below; or JSON. Says whether anything is bad.
bool PrintFindings(const std::vector<Finding>& findings, bool json);

}  // namespace lre::cli

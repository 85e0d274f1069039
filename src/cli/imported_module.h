// The module local-remote-execution as a project imports it: by git_override from a repository, by
// archive_override from an archive of one, or by local_path_override from the folder of another
// project, that carries the lock, so that the project needs none. Reads MODULE.bazel as far as that
// takes: calls with literal strings. Blocking; not for several threads.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace lre::cli {

// A call at the top level of a MODULE.bazel: its name and its arguments of the forms name = "text"
// and name = ["text", ...].
struct StarlarkCall {
  std::string function;
  std::map<std::string, std::string> arguments;
  std::map<std::string, std::vector<std::string>> lists;
};
// Every call in the text. What is no literal string is left out; damaged text ends the list.
std::vector<StarlarkCall> FindStarlarkCalls(std::string_view text);

struct ImportedModule {
  std::string folder;  // holds toolchain.json
  std::string lock;    // the lock file in it or above it
  std::string from;    // for people: "<remote> at <commit>", "<url>", "../project"
};

// What the MODULE.bazel of this folder imports; nullopt when there is none, or no such override of
// the module in it, or one of a folder without a lock. The repository is kept in `cache`/modules by
// its commit, the archive's files by its integrity; with `may_download` it is fetched, a repository
// by git(1). kFailedPrecondition: an override without a commit or an integrity; a module without a
// lock; kNotFound, with what to run: not fetched yet; kDataLoss: an archive with another hash.
Result<std::optional<ImportedModule>> FindImportedModule(const std::string& cache,
                                                         bool may_download);

}  // namespace lre::cli

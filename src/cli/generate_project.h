// What `lre generate` writes, for the other commands that write it too. Reads files; not
// thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "cli/toolchain_files.h"
#include "toolchain/generate/generate.h"

namespace lre::cli {

struct GenerateFlags {
  std::string manifest = kManifestFile;
  std::vector<std::string> further;  // empty: all beside the default manifest
  bool with_all_beside = false;      // also beside another
  std::string output = ".";
  bool without_environment = false;
  std::optional<std::string> prefix;  // nullopt: that of the lre.bazelrc that is there
  bool check = false;
};

// The name of the --config for the flags of an lre.bazelrc; empty: they always hold.
std::string BazelrcPrefixOf(std::string_view bazelrc);

// Without the files that IsOfTheProject.
Result<std::vector<toolchain::GeneratedFile>> GenerateProject(const GenerateFlags& flags);
// Whether `path`, below `output`, is there and was written by someone else. Only of .envrc and
// recc.conf, names that a project may have had before; the others are LRE's own.
bool IsOfTheProject(const std::string& output, const std::string& path);
// The module is made around a compiler, that of the first toolchain. kFailedPrecondition, with what
// to do: it has none.
Status CheckFirstToolchain(const toolchain::Manifest& manifest);

// The manifest `given`; when that is the usual one and not there, that of the module that the
// project imports. Downloads nothing; kNotFound: that module is not here yet.
Result<std::string> ManifestForEnv(const std::string& given);
// kNotFound with what to run: a path of `manifest` is not in the store. Looks at names only: direnv
// asks at every prompt.
Status CheckPathsAreHere(const toolchain::Manifest& manifest);

}  // namespace lre::cli

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

Result<std::vector<toolchain::GeneratedFile>> GenerateProject(const GenerateFlags& flags);

}  // namespace lre::cli

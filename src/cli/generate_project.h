// What `lre generate` writes, for the other commands that write it too. Reads files; not
// thread-safe.
#pragma once

#include <string>
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
  std::string prefix;
  bool check = false;
};

Result<std::vector<toolchain::GeneratedFile>> GenerateProject(const GenerateFlags& flags);

}  // namespace lre::cli

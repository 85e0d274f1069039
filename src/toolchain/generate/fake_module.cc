#include "toolchain/generate/fake_module.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/source_path.h"

namespace lre::toolchain {

std::map<std::string, std::string> GenerateMap(const Manifest& manifest,
                                               const GenerateOptions& options) {
  auto files = Generate(manifest, options);
  EXPECT_TRUE(files) << files.error().ToString();
  std::map<std::string, std::string> by_path;
  if (!files) return by_path;
  for (GeneratedFile& file : *files) by_path[file.path] = std::move(file.text);
  return by_path;
}

Manifest Committed(const std::string& name) {
  const auto text = ReadFile(SourcePath("local-remote-execution/" + name + ".json"));
  EXPECT_TRUE(text) << name;
  return ParseManifest(text.value_or("")).value_or(Manifest());
}

std::map<std::string, std::string> CommittedModule(const GenerateOptions& options) {
  return GenerateMap(Committed("toolchain"), options);
}

}  // namespace lre::toolchain

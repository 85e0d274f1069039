#include "toolchain/root/settings.h"

#include "base/file.h"

namespace lre::toolchain {
namespace {

// "{zlib}/usr/include" -> "/lre/store/<hash>-zlib/usr/include".
std::string Expanded(const std::string& text, const Manifest& manifest) {
  std::string expanded;
  for (size_t at = 0; at < text.size();) {
    const size_t open = text.find('{', at);
    const size_t close = open == text.npos ? open : text.find('}', open);
    const StorePath* path = close == text.npos
                                ? nullptr
                                : manifest.FindForTarget(text.substr(open + 1, close - open - 1));
    if (path == nullptr) return expanded + text.substr(at);
    expanded += text.substr(at, open - at) + path->path;
    at = close + 1;
  }
  return expanded;
}

void AddFlags(const std::vector<std::string>& from, const Manifest& manifest,
              std::vector<std::string>* to) {
  for (const std::string& flag : from) to->push_back(Expanded(flag, manifest));
}

}  // namespace

void AddLibraries(const std::vector<std::string>& roles, const ProbeInput& input,
                  Manifest* manifest) {
  CcFacts& cc = *manifest->cc;
  for (const std::string& role : roles) {
    const StorePath* path = manifest->FindForTarget(role);
    if (path == nullptr) continue;
    for (const std::string& below :
         {std::string("/usr/include/") + input.target.triplet, std::string("/usr/include")}) {
      const std::string directory = path->path + below;
      if (!FileExists(directory)) continue;
      cc.compile_flags.push_back("-isystem");
      cc.compile_flags.push_back(directory);
      cc.builtin_includes.push_back(directory);
    }
    for (const std::string& below :
         {std::string("/usr/lib/") + input.target.triplet, std::string("/usr/lib")}) {
      const std::string directory = path->path + below;
      if (!FileExists(directory)) continue;
      cc.link_flags.push_back("-L" + directory);
      bool shared = false;
      for (const std::string& name :
           SystemFiles().List(directory).value_or(std::vector<std::string>())) {
        shared = shared || name.find(".so") != name.npos;
      }
      if (shared) cc.library_paths.push_back(directory);
    }
  }
}

Status AddSettings(const ToolchainSettings& settings, Manifest* manifest) {
  manifest->extends = settings.extends;
  manifest->exec_compatible_with = settings.exec_compatible_with;
  manifest->target_compatible_with = settings.target_compatible_with;
  if (manifest->cc) {
    CcFacts& cc = *manifest->cc;
    AddFlags(settings.compile_flags, *manifest, &cc.compile_flags);
    AddFlags(settings.cxx_flags, *manifest, &cc.cxx_flags);
    AddFlags(settings.link_flags, *manifest, &cc.link_flags);
    AddFlags(settings.link_libs, *manifest, &cc.link_libs);
  }
  for (const auto& [name, value] : settings.env) manifest->env[name] = Expanded(value, *manifest);
  for (const std::string& tool : settings.tools) {
    std::string& found = manifest->tools[tool];
    // Referrers last in the closure: what a toolchain is about comes before what it stands on.
    for (auto path = manifest->paths.rbegin(); path != manifest->paths.rend(); ++path) {
      const std::string file = path->path + "/usr/bin/" + tool;
      if (found.empty() && FileExists(file)) found = file;
    }
    if (found.empty())
      return ErrorStatus(Code::kNotFound, "toolchain {}: no path has usr/bin/{}", manifest->name,
                         tool);
  }
  return {};
}

}  // namespace lre::toolchain

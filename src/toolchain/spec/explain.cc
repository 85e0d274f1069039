// What a request means, in words: `lre lock --explain`.
#include "toolchain/spec/spec.h"

namespace lre::toolchain {

std::string ExplainSpec(const Spec& spec) {
  std::string text;
  for (const ArchiveSpec& archive : spec.archives) {
    text +=
        fmt::format("archive {}: {} ({}) from {}\n", archive.name, fmt::join(archive.suites, ", "),
                    fmt::join(archive.components, ", "),
                    archive.mirrors.empty() ? "the mirrors of this machine's apt"
                                            : fmt::format("{}", fmt::join(archive.mirrors, ", ")));
    for (const std::string& url : archive.snapshots) {
      text += fmt::format("  old versions: {}\n", url);
    }
  }
  text += spec.prefer == Preference::kFirstSuite
              ? "a package comes from the first suite that has it\n"
              : "a package comes from the suite with its highest version\n";
  for (const auto& [name, toolchain] : spec.toolchains) {
    text += fmt::format("toolchain {}: {}", name, fmt::join(toolchain.paths, ", "));
    const ToolchainSettings& settings = toolchain.settings;
    if (!settings.extends.empty()) text += fmt::format("; extends {}", settings.extends);
    if (!settings.system.empty()) text += fmt::format("; for {}", settings.system);
    if (!settings.target.empty()) text += fmt::format("; builds for {}", settings.target);
    if (!settings.tools.empty()) {
      text += fmt::format("; offers {}", fmt::join(settings.tools, ", "));
    }
    if (!settings.libraries.empty()) {
      text += fmt::format("; its compiler finds {}", fmt::join(settings.libraries, ", "));
    }
    text += '\n';
  }
  for (const auto& [role, store] : spec.store) {
    text += fmt::format("store path {}: ", role);
    if (store.role != role) text += fmt::format("as {}, ", store.role);
    if (!store.system.empty()) text += fmt::format("for {}, ", store.system);
    if (!store.packages.empty()) {
      text += fmt::format("{} and what they need", fmt::join(store.packages, ", "));
    }
    for (const Extra& extra : store.extras) {
      text += fmt::format(", {} {}", ExtraKindName(extra.kind),
                          extra.store_path.empty() ? extra.from : extra.store_path);
    }
    if (!store.references.empty()) {
      text += fmt::format(", without what {} holds", fmt::join(store.references, ", "));
    }
    if (!store.archives.empty()) {
      text += fmt::format(", from archive {}", fmt::join(store.archives, ", "));
    }
    text += '\n';
  }
  if (!spec.ignore.empty()) {
    text += fmt::format("never taken: {}\n", fmt::join(spec.ignore, ", "));
  }
  return text;
}

}  // namespace lre::toolchain

#include "cli/toolchain_files.h"

#include <filesystem>

#include "base/file.h"
#include "toolchain/spec/spec.h"

namespace lre::cli {
namespace {

constexpr uint64_t kFileBytesMax = 64 << 20;

Result<std::string> ReadProjectFile(const std::string& path, std::string_view how) {
  Result<std::string> text = ReadFile(path, kFileBytesMax);
  if (!text && text.error().code() == Code::kNotFound) {
    return Error(Code::kNotFound, "{} is not here; {}", path, how);
  }
  return text;
}

// " lre-java" of "local-remote-execution/lre-java.json"; of the first toolchain's, whose file does
// not say its name, and of what is no manifest's file, nothing.
std::string NameOfFurther(const std::string& path) {
  const std::filesystem::path file = std::filesystem::path(path).filename();
  const bool further = file.extension() == ".json" && file != "toolchain.json";
  return further ? " " + file.stem().string() : "";
}

}  // namespace

Result<toolchain::Lock> ReadLock(const std::string& path) {
  TRY_ASSIGN(std::string text, ReadProjectFile(path, "`lre lock` makes it from lre.toml"));
  return toolchain::ParseLock(text, path);
}

Result<toolchain::Spec> ReadSpec(const std::string& path) {
  TRY_ASSIGN(const std::string text, ReadProjectFile(path, "`lre init` makes one"));
  TRY_ASSIGN(toolchain::Spec spec, toolchain::ParseSpec(text, path));
  return toolchain::AtFolder(std::move(spec), FolderOf(path));
}

std::string FolderOf(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

Result<toolchain::Manifest> ReadManifest(const std::string& path) {
  TRY_ASSIGN(std::string text, ReadProjectFile(path, "`lre sync` makes it from lre.lock"));
  Result<toolchain::Manifest> manifest = toolchain::ParseManifest(text);
  if (manifest) return manifest;
  return Error(manifest.error().code(), "{}: {}; `lre sync{}` writes manifests anew", path,
               manifest.error().message(), NameOfFurther(path));
}

Result<std::vector<toolchain::Manifest>> ReadFurtherManifests(const std::string& path) {
  const std::filesystem::path file(path);
  const std::string folder = file.has_parent_path() ? file.parent_path().string() : ".";
  TRY_ASSIGN(std::vector<std::string> names, SystemFiles().List(folder));
  std::vector<toolchain::Manifest> manifests;
  for (const std::string& name : names) {
    if (!name.ends_with(".json") || name == file.filename()) continue;
    TRY_ASSIGN(toolchain::Manifest manifest, ReadManifest(folder + "/" + name));
    manifests.push_back(std::move(manifest));
  }
  return manifests;
}

Result<toolchain::Mirrors> MirrorsFor(const toolchain::Lock& lock, const std::string& spec_path,
                                      const toolchain::AptConfiguration& apt) {
  if (!FileExists(spec_path)) return toolchain::ChooseMirrors(lock, apt);
  TRY_ASSIGN(const toolchain::Spec spec, ReadSpec(spec_path));
  Result<toolchain::Mirrors> mirrors = toolchain::ChooseMirrors(spec, apt);
  // Everything may be in the cache: what cannot be reached matters only when it is needed.
  if (!mirrors) return toolchain::ChooseMirrors(lock, apt);
  return mirrors;
}

std::string FirstToolchain(const toolchain::Lock& lock) {
  if (lock.toolchains.contains(kFirstToolchain)) return kFirstToolchain;
  for (const auto& [name, toolchain] : lock.toolchains) {
    for (const std::string& path : toolchain.paths) {
      if (toolchain.settings.extends.empty() && lock.paths.at(path).role == "gcc") return name;
    }
  }
  return lock.toolchains.empty() ? "" : lock.toolchains.begin()->first;
}

std::string ManifestFileFor(const toolchain::Lock& lock, const std::string& toolchain) {
  if (FirstToolchain(lock) == toolchain) return kManifestFile;
  return std::filesystem::path(kManifestFile).replace_filename(toolchain + ".json").string();
}

Result<bool> WriteIfChanged(const std::string& path, std::string_view text) {
  if (Result<std::string> old = ReadFile(path, kFileBytesMax); old && *old == text) return false;
  const std::string parent = std::filesystem::path(path).parent_path().string();
  if (!parent.empty()) TRY(SystemFiles().MakeDirectories(parent));
  if (Status status = WriteFileAtomically(path, text); !status.ok()) {
    return std::unexpected(status.WithContext(path + " cannot be written"));
  }
  return true;
}

std::string ShellQuote(std::string_view text) {
  std::string quoted = "'";
  for (char c : text) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

}  // namespace lre::cli

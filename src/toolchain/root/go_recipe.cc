#include "toolchain/root/go_recipe.h"

#include <algorithm>

#include "toolchain/root/recipe.h"

namespace lre::toolchain {
namespace {

// "usr/bin/x86_64-linux-gnu-gcc-12"; empty when the path has none.
std::string FindDriver(const Reference& gcc, std::string_view triplet) {
  const std::string start = fmt::format("usr/bin/{}-gcc-", triplet);
  for (auto it = gcc.files.lower_bound(start);
       it != gcc.files.end() && it->first.starts_with(start); ++it) {
    const std::string_view version = std::string_view(it->first).substr(start.size());
    if (std::ranges::all_of(version, [](char c) { return c >= '0' && c <= '9'; })) return it->first;
  }
  return "";
}

}  // namespace

std::optional<std::string> FindGo(const FileTree& tree) {
  constexpr std::string_view kStart = "usr/lib/go";
  for (auto it = tree.lower_bound(kStart); it != tree.end() && it->first.starts_with(kStart);
       ++it) {
    if (!it->first.ends_with("/bin/go") || it->second.symlink) continue;
    std::string folder(ParentPath(ParentPath(it->first)));
    if (HasFolder(tree, folder + "/pkg/tool")) return folder;
  }
  return std::nullopt;
}

Status FinishGo(FileTree& tree, const std::string& go, const std::string& store_path,
                ElfMachine machine) {
  const LauncherConfig config{
      .target = store_path + "/" + go + "/bin/go",
      .drop = {"GOROOT_FINAL", "LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT", "GCONV_PATH",
               "LOCPATH"},
      .set = {fmt::format("GOROOT={}/{}", store_path, go)},
  };
  TRY_ASSIGN(std::string launcher, MakeLauncher(machine, config));
  tree["usr/bin/go"] = {.content = std::move(launcher), .executable = true};
  if (tree.contains(go + "/bin/gofmt"))
    tree["usr/bin/gofmt"] = {.content = "/" + go + "/bin/gofmt", .symlink = true};
  return {};
}

bool HasRust(const FileTree& tree) {
  auto rustc = tree.find("usr/bin/rustc");
  return rustc != tree.end() && !rustc->second.symlink && HasFolder(tree, "usr/lib/rustlib");
}

LauncherConfig RustLauncher(const Reference* gcc, std::string_view triplet) {
  LauncherConfig config{.argv0 = "real", .drop = CompilerEnvironmentLeaks()};
  const std::string driver = gcc != nullptr ? FindDriver(*gcc, triplet) : "";
  if (!driver.empty()) config.arguments = {fmt::format("-Clinker={}/{}", gcc->path, driver)};
  return config;
}

}  // namespace lre::toolchain

#include "cli/project_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "cli/generate_project.h"
#include "cli/imported_module.h"
#include "cli/init_files.h"
#include "cli/terminal.h"
#include "cli/toolchain_files.h"
#include "toolchain/fetch/extra_files.h"
#include "toolchain/fetch/resolve.h"
#include "toolchain/generate/generate.h"
#include "toolchain/lock/solver.h"
#include "toolchain/root/relocate_tree.h"
#include "toolchain/root/sync.h"
#include "toolchain/spec/spec.h"

namespace lre::cli {
namespace {

constexpr const char* kModule = "local-remote-execution";

class ProjectCheck {
 public:
  explicit ProjectCheck(const ProjectCheckOptions& options) : options_(options) {}

  std::vector<Finding> Run() {
    const bool own = FileExists(kLockFile) || FileExists(kManifestFile) || FileExists(kSpecFile);
    if (!own && !FindModule()) return std::move(findings_);
    CheckLock(own);
    CheckManifests();
    CheckGenerated(own);
    CheckBazel(own);
    return std::move(findings_);
  }

 private:
  void Good(std::string check, std::string what) {
    findings_.push_back({std::move(check), Verdict::kGood, std::move(what), ""});
  }
  void Bad(std::string check, std::string what, std::string fix) {
    findings_.push_back({std::move(check), Verdict::kBad, std::move(what), std::move(fix)});
  }

  // A project without a lock of its own may import a module that has one.
  bool FindModule() {
    const Result<std::string> cache = toolchain::DefaultCacheDirectory();
    if (!cache) return Bad("module", cache.error().message(), "set HOME"), false;
    const auto module = FindImportedModule(*cache, /*may_download=*/false);
    if (!module) {
      const bool absent = module.error().code() == Code::kNotFound;
      Bad("module", module.error().message(), absent ? "lre sync" : "correct MODULE.bazel");
      return false;
    }
    if (!*module) return FindNothing(), false;
    lock_file_ = (*module)->lock;
    manifest_file_ = (*module)->folder + "/toolchain.json";
    Good("module", "the toolchains are those of " + (*module)->from);
    return true;
  }

  void FindNothing() {
    if (FindModuleUse(ReadFile("MODULE.bazel").value_or("")).depends) {
      return Bad("module",
                 fmt::format("MODULE.bazel depends on {}, and there is no {} here nor beside it",
                             kModule, kLockFile),
                 "lre init");
    }
    const std::string what =
        fmt::format("neither {} nor {} in this folder, and no module with one: nothing to compare",
                    kSpecFile, kLockFile);
    if (!options_.required) return Good("project", what);
    Bad("project", what, "run it in the project's folder; a new one: lre init");
  }

  // The lock answers the request.
  void CheckLock(bool own) {
    Result<toolchain::Lock> lock = ReadLock(lock_file_);
    if (!lock) {
      return Bad(
          "lock", lock.error().message(),
          FileExists(lock_file_) ? "git checkout, then lre lock; or lre lock --fresh" : "lre lock");
    }
    lock_ = std::move(*lock);
    // That another repository's lock answers its request is checked there.
    if (!own) return;
    if (!FileExists(kSpecFile)) {
      return Bad("request", fmt::format("{} is not here", kSpecFile), "lre init");
    }
    Result<toolchain::Spec> spec = ReadSpec(kSpecFile);
    if (!spec) return Bad("request", spec.error().message(), "correct lre.toml");
    if (Status pinned = toolchain::PinExtras({}, &*spec); !pinned.ok()) {
      return Bad("request", pinned.message(), "lre lock");
    }
    const std::vector<std::string> lines = toolchain::Disagreements(*spec, *lock_);
    for (const std::string& line : lines) Bad("lock", line, "lre lock");
    if (lines.empty()) Good("lock", "lre.lock answers lre.toml");
  }

  // The manifests were made from the lock, and what they name is what the lock gives here.
  void CheckManifests() {
    Result<toolchain::Manifest> manifest = ReadManifest(manifest_file_);
    if (!manifest) return Bad("manifest", manifest.error().message(), "lre sync");
    manifest_ = std::move(*manifest);
    Result<std::vector<toolchain::Manifest>> further = ReadFurtherManifests(manifest_file_);
    if (!further) return Bad("manifest", further.error().message(), "lre sync");
    further_ = std::move(*further);
    CheckManifest(*manifest_, Verdict::kBad);
    // Who builds no Java needs no JDK.
    for (const toolchain::Manifest& other : further_) CheckManifest(other, Verdict::kWarning);
  }

  void CheckManifest(const toolchain::Manifest& manifest, Verdict missing) {
    const std::string fix = fmt::format("lre sync {} && lre generate", manifest.name);
    if (lock_ && !lock_->toolchains.contains(manifest.name)) {
      const std::string file = &manifest == &*manifest_ ? manifest_file_ : FileOf(manifest);
      return Bad("manifest",
                 fmt::format("{} is of the toolchain {}, which {} does not have", file,
                             manifest.name, lock_file_),
                 file == manifest_file_ ? "lre sync && lre generate"
                                        : fmt::format("rm {} && lre generate", file));
    }
    if (lock_ && manifest.lock != toolchain::LockDigest(*lock_, manifest.name).value_or("")) {
      Bad("manifest",
          fmt::format("the manifest of {} was made from another lre.lock", manifest.name), fix);
    } else if (lock_) {
      CheckPlan(manifest, fix);
    }
    if (options_.with_store) CheckStore(manifest, missing);
  }

  std::string FileOf(const toolchain::Manifest& further) const {
    return fmt::format("{}/{}.json", FolderOf(manifest_file_), further.name);
  }

  void CheckPlan(const toolchain::Manifest& manifest, const std::string& fix) {
    Result<std::vector<toolchain::StorePath>> planned =
        toolchain::PlannedPaths(*lock_, manifest.name, {.prefix = manifest.prefix});
    if (!planned) return Bad("manifest", planned.error().message(), fix);
    for (const toolchain::StorePath& path : *planned) {
      const toolchain::StorePath* named = manifest.Find(path.role);
      if (named != nullptr && named->path == path.path) continue;
      return Bad("manifest",
                 fmt::format("{}: this lre makes {}, the manifest names {}", manifest.name,
                             path.path, named == nullptr ? "none" : named->path),
                 fix);
    }
    Good("manifest", fmt::format("the manifest of {} was made from this lre.lock", manifest.name));
  }

  void CheckStore(const toolchain::Manifest& manifest, Verdict missing) {
    const std::string fix = "lre sync " + manifest.name;
    Result<std::unique_ptr<toolchain::ToolchainStore>> store =
        toolchain::ToolchainStore::Open(manifest.prefix);
    if (!store) return Bad("paths", store.error().message(), fix);
    for (const toolchain::StorePath& path : manifest.paths) {
      Result<toolchain::StorePath> here = (*store)->Find(path.path);
      const bool home = manifest.system == toolchain::ThisSystem() &&
                        manifest.Target() == toolchain::ThisSystem();
      if (!here && !home) {
        return Good("paths",
                    fmt::format("{} is for {}, and not here", manifest.name, manifest.Target()));
      }
      if (!here) {
        findings_.push_back({"paths", missing, path.path + " is not here", fix});
        return;
      }
      if (here->tree == path.tree) continue;
      return Bad(
          "paths",
          fmt::format("{} is {} here and {} in the manifest", path.path, here->tree, path.tree),
          "lre store verify " + path.path);
    }
    Good("paths", fmt::format("every store path of {} is here", manifest.name));
  }

  // lre.bazelrc in any of its forms is fresh.
  bool IsFresh(const toolchain::GeneratedFile& file) const {
    Result<std::string> text = ReadFile(file.path);
    if (!text) return false;
    if (*text == file.text || IsOfTheProject(".", file.path)) return true;
    if (file.path != "lre.bazelrc") return false;
    toolchain::GenerateOptions options{.further = further_};
    options.bazelrc_prefix = BazelrcPrefixOf(*text);
    for (const bool with_environment : {true, false}) {
      options.with_environment = with_environment;
      Result<std::string> form = toolchain::GenerateBazelrc(*manifest_, options);
      if (form && *form == *text) return true;
    }
    return false;
  }

  // Of a module that is imported only lre.bazelrc is written into the project.
  void CheckGenerated(bool own) {
    if (!manifest_) return;
    if (Status first = CheckFirstToolchain(*manifest_); !first.ok())
      return Bad("generated", first.message(), "correct lre.toml, then lre lock");
    Result<std::vector<toolchain::GeneratedFile>> files =
        toolchain::Generate(*manifest_, {.further = further_});
    if (!files) return Bad("generated", files.error().message(), "lre sync && lre generate");
    bool fresh = true;
    for (const toolchain::GeneratedFile& file : *files) {
      if ((!own && file.path != "lre.bazelrc") || IsFresh(file)) continue;
      fresh = false;
      Bad("generated", file.path + " is not what the manifests generate",
          own ? "lre generate" : "lre sync");
    }
    if (own) fresh &= !FindLeftOver(*files);
    if (fresh) Good("generated", "generated files are fresh");
  }

  // What was generated for a toolchain that is no more.
  bool FindLeftOver(const std::vector<toolchain::GeneratedFile>& files) {
    bool found = false;
    for (const std::string& name :
         SystemFiles().List(kModule).value_or(std::vector<std::string>())) {
      const std::string folder = fmt::format("{}/{}", kModule, name);
      if (!name.starts_with("generated-") ||
          std::any_of(files.begin(), files.end(), [&](const toolchain::GeneratedFile& file) {
            return file.path.starts_with(folder + "/");
          })) {
        continue;
      }
      found = true;
      Bad("generated", folder + " is generated from no manifest", "rm -r " + folder);
    }
    return found;
  }

  // The module that Bazel takes is the one that is generated here.
  void CheckOverride(std::optional<StarlarkCall> call) {
    if (!call) return Bad("module", "MODULE.bazel does not say where the module is", "lre init");
    const std::string& path = call->arguments["path"];
    if (call->function != "local_path_override") {
      return Bad(
          "module",
          fmt::format("MODULE.bazel takes the module by {}, and {} locks another here",
                      call->function, kLockFile),
          fmt::format("remove {} to use that module's, or use local_path_override", kLockFile));
    }
    const auto theirs = ReadFile(path + "/toolchain.json"), ours = ReadFile(kManifestFile);
    if (theirs && ours && *theirs == *ours) {
      return Good("module", "MODULE.bazel takes the module in " + path);
    }
    Bad("module",
        fmt::format("MODULE.bazel takes the module in {}, which is not {}'s", path, kManifestFile),
        fmt::format("local_path_override of {} with path = \"{}\"", kModule, kModule));
  }

  void CheckBazel(bool own) {
    if (!FileExists("MODULE.bazel")) {
      Good("bazel", "no MODULE.bazel in this folder: not a Bazel project");
      return;
    }
    ModuleUse use = FindModuleUse(ReadFile("MODULE.bazel").value_or(""));
    if (!use.depends) {
      Bad("bazel", "MODULE.bazel does not depend on the module", "lre init");
    } else {
      Good("bazel", fmt::format("MODULE.bazel depends on {}", kModule));
      if (own) CheckOverride(std::move(use.override));
    }
    if (!ImportsBazelrc(ReadFile(".bazelrc").value_or(""))) {
      return Bad("bazel", ".bazelrc does not import lre.bazelrc",
                 "lre init, or add it: try-import %workspace%/lre.bazelrc");
    }
    Good("bazel", ".bazelrc imports lre.bazelrc");
  }

  const ProjectCheckOptions options_;
  std::string lock_file_ = kLockFile, manifest_file_ = kManifestFile;
  std::vector<Finding> findings_;
  std::optional<toolchain::Lock> lock_;
  std::optional<toolchain::Manifest> manifest_;
  std::vector<toolchain::Manifest> further_;
};

}  // namespace

std::vector<Finding> CheckProject(const ProjectCheckOptions& options) {
  return ProjectCheck(options).Run();
}

bool PrintFindings(const std::vector<Finding>& findings, bool json) {
  static constexpr const char* kNames[] = {"good", "warning", "bad"};
  static constexpr Colour kColours[] = {Colour::kGreen, Colour::kYellow, Colour::kRed};
  bool bad = false;
  nlohmann::json array = nlohmann::json::array();
  for (const Finding& finding : findings) {
    bad |= finding.verdict == Verdict::kBad;
    const int verdict = static_cast<int>(finding.verdict);
    if (json) {
      array.push_back({{"check", finding.check},
                       {"verdict", kNames[verdict]},
                       {"what", finding.what},
                       {"fix", finding.fix}});
      continue;
    }
    PrintLine(fmt::format("{}  {}: {}",
                          Coloured(fmt::format("{:7}", kNames[verdict]), kColours[verdict]),
                          finding.check, finding.what));
    if (!finding.fix.empty()) PrintLine("         fix: " + finding.fix);
  }
  if (json) Print(array.dump(2) + "\n");
  return bad;
}

}  // namespace lre::cli

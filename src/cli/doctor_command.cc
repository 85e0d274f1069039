// lre doctor: what most often goes wrong, with a one-line fix each.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/farm.h"
#include "cli/terminal.h"
#include "cli/toolchain_files.h"
#include "sandbox/sandbox.h"
#include "toolchain/generate/generate.h"
#include "toolchain/root/toolchain_store.h"

namespace lre::cli {
namespace {

enum class Verdict { kGood, kWarning, kBad };

struct Finding {
  std::string check;  // a name that scripts may rely on
  Verdict verdict = Verdict::kGood;
  std::string what;
  std::string fix;  // empty when good
};

Finding CheckSandbox() {
  Status support = sandbox::CheckSandboxSupport();
  if (support.ok()) return {"sandbox", Verdict::kGood, "actions can be isolated"};
  return {"sandbox", Verdict::kBad, support.message(),
          "allow user namespaces (sysctl -w kernel.unprivileged_userns_clone=1), or run `lre up "
          "--sandbox=none`"};
}

Finding CheckStoreWritable() {
  const std::string store(toolchain::kStorePrefix);
  if (access(store.c_str(), W_OK) == 0) return {"store", Verdict::kGood, store + " is writable"};
  if (FileExists(store)) {
    return {"store", Verdict::kWarning, store + " is not writable: `lre sync` cannot add to it",
            "sudo chown -R \"$(id -u)\" /lre"};
  }
  return {"store", Verdict::kBad, store + " is not there",
          "sudo install -d -o \"$(id -u)\" /lre /lre/store"};
}

// Variables that make a compiler of the host, or its headers and libraries, leak into local builds.
Finding CheckHostEnvironment() {
  std::string leaks;
  for (const char* name : {"CC", "CXX", "CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH",
                           "LIBRARY_PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "GCC_EXEC_PREFIX",
                           "COMPILER_PATH", "BAZEL_CXXOPTS", "BAZEL_LINKOPTS"}) {
    const char* value = std::getenv(name);
    if (!value || std::string_view(value).starts_with(toolchain::kStorePrefix)) continue;
    leaks += (leaks.empty() ? "" : " ") + std::string(name);
  }
  if (leaks.empty()) {
    return {"environment", Verdict::kGood, "no variable brings in a compiler of the host"};
  }
  return {"environment", Verdict::kWarning, "set here: " + leaks + " (a host compiler may leak in)",
          "unset " + leaks};
}

// Lock, manifest, store and generated files of the project in this folder must say the same.
std::vector<Finding> CheckProject() {
  if (!FileExists(kLockFile)) {
    return {{"project", Verdict::kGood, "no lre.lock in this folder: nothing to compare"}};
  }
  std::string digest;
  Result<toolchain::Lock> lock = ReadLock(kLockFile, &digest);
  if (!lock) return {{"lock", Verdict::kBad, lock.error().message(), "lre lock"}};
  Result<toolchain::Manifest> manifest = ReadManifest(kManifestFile);
  if (!manifest) {
    return {{"manifest", Verdict::kBad, manifest.error().message(), "lre sync"}};
  }
  std::vector<Finding> findings;
  if (manifest->lock == digest) {
    findings.push_back({"lock", Verdict::kGood, "toolchain.json was made from this lre.lock"});
  } else {
    findings.push_back({"lock", Verdict::kBad, "toolchain.json was made from another lre.lock",
                        "lre sync && lre generate"});
  }
  Result<std::unique_ptr<toolchain::ToolchainStore>> store = toolchain::ToolchainStore::Open();
  std::string missing;
  for (const toolchain::StorePath& path : manifest->paths) {
    if (!store || !(*store)->Contains(path.path)) missing = path.path;
  }
  if (missing.empty()) {
    findings.push_back({"paths", Verdict::kGood, "every store path of toolchain.json is here"});
  } else {
    findings.push_back({"paths", Verdict::kBad, missing + " is not here", "lre sync"});
  }
  Result<std::vector<toolchain::Manifest>> further = ReadFurtherManifests(kManifestFile);
  if (!further) {
    findings.push_back({"manifest", Verdict::kBad, further.error().message(), "lre sync"});
    return findings;
  }
  Result<std::vector<toolchain::GeneratedFile>> files =
      toolchain::Generate(*manifest, {.further = *further});
  if (!files) {
    findings.push_back({"generated", Verdict::kBad, files.error().message(), "lre sync"});
    return findings;
  }
  std::string stale;
  for (const toolchain::GeneratedFile& file : *files) {
    Result<std::string> text = ReadFile(file.path);
    if (!text || *text != file.text) stale = file.path;
  }
  if (stale.empty()) {
    findings.push_back({"generated", Verdict::kGood, "generated files are fresh"});
  } else {
    findings.push_back({"generated", Verdict::kWarning,
                        stale + " is not what toolchain.json generates", "lre generate"});
  }
  return findings;
}

Finding CheckUserland() {
  const std::string userland = DescribeUserland(server::Config());
  if (!userland.starts_with("none")) return {"userland", Verdict::kGood, "actions get " + userland};
  return {"userland", Verdict::kWarning, "actions get no userland: " + userland, "lre sync"};
}

Status Run(App& app, bool json) {
  std::vector<Finding> findings = {CheckSandbox(), CheckStoreWritable(), CheckHostEnvironment(),
                                   CheckUserland()};
  for (Finding& finding : CheckProject()) findings.push_back(std::move(finding));
  static constexpr const char* kNames[] = {"good", "warning", "bad"};
  bool bad = false;
  nlohmann::json array = nlohmann::json::array();
  for (const Finding& finding : findings) {
    bad |= finding.verdict == Verdict::kBad;
    const char* name = kNames[static_cast<int>(finding.verdict)];
    if (json) {
      array.push_back({{"check", finding.check},
                       {"verdict", name},
                       {"what", finding.what},
                       {"fix", finding.fix}});
      continue;
    }
    static constexpr Colour kColours[] = {Colour::kGreen, Colour::kYellow, Colour::kRed};
    PrintLine(fmt::format(
        "{}  {}: {}",
        Coloured(fmt::format("{:7}", name), kColours[static_cast<int>(finding.verdict)]),
        finding.check, finding.what));
    if (!finding.fix.empty()) PrintLine("         fix: " + finding.fix);
  }
  if (json) Print(array.dump(2) + "\n");
  app.exit_code = 1;
  // What is bad has been printed; only the exit code remains to be said.
  return bad ? Status(Code::kFailedPrecondition, "") : Status();
}

}  // namespace

void AddDoctorCommand(App& app) {
  CLI::App* command =
      app.cli.add_subcommand("doctor", "Check what most often goes wrong, with a fix for each");
  command->footer(
      "Exit code 1 when something is bad.\nExamples:\n  lre doctor\n  lre doctor --json");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "As JSON");
  command->callback([&app, json] { app.action = [&app, json] { return Run(app, *json); }; });
}

}  // namespace lre::cli

// lre doctor: what most often goes wrong, with a one-line fix each.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/farm.h"
#include "cli/machine_checks.h"
#include "cli/project_checks.h"
#include "cli/terminal.h"
#include "cli/user_store.h"
#include "sandbox/sandbox.h"
#include "toolchain/root/toolchain_store.h"

namespace lre::cli {
namespace {

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
            "lre shell, or once: sudo lre setup"};
  }
  return {"store", Verdict::kBad, store + " is not there", "lre shell, or once: sudo lre setup"};
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

Finding CheckUserland() {
  const std::string userland = DescribeUserland(server::Config());
  if (!userland.starts_with("none")) return {"userland", Verdict::kGood, "actions get " + userland};
  return {"userland", Verdict::kWarning, "actions get no userland: " + userland, "lre sync"};
}

// A server from before `lre shell`, or from outside, runs actions where /lre/store is another
// folder.
std::vector<Finding> CheckBazelServers() {
  const Result<UserStore> store = UserStoreOfHome();
  if (!store) return {};
  std::vector<Finding> findings;
  for (const BazelServer& server : FindBazelServers(*store)) {
    if (server.same_store) continue;
    findings.push_back({"bazel server", Verdict::kBad,
                        fmt::format("process {} (workspace {}) has another /lre/store than this "
                                    "shell: it was started in another mount namespace",
                                    server.pid, server.workspace),
                        fmt::format("bazel --output_base={} shutdown", server.output_base)});
  }
  if (findings.empty()) {
    findings.push_back(
        {"bazel server", Verdict::kGood, "no Bazel server runs with another /lre/store"});
  }
  return findings;
}

struct DoctorFlags {
  bool json = false;
  ServerFlags server;
  bool server_given = false;
};

Status Run(const DoctorFlags& flags) {
  const std::vector<toolchain::Manifest> manifests = ProjectManifests();
  std::vector<Finding> findings = {CheckSandbox(),   CheckStoreWritable(), CheckHostEnvironment(),
                                   CheckHostSpecs(), CheckUserland(),      CheckBazelVersion()};
  const auto add = [&](std::vector<Finding> more) {
    for (Finding& finding : more) findings.push_back(std::move(finding));
  };
  add(CheckCompilers(manifests));
  add(CheckBazelServers());
  add(CheckServer(flags.server, flags.server_given, manifests));
  add(CheckProject());
  const bool bad = PrintFindings(findings, flags.json);
  // What is bad has been printed; only the exit code remains to be said.
  return bad ? Status(Code::kFailedPrecondition, "") : Status();
}

}  // namespace

void AddDoctorCommand(App& app) {
  CLI::App* command =
      app.cli.add_subcommand("doctor", "Check what most often goes wrong, with a fix for each");
  command->footer(
      "The store, user namespaces, what of the host could get into builds (variables, specs "
      "files,\n"
      "headers), Bazel and its running servers, a server and the toolchains it holds, and all "
      "that\n"
      "`lre check` looks at. Exit code 1 when something is bad.\n"
      "Examples:\n  lre doctor\n  lre doctor --server cache.example:50051\n  lre doctor --json");
  auto flags = std::make_shared<DoctorFlags>();
  command->add_flag("--json", flags->json, "As JSON");
  ServerFlags::Add(*command, flags->server);
  command->callback([&app, command, flags] {
    flags->server_given = command->count("--server") > 0;
    app.action = [flags] { return Run(*flags); };
  });
}

}  // namespace lre::cli

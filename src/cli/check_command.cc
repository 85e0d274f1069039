// lre check: whether everything in the project that says which toolchain it is says the same. For
// CI.
#include "cli/commands.h"
#include "cli/machine_checks.h"
#include "cli/project_checks.h"

namespace lre::cli {

void AddCheckCommand(App& app) {
  CLI::App* command = app.cli.add_subcommand(
      "check", "Check that lock, manifests and generated files of this project agree");
  command->footer(
      "Compares lre.toml, lre.lock, toolchain.json, what is generated from it, MODULE.bazel, its\n"
      "override of the module, and .bazelrc. Needs no network and no Bazel; with --without-store "
      "no\n"
      "store either. With --server also what that server's workers would fetch.\n"
      "Exit code 1 when something disagrees; each line says how to mend it.\n"
      "Examples:\n  lre check\n  lre check --without-store --json\n"
      "  lre check --server cache.example:50051");
  auto json = std::make_shared<bool>(false), without_store = std::make_shared<bool>(false);
  command->add_flag("--without-store", *without_store,
                    "Do not ask whether the store paths are on this machine");
  command->add_flag("--json", *json, "As JSON");
  auto server = std::make_shared<ServerFlags>();
  ServerFlags::Add(*command, *server);
  command->callback([&app, command, json, without_store, server] {
    const bool with_server = command->count("--server") > 0;
    app.action = [json, without_store, server, with_server] {
      std::vector<Finding> findings =
          CheckProject({.with_store = !*without_store, .required = true});
      if (with_server) {
        for (Finding& finding : CheckServer(*server, true, ProjectManifests()))
          findings.push_back(std::move(finding));
      }
      const bool bad = PrintFindings(findings, *json);
      // What is bad has been printed; only the exit code remains to be said.
      return bad ? Status(Code::kFailedPrecondition, "") : Status();
    };
  });
}

}  // namespace lre::cli

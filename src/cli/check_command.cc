// lre check: whether everything in the project that says which toolchain it is says the same. For
// CI.
#include "cli/commands.h"
#include "cli/project_checks.h"

namespace lre::cli {

void AddCheckCommand(App& app) {
  CLI::App* command = app.cli.add_subcommand(
      "check", "Check that lock, manifests and generated files of this project agree");
  command->footer(
      "Compares lre.toml, lre.lock, toolchain.json, what is generated from it, MODULE.bazel and\n"
      ".bazelrc. Needs no network and no Bazel; with --without-store no store either.\n"
      "Exit code 1 when something disagrees; each line says how to mend it.\n"
      "Examples:\n  lre check\n  lre check --without-store --json");
  auto json = std::make_shared<bool>(false), without_store = std::make_shared<bool>(false);
  command->add_flag("--without-store", *without_store,
                    "Do not ask whether the store paths are on this machine");
  command->add_flag("--json", *json, "As JSON");
  command->callback([&app, json, without_store] {
    app.action = [json, without_store] {
      const bool bad = PrintFindings(CheckProject({.with_store = !*without_store}), *json);
      // What is bad has been printed; only the exit code remains to be said.
      return bad ? Status(Code::kFailedPrecondition, "") : Status();
    };
  });
}

}  // namespace lre::cli

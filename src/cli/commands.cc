#include "cli/commands.h"

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <utility>

namespace lre::cli {

void DeclareLate(App& app, CLI::App& command, std::function<void()> declare) {
  auto once = [declare = std::make_shared<std::function<void()>>(std::move(declare))] {
    if (auto run = std::exchange(*declare, nullptr)) run();
  };
  command.preparse_callback([once](size_t) { once(); });
  app.late_flags.push_back(once);
}

void DeclareAll(App& app) {
  for (const auto& declare : app.late_flags) declare();
}

const CLI::App* FindCommand(const CLI::App& program, const std::vector<std::string>& names) {
  const CLI::App* found = &program;
  for (const std::string& name : names) {
    const auto commands = found->get_subcommands(nullptr);
    const auto named = std::find_if(commands.begin(), commands.end(),
                                    [&](const CLI::App* each) { return each->check_name(name); });
    if (named == commands.end()) return nullptr;
    found = *named;
  }
  return found;
}

void AddCommands(App& app) {
  const auto group = [&](const std::string& name, std::initializer_list<void (*)(App&)> commands) {
    const size_t before = app.cli.get_subcommands(nullptr).size();
    for (auto add : commands) add(app);
    const std::vector<CLI::App*> all = app.cli.get_subcommands(nullptr);
    for (size_t i = before; i < all.size(); ++i) all[i]->group(name);
  };
  group("A build farm: cache, scheduler and worker",
        {AddUpCommand,      // all in one process
         AddServeCommand,   // cache and scheduler
         AddWorkerCommand,  // runs actions for a server
         AddCasCommand});   // looks into a server's blobs
  group("Toolchains: what is wanted, what that is exactly, what is on this disk",
        {AddInitCommand,      // a project's first lre.toml, and all that follows from it
         AddLockCommand,      // lre.toml -> lre.lock
         AddSyncCommand,      // lre.lock -> /lre/store, toolchain.json
         AddGenerateCommand,  // toolchain.json -> files for Bazel and others
         AddEnvCommand,       // toolchain.json -> shell variables
         AddDevCommand,       // tries a change of a toolchain's files
         AddShellCommand,     // a shell in which /lre/store is the user's
         AddRunCommand,       // a command there
         AddSetupCommand,     // makes /lre/store, as root
         AddStoreCommand,     // lists, checks and clears /lre/store
         AddPushCommand,      // /lre/store -> the CAS, where workers find it
         AddRevokeCommand});  // forgets what a bad one produced
  group("The promise: the same key and the same bytes",
        {AddVerifyCommand,     // builds on both sides: all hits, the same bytes
         AddExplainCommand});  // why two keys differ
  group(
      "This project, this machine, this program",
      {AddCheckCommand, AddDoctorCommand, AddHelpCommand, AddVersionCommand, AddCompletionCommand});
}

}  // namespace lre::cli

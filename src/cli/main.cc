// lre: a whole local build farm, and the toolchains it builds with. This file is the list of what
// the program can do; each command is in <name>_command.cc.
#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>

#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/terminal.h"

int main(int argc, char** argv) {
  // Messages of clients that do not parse are answered, not printed.
  google::protobuf::SetLogHandler(nullptr);

  CLI::App cli("LRE: builds with the same key and the same bytes here and on the farm.", "lre");
  cli.require_subcommand(0, 1);
  cli.set_version_flag("--version", fmt::format("lre {}", lre::cli::Version()));
  lre::cli::App app{cli};

  // A build farm: cache, scheduler and worker.
  lre::cli::AddUpCommand(app);      // all in one process
  lre::cli::AddServeCommand(app);   // cache and scheduler
  lre::cli::AddWorkerCommand(app);  // runs actions for a server
  lre::cli::AddCasCommand(app);     // looks into a server's blobs

  // Toolchains: what is wanted, what that is exactly, what is on this disk.
  lre::cli::AddInitCommand(app);      // a project's first lre.toml, and all that follows from it
  lre::cli::AddLockCommand(app);      // lre.toml -> lre.lock
  lre::cli::AddSyncCommand(app);      // lre.lock -> /lre/store, toolchain.json
  lre::cli::AddGenerateCommand(app);  // toolchain.json -> files for Bazel and others
  lre::cli::AddEnvCommand(app);       // toolchain.json -> shell variables
  lre::cli::AddDevCommand(app);       // tries a change of a toolchain's files
  lre::cli::AddShellCommand(app);     // a shell in which /lre/store is the user's
  lre::cli::AddRunCommand(app);       // a command there
  lre::cli::AddSetupCommand(app);     // makes /lre/store, as root
  lre::cli::AddStoreCommand(app);     // lists, checks and clears /lre/store
  lre::cli::AddPushCommand(app);      // /lre/store -> the CAS, where workers find it
  lre::cli::AddRevokeCommand(app);    // forgets what a bad one produced

  // The promise.
  lre::cli::AddVerifyCommand(app);   // builds on both sides: all hits, the same bytes
  lre::cli::AddExplainCommand(app);  // why two keys differ

  // About this project, this machine and this program.
  lre::cli::AddCheckCommand(app);
  lre::cli::AddDoctorCommand(app);
  lre::cli::AddHelpCommand(app);
  lre::cli::AddVersionCommand(app);
  lre::cli::AddCompletionCommand(app);  // for shells

  try {
    cli.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return cli.exit(error) == 0 ? 0 : 2;
  }
  if (!app.action) {
    lre::cli::Print(cli.help());
    return 2;
  }
  const lre::Status status = app.action();
  if (status.ok()) return 0;
  if (!status.message().empty()) lre::cli::PrintError(status);
  return app.exit_code;
}

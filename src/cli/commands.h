// The subcommands of `lre`, one file each. Every Add* declares its command, with help and examples,
// and what runs when it was given. Commands run on the main thread before any other exists. The
// exit code is 0 when a command returned OK, else App::exit_code: 1 it could not be done, 2 wrong
// usage. The message of an error goes to standard error; one without a message was said already.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"

namespace lre::cli {

// "0.1.0": as the build says.
std::string_view Version();

// What main runs once the command line is parsed; set by the command that was given.
using Action = std::function<Status()>;
struct App {
  CLI::App& cli;
  Action action;
  int exit_code = 1;  // when the action fails
  std::vector<std::function<void()>> late_flags;
};

// Runs `declare` once, when the command is given: a hundred flags take longer to declare than `lre
// env` takes for the rest.
void DeclareLate(App& app, CLI::App& command, std::function<void()> declare);
// Runs all of them: for who asks about commands that were not given.
void DeclareAll(App& app);

// All of them, in groups.
void AddCommands(App& app);
// The command of these names ("store", "gc"), by aliases too; nullptr: there is none.
const CLI::App* FindCommand(const CLI::App& program, const std::vector<std::string>& names);

void AddUpCommand(App& app);
void AddServeCommand(App& app);
void AddWorkerCommand(App& app);
void AddLockCommand(App& app);
void AddSyncCommand(App& app);
void AddStoreCommand(App& app);
void AddPushCommand(App& app);
void AddRevokeCommand(App& app);
void AddVerifyCommand(App& app);
void AddExplainCommand(App& app);
void AddCasCommand(App& app);
void AddGenerateCommand(App& app);
void AddDevCommand(App& app);
void AddEnvCommand(App& app);
void AddShellCommand(App& app);
void AddRunCommand(App& app);
void AddSetupCommand(App& app);
void AddCheckCommand(App& app);
void AddInitCommand(App& app);
void AddDoctorCommand(App& app);
void AddHelpCommand(App& app);
void AddVersionCommand(App& app);
void AddCompletionCommand(App& app);

// The script that makes `shell` complete what `program` takes.
Result<std::string> CompletionScript(const CLI::App& program, std::string_view shell);

}  // namespace lre::cli

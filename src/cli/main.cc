// lre: a whole local build farm, and the toolchains it builds with. The list of what the program
// can do is in commands.cc; each command is in <name>_command.cc.
#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>

#include <CLI/CLI.hpp>
#include <string_view>
#include <vector>

#include "cli/commands.h"
#include "cli/help_text.h"
#include "cli/terminal.h"

int main(int argc, char** argv) {
  // Messages of clients that do not parse are answered, not printed.
  google::protobuf::SetLogHandler(nullptr);

  CLI::App cli("LRE: builds with the same key and the same bytes here and on the farm.", "lre");
  cli.require_subcommand(0, 1);
  cli.set_version_flag("--version", fmt::format("lre {}", lre::cli::Version()));
  cli.formatter(std::make_shared<lre::cli::HelpFormatter>());
  cli.failure_message(lre::cli::UsageError);
  lre::cli::App app{cli};
  lre::cli::AddCommands(app);

  // `lre run -- make` is `lre run make`: CLI11 keeps no argument of a command behind "--".
  std::vector<const char*> arguments(argv, argv + argc);
  if (argc > 3 && std::string_view(argv[1]) == "run" && std::string_view(argv[2]) == "--")
    arguments.erase(arguments.begin() + 2);
  try {
    cli.parse(static_cast<int>(arguments.size()), arguments.data());
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

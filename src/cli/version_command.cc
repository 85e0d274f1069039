// lre version, lre help.
#include "cli/commands.h"
#include "cli/terminal.h"
#include "server/config.h"
#include "service/operations_service.h"
#include "service/worker_link.h"
#include "toolchain/lock/lock.h"
#include "toolchain/lock/manifest.h"

namespace lre::cli {

using Words = std::vector<std::string>;

std::string_view Version() { return LRE_VERSION; }

void AddVersionCommand(App& app) {
  CLI::App* command = app.cli.add_subcommand("version", "Print the versions of what it speaks");
  command->callback([&app] {
    app.action = [] {
      PrintLine(fmt::format("lre {}", Version()));
      PrintLine(fmt::format("REAPI 2.0 to 2.12, worker link {}, lock {}, manifest {}",
                            service::kWorkerLinkVersion, toolchain::Lock::kSchema,
                            toolchain::Manifest::kSchema));
      return Status();
    };
  });
}

void AddHelpCommand(App& app) {
  CLI::App* command = app.cli.add_subcommand("help", "Explain a command, or the configuration");
  auto topic = std::make_shared<std::vector<std::string>>();
  command->add_option("TOPIC", *topic, "A command, \"config\" or \"operations\"");
  command->footer(
      "Examples:\n  lre help up\n  lre help store gc\n  lre help config\n  lre help operations");
  command->callback([&app, topic] {
    app.action = [&app, topic]() -> Status {
      if (*topic == Words{"config"}) {
        Print(
            "Keys of the configuration file (TOML) with their defaults, and the flags of the same "
            "meaning:\n" +
            server::DescribeConfig());
        return Status();
      }
      if (*topic == Words{"operations"}) {
        PrintLine(fmt::format("The filter of google.longrunning.Operations/ListOperations: {}.",
                              service::kOperationFilterHelp));
        return Status();
      }
      if (topic->empty()) {
        // Not help(), which goes to the command that was given: this one.
        Print(app.cli.get_formatter()->make_help(&app.cli, app.cli.get_name(),
                                                 CLI::AppFormatMode::Normal));
        return Status();
      }
      DeclareAll(app);
      const CLI::App* command = FindCommand(app.cli, *topic);
      const std::string name = fmt::format("lre {}", fmt::join(*topic, " "));
      if (command != nullptr) {
        Print(command->get_formatter()->make_help(command, name, CLI::AppFormatMode::Normal));
        return Status();
      }
      app.exit_code = 2;
      return ErrorStatus(Code::kInvalidArgument, "no command `{}`; `lre help` lists them", name);
    };
  });
}

}  // namespace lre::cli

#include "cli/commands.h"

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

}  // namespace lre::cli

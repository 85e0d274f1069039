#include "cli/config_flags.h"

#include <algorithm>

#include "base/file.h"

namespace lre::cli {

ConfigFlags::ConfigFlags(CLI::App& command, std::vector<std::string> without) {
  command
      .add_option("--config", file_, "Configuration file (TOML); `lre help config` lists its keys")
      ->type_name("FILE");
  const server::Config defaults;
  for (const server::ConfigKey& key : server::ConfigSchema()) {
    values_.push_back(std::make_unique<std::string>());
    options_.push_back(nullptr);
    if (std::any_of(without.begin(), without.end(),
                    [&](const std::string& prefix) { return key.name.starts_with(prefix); })) {
      continue;
    }
    const std::string shown = key.show(defaults);
    std::string help(key.help);
    if (!shown.empty()) help += " [" + shown + "]";
    std::string flags = server::FlagOf(key);
    if (key.name == "worker.sandbox") flags += ",--sandbox";
    if (key.name == "upstream.address") flags += ",--upstream";
    CLI::Option* option = nullptr;
    if (key.unit == "true|false") {
      // `--insecure` and `--insecure=false`.
      option = command.add_flag(flags + "{true}", *values_.back(), help);
    } else {
      option = command.add_option(flags, *values_.back(), help);
      option->type_name(std::string(key.unit))->allow_extra_args(false);
    }
    options_.back() = option;
  }
}

Result<server::Config> ConfigFlags::Read() const {
  server::Config config;
  if (!file_.empty()) {
    TRY_ASSIGN(std::string text, ReadFile(file_, 1 << 20));
    TRY(server::ApplyConfigText(text, file_, config));
  }
  const auto& schema = server::ConfigSchema();
  for (size_t i = 0; i < schema.size(); i++) {
    if (!options_[i] || options_[i]->count() == 0) continue;
    TRY(server::ApplyConfigValue(schema[i], *values_[i], config));
  }
  TRY(server::CheckConfig(config));
  return config;
}

}  // namespace lre::cli

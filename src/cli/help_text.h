// How --help and wrong usage read. Text only; for the main thread.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace lre::cli {

// Names what an option takes and whether it may come several times; says nothing of CLI11's own
// types and rules.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_option_name(const CLI::Option* option, bool is_positional) const override;
  std::string make_option_opts(const CLI::Option* option) const override;
};

// "lre: ...; `lre COMMAND --help` says what there is", for CLI::App::failure_message.
std::string UsageError(const CLI::App* program, const CLI::Error& error);

}  // namespace lre::cli

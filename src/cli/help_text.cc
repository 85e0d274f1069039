#include "cli/help_text.h"

#include <fmt/format.h>

namespace lre::cli {

std::string HelpFormatter::make_option_name(const CLI::Option* option, bool is_positional) const {
  std::string name = CLI::Formatter::make_option_name(option, is_positional);
  // "--insecure{true}" is how a flag is declared that takes "=false" too.
  const size_t brace = name.find('{');
  return brace == name.npos ? name : name.substr(0, brace) + "[=false]";
}

std::string HelpFormatter::make_option_opts(const CLI::Option* option) const {
  if (option->get_type_size() == 0) return "";
  const bool several = option->get_expected_max() == CLI::detail::expected_max_vector_size;
  // A positional's name says what it is.
  if (option->get_positional()) return several ? " ..." : "";
  const std::string& type = option->get_type_name();
  return (type.empty() ? "" : " " + type) + (several ? " ..." : "");
}

std::string UsageError(const CLI::App* program, const CLI::Error& error) {
  std::string command = program->get_name();
  for (const CLI::App* at = program; !at->get_subcommands().empty();) {
    at = at->get_subcommands().front();
    command += " " + at->get_name();
  }
  return fmt::format("lre: {}; `{} --help` says what there is\n", error.what(), command);
}

}  // namespace lre::cli

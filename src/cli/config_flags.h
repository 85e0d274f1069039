// The server's configuration as flags of a command: --config FILE, of at most 1 MiB, and one flag
// per key of the schema (server/config.h). Must outlive the command, which writes into it when the
// command line is parsed; for the main thread. Errors name the flag, or the file and the key.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "server/config.h"

namespace lre::cli {

class ConfigFlags {
 public:
  // Adds the flags whose key starts with none of `without` ("worker.").
  ConfigFlags(CLI::App& command, std::vector<std::string> without = {});
  // The defaults, then the file, then the flags; checked.
  Result<server::Config> Read() const;

 private:
  std::string file_;
  // By position in the schema; kept in boxes because CLI11 holds references.
  std::vector<std::unique_ptr<std::string>> values_;
  std::vector<CLI::Option*> options_;
};

}  // namespace lre::cli

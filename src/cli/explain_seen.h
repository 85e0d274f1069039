// lre explain with the record of one side only: what missed is compared with the nearest action
// that the server has seen. Prints; blocks; for the main thread.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/status.h"
#include "cli/remote_server.h"
#include "explain/action_facts.h"

namespace lre::cli {

struct ExplainFlags {
  std::string a, b;
  std::string target, mnemonic;
  size_t differences_max = 3;
  bool json = false;
  ServerFlags server;
};

nlohmann::json AsJson(const explain::Difference& difference);

// flags.a is an execution log, a label, or an action, which is then given as `action`. kNotFound:
// the server has seen nothing to compare with. As diff(1) has it, a difference that was printed is
// an error without a message.
Status ExplainSeen(const std::optional<Digest>& action, const ExplainFlags& flags);

}  // namespace lre::cli

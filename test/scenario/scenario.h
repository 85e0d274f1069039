// Scenarios: protocol behaviour as text. Each names the message or field that it tests and says
// what is sent and what must come back; the grammar is in README.md. Plain values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace lre::scenario {

struct Step {
  std::string verb;                    // "let", "put", "call", "send", "expect", "reply", ...
  std::vector<std::string> arguments;  // the words after it
  std::string block;                   // the indented lines that follow: text format
  int line = 0;
};

struct Scenario {
  std::string title;
  std::string cites;
  std::vector<std::string> features;  // run only where the server announces all: "execution"
  std::string file;
  int line = 0;
  std::vector<Step> steps;
};

// kInvalidArgument with file and line.
Result<std::vector<Scenario>> ParseScenarios(std::string_view text, const std::string& file);

}  // namespace lre::scenario

#include "scenario.h"

#include <set>
#include <sstream>
#include <utility>

namespace lre::scenario {
namespace {

const std::set<std::string> kVerbs = {"let",     "put",   "call",  "send",  "unknown", "expect",
                                      "reply",   "last",  "lacks", "each",  "keep",    "data",
                                      "without", "holds", "count", "plain", "replies", "detail"};

// Words, where a double-quoted one may hold spaces.
std::vector<std::string> Words(const std::string& line) {
  std::vector<std::string> words;
  std::string word;
  bool quoted = false;
  for (char c : line) {
    if (c == '"') quoted = !quoted;
    if (c == ' ' && !quoted) {
      if (!word.empty()) words.push_back(std::exchange(word, {}));
    } else {
      word += c;
    }
  }
  if (!word.empty()) words.push_back(word);
  return words;
}

}  // namespace

Result<std::vector<Scenario>> ParseScenarios(std::string_view text, const std::string& file) {
  std::vector<Scenario> scenarios;
  std::istringstream lines{std::string(text)};
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    number++;
    auto bad = [&](std::string_view why) {
      return Error(Code::kInvalidArgument, "{}:{}: {}", file, number, why);
    };
    if (line.empty() || line[0] == '#') continue;
    if (line.starts_with("  ")) {
      if (scenarios.empty() || scenarios.back().steps.empty()) return bad("text before any step");
      scenarios.back().steps.back().block += line + "\n";
      continue;
    }
    if (line.starts_with("scenario: ")) {
      scenarios.push_back({.title = line.substr(10), .file = file, .line = number});
      continue;
    }
    if (scenarios.empty()) return bad("a step before the first scenario");
    Scenario& scenario = scenarios.back();
    if (line.starts_with("cites: ")) {
      scenario.cites = line.substr(7);
    } else if (line.starts_with("requires: ")) {
      scenario.features = Words(line.substr(10));
    } else {
      std::vector<std::string> words = Words(line);
      if (!kVerbs.contains(words[0])) return bad("unknown verb " + words[0]);
      scenario.steps.push_back(
          {.verb = words[0], .arguments = {words.begin() + 1, words.end()}, .line = number});
    }
  }
  for (const Scenario& scenario : scenarios) {
    if (scenario.cites.empty() || scenario.steps.empty()) {
      return Error(Code::kInvalidArgument, "{}:{}: no cites: line, or no step", file,
                   scenario.line);
    }
  }
  return scenarios;
}

}  // namespace lre::scenario

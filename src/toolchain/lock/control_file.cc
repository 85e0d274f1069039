#include "toolchain/lock/control_file.h"

#include <strings.h>

#include <algorithm>

namespace lre::toolchain {
namespace {

constexpr std::string_view kBlanks = " \t\r";

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

std::string_view TakeLine(std::string_view* rest) {
  const size_t end = rest->find('\n');
  const std::string_view line = rest->substr(0, end);
  rest->remove_prefix(end == std::string_view::npos ? rest->size() : end + 1);
  return line;
}

bool IsBlank(std::string_view line) {
  return line.find_first_not_of(kBlanks) == std::string_view::npos;
}

bool IsContinuation(std::string_view line) {
  return !line.empty() && (line[0] == ' ' || line[0] == '\t');
}

}  // namespace

std::optional<std::string> ControlParagraph::Field(std::string_view name) const {
  std::string_view rest = text_;
  while (!rest.empty()) {
    const std::string_view line = TakeLine(&rest);
    if (line.size() <= name.size() || line[name.size()] != ':') continue;
    if (strncasecmp(line.data(), name.data(), name.size()) != 0) continue;
    std::string value(Trim(line.substr(name.size() + 1)));
    while (!rest.empty() && (IsContinuation(rest) || rest[0] == '#')) {
      const std::string_view next = TakeLine(&rest);
      if (next[0] == '#') continue;
      value += '\n';
      value += next;
    }
    return value;
  }
  return std::nullopt;
}

std::vector<std::string> ControlParagraph::Words(std::string_view name) const {
  std::vector<std::string> words;
  const std::string value = Field(name).value_or("");
  constexpr std::string_view kSeparators = " \t\r\n";
  for (size_t at = 0; (at = value.find_first_not_of(kSeparators, at)) != std::string::npos;) {
    const size_t end = std::min(value.find_first_of(kSeparators, at), value.size());
    words.push_back(value.substr(at, end - at));
    at = end;
  }
  return words;
}

std::optional<ControlParagraph> NextParagraph(std::string_view* rest) {
  while (!rest->empty()) {  // skips what stands between paragraphs
    std::string_view after = *rest;
    const std::string_view line = TakeLine(&after);
    if (!IsBlank(line) && line[0] != '#') break;
    *rest = after;
  }
  if (rest->empty()) return std::nullopt;
  const std::string_view start = *rest;
  size_t size = 0;
  while (!rest->empty()) {
    const std::string_view line = TakeLine(rest);
    if (IsBlank(line)) break;
    size = static_cast<size_t>(line.data() + line.size() - start.data());
  }
  return ControlParagraph(start.substr(0, size));
}

}  // namespace lre::toolchain

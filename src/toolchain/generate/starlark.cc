// Starlark literals as buildifier would format them, so that generated files pass a user's own
// lints.
#include <algorithm>

#include "toolchain/generate/parts.h"

namespace lre::toolchain {

std::string StarlarkString(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string StarlarkList(const std::vector<std::string>& values, int indent) {
  if (values.empty()) return "[]";
  if (values.size() == 1) return "[" + StarlarkString(values[0]) + "]";
  std::string out = "[\n";
  for (const std::string& value : values) {
    out += std::string(indent + 4, ' ') + StarlarkString(value) + ",\n";
  }
  return out + std::string(indent, ' ') + "]";
}

std::string StarlarkDict(const std::map<std::string, std::string>& values, int indent) {
  if (values.empty()) return "{}";
  std::string out = "{\n";
  for (const auto& [key, value] : values) {
    out +=
        std::string(indent + 4, ' ') + StarlarkString(key) + ": " + StarlarkString(value) + ",\n";
  }
  return out + std::string(indent, ' ') + "}";
}

}  // namespace lre::toolchain

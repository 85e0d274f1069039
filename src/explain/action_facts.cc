#include "explain/action_facts.h"

#include <fmt/format.h>

#include <algorithm>

namespace lre::explain {
namespace {

constexpr std::string_view kAbsent = "(absent)";
constexpr std::string_view kStore = "/lre/store/";
constexpr size_t kHashLength = 32;
constexpr size_t kShownMax = 160;

// The text with the hashes of store paths blanked out.
std::string WithoutStoreHashes(std::string text) {
  for (size_t at = text.find(kStore); at != text.npos; at = text.find(kStore, at + 1)) {
    size_t begin = at + kStore.size();
    for (size_t i = begin; i < std::min(text.size(), begin + kHashLength); ++i) text[i] = '-';
  }
  return text;
}

// Whether nothing but the versions of toolchains differs.
bool OnlyToolchain(const std::string& a, const std::string& b) {
  return a.find(kStore) != a.npos && WithoutStoreHashes(a) == WithoutStoreHashes(b);
}

class Comparison {
 public:
  explicit Comparison(size_t differences_max) : max_(differences_max) {}

  void Lists(const std::vector<std::string>& a, const std::vector<std::string>& b,
             std::string_view what, Cause cause) {
    // Past the first insertion everything would differ: what is common at the end is not reported.
    size_t begin = 0, end_a = a.size(), end_b = b.size();
    while (begin < end_a && begin < end_b && a[begin] == b[begin]) ++begin;
    if (a.size() != b.size()) {
      while (end_a > begin && end_b > begin && a[end_a - 1] == b[end_b - 1]) --end_a, --end_b;
    }
    for (size_t i = begin; i < std::max(end_a, end_b); ++i) {
      std::string left(i < end_a ? a[i] : kAbsent), right(i < end_b ? b[i] : kAbsent);
      if (left != right) Add(cause, fmt::format("{} {}", what, i), left, right);
    }
  }

  void Maps(const std::map<std::string, std::string>& a,
            const std::map<std::string, std::string>& b, std::string_view what, Cause differs,
            Cause absent) {
    auto left = a.begin(), right = b.begin();
    while (left != a.end() || right != b.end()) {
      if (right == b.end() || (left != a.end() && left->first < right->first)) {
        Add(absent, fmt::format("{} {}", what, left->first), left->second, std::string(kAbsent));
        ++left;
      } else if (left == a.end() || right->first < left->first) {
        Add(absent, fmt::format("{} {}", what, right->first), std::string(kAbsent), right->second);
        ++right;
      } else {
        if (left->second != right->second)
          Add(differs, fmt::format("{} {}", what, left->first), left->second, right->second);
        ++left;
        ++right;
      }
    }
  }

  void Add(Cause cause, std::string field, std::string a, std::string b) {
    if ((cause == Cause::kCommandLine || cause == Cause::kEnvironment) && OnlyToolchain(a, b))
      cause = Cause::kToolchain;
    found_.push_back({cause, std::move(field), std::move(a), std::move(b)});
  }

  std::vector<Difference> Take() {
    std::stable_sort(found_.begin(), found_.end(),
                     [](const Difference& a, const Difference& b) { return a.cause < b.cause; });
    if (found_.size() > max_) found_.resize(max_);
    return std::move(found_);
  }

 private:
  const size_t max_;
  std::vector<Difference> found_;
};

// A piece of `text` around `at`, with "..." for what is left out.
std::string Excerpt(const std::string& text, size_t at) {
  if (text.size() <= kShownMax) return text;
  size_t begin = at > kShownMax / 3 ? at - kShownMax / 3 : 0;
  std::string shown = text.substr(begin, kShownMax);
  if (begin > 0) shown.insert(0, "...");
  if (begin + kShownMax < text.size()) shown += "...";
  return shown;
}

}  // namespace

std::string_view CauseName(Cause cause) {
  switch (cause) {
    case Cause::kToolchain:
      return "toolchain";
    case Cause::kCommandLine:
      return "command line";
    case Cause::kEnvironment:
      return "environment";
    case Cause::kPlatform:
      return "platform";
    case Cause::kInput:
      return "input file";
    case Cause::kInputSet:
      return "set of inputs";
    case Cause::kOutputs:
      return "outputs";
    case Cause::kOther:
      return "other field";
    case Cause::kUnknown:
      return "nothing that is recorded";
  }
  return "";
}

std::vector<Difference> Compare(const ActionFacts& a, const ActionFacts& b,
                                size_t differences_max) {
  Comparison comparison(differences_max);
  comparison.Lists(a.arguments, b.arguments, "argument", Cause::kCommandLine);
  comparison.Maps(a.environment, b.environment, "variable", Cause::kEnvironment,
                  Cause::kEnvironment);
  comparison.Maps(a.platform, b.platform, "property", Cause::kPlatform, Cause::kPlatform);
  comparison.Maps(a.inputs, b.inputs, "input", Cause::kInput, Cause::kInputSet);
  comparison.Lists(a.outputs, b.outputs, "output", Cause::kOutputs);
  auto other = [&](const char* field, std::string left, std::string right) {
    if (left != right) comparison.Add(Cause::kOther, field, std::move(left), std::move(right));
  };
  other("working directory", a.working_directory, b.working_directory);
  other("timeout", fmt::format("{} ms", a.timeout_ms), fmt::format("{} ms", b.timeout_ms));
  other("salt", a.salt, b.salt);
  other("do_not_cache", a.do_not_cache ? "true" : "false", b.do_not_cache ? "true" : "false");
  return comparison.Take();
}

std::string Describe(const Difference& difference) {
  const auto& [cause, field, a, b] = difference;
  size_t at =
      static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
  return fmt::format("{} ({})\n  A: {}\n  B: {}", field, CauseName(cause), Excerpt(a, at),
                     Excerpt(b, at));
}

}  // namespace lre::explain

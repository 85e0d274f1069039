#include "scheduler/terms.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/quantity.h"

namespace lre::scheduler {

namespace {

constexpr int64_t kThousand = 1000;
constexpr double kAmountMax = 9e15;  // in thousandths it still fits

std::string Folded(const std::string& name, std::string_view value) {
  std::string copy(value);
  if (name != "OSFamily") return copy;
  for (char& c : copy) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return copy;
}

void Sort(Properties& properties) {
  std::sort(properties.begin(), properties.end());
  properties.erase(std::unique(properties.begin(), properties.end()), properties.end());
}

size_t PlaceOf(const std::string& name, const SchedulerOptions& options) {
  const auto& names = options.minimum_properties;
  return static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
}

void AddKey(int64_t number, std::string& key) {
  key += ',';
  key += std::to_string(number);
}

}  // namespace

Result<int64_t> ParseAmount(std::string_view text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || at != end) {
    const Result<uint64_t> size = ParseSize(text);
    if (!size) return Error(Code::kInvalidArgument, "\"{}\" is neither a number nor a size", text);
    number = static_cast<double>(*size);
  }
  if (!(number >= 0) || number > kAmountMax) {
    return Error(Code::kInvalidArgument, "\"{}\" is below 0 or too large", text);
  }
  return static_cast<int64_t>(std::ceil(number * kThousand));
}

std::string PrintAmount(std::string_view name, int64_t thousandths) {
  // Nothing but memory and disks is counted in millions.
  if (thousandths >= int64_t{1'000'000} * kThousand) {
    return fmt::format("{}=\"{}\"", name, FormatSize(static_cast<uint64_t>(thousandths / 1000)));
  }
  return fmt::format("{}=\"{:g}\"", name, static_cast<double>(thousandths) / kThousand);
}

Result<Terms> WantedTerms(const Properties& properties, const SchedulerOptions& options) {
  Terms terms;
  const auto& ignored = options.ignored_properties;
  for (const auto& [name, value] : properties) {
    if (std::find(ignored.begin(), ignored.end(), name) != ignored.end()) continue;
    const size_t place = PlaceOf(name, options);
    if (place == options.minimum_properties.size()) {
      terms.exact.emplace_back(name, Folded(name, value));
      continue;
    }
    Result<int64_t> amount = ParseAmount(value);
    if (!amount) {
      return std::unexpected(amount.error().WithContext("platform property \"" + name + "\""));
    }
    if (terms.amounts.empty()) terms.amounts.assign(options.minimum_properties.size(), kUnsaid);
    terms.amounts[place] = std::max(terms.amounts[place], *amount);
  }
  Sort(terms.exact);
  return terms;
}

Terms OfferedTerms(const Properties& properties, const SchedulerOptions& options) {
  Terms terms;
  for (const auto& [name, value] : properties) {
    const size_t place = PlaceOf(name, options);
    if (place < options.minimum_properties.size()) {
      const Result<int64_t> amount = ParseAmount(value);
      if (!amount) continue;
      if (terms.amounts.empty()) terms.amounts.assign(options.minimum_properties.size(), kUnsaid);
      terms.amounts[place] = std::max(terms.amounts[place], *amount);
      continue;
    }
    std::string_view rest = value;
    while (true) {
      const size_t bar = rest.find('|');
      terms.exact.emplace_back(name, Folded(name, rest.substr(0, bar)));
      if (bar == std::string_view::npos) break;
      rest.remove_prefix(bar + 1);
    }
  }
  Sort(terms.exact);
  return terms;
}

std::string PrintTerms(const Terms& wanted, const SchedulerOptions& options) {
  std::string text;
  for (const auto& [name, value] : wanted.exact) {
    text += fmt::format("{}{}={}", text.empty() ? "" : ";", name, value);
  }
  for (size_t i = 0; i < wanted.amounts.size(); i++) {
    if (wanted.amounts[i] == kUnsaid) continue;
    text += fmt::format("{}{}>={:g}", text.empty() ? "" : ";", options.minimum_properties[i],
                        static_cast<double>(wanted.amounts[i]) / kThousand);
  }
  return text;
}

std::string KeyOf(const Terms& terms) {
  std::string key;
  for (const auto& [name, value] : terms.exact) {
    key += std::to_string(name.size()) + ':' + name;
    key += std::to_string(value.size()) + ':' + value;
  }
  for (int64_t amount : terms.amounts) AddKey(amount, key);
  key += '/';
  for (int64_t amount : terms.learned) AddKey(amount, key);
  if (terms.suspect) key += '!';
  return key;
}

bool Serves(const Terms& offered, const Terms& wanted) {
  for (size_t i = 0; i < wanted.amounts.size(); i++) {
    const int64_t has = i < offered.amounts.size() ? offered.amounts[i] : kUnsaid;
    if (has < wanted.amounts[i]) return false;
  }
  return std::includes(offered.exact.begin(), offered.exact.end(), wanted.exact.begin(),
                       wanted.exact.end());
}

namespace {

int64_t NeedOf(const Terms& wanted, const Amounts& capacity, size_t place) {
  if (capacity[place] == kUnsaid) return 0;
  int64_t need = 0;
  if (place < wanted.amounts.size()) need = std::max<int64_t>(wanted.amounts[place], 0);
  if (place >= wanted.learned.size()) return need;
  return std::max(need, std::min(wanted.learned[place], capacity[place]));
}

}  // namespace

Amounts NeedOf(const Terms& wanted, const Amounts& capacity) {
  Amounts need(capacity.size(), 0);
  for (size_t i = 0; i < capacity.size(); i++) need[i] = NeedOf(wanted, capacity, i);
  return need;
}

bool Fits(const Terms& wanted, const Amounts& capacity, const Amounts& left) {
  for (size_t i = 0; i < left.size(); i++) {
    const int64_t need = NeedOf(wanted, capacity, i);
    if (need > 0 && left[i] < need) return false;
  }
  return true;
}

}  // namespace lre::scheduler

#include "rpc/text.h"

#include <array>
#include <charconv>
#include <cstdint>

namespace lre::rpc {

std::optional<Duration> ParseTimeout(std::string_view text) {
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  int64_t count = 0;
  for (char c : text.substr(0, text.size() - 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    count = count * 10 + (c - '0');
  }
  switch (text.back()) {
    case 'H': {
      // 8 digits of hours are more than 64 bits of nanoseconds hold.
      constexpr int64_t kHoursMax = 24 * 365 * 200;
      return std::chrono::hours(count < kHoursMax ? count : kHoursMax);
    }
    case 'M':
      return std::chrono::minutes(count);
    case 'S':
      return std::chrono::seconds(count);
    case 'm':
      return std::chrono::milliseconds(count);
    case 'u':
      return std::chrono::microseconds(count);
    case 'n':
      return std::chrono::nanoseconds(count);
    default:
      return std::nullopt;
  }
}

std::string FormatTimeout(Duration timeout) {
  constexpr int64_t kDigitsMax = 99'999'999;
  int64_t nanos = timeout.count() > 0 ? timeout.count() : 1;
  struct Unit {
    int64_t nanos;
    char name;
  };
  constexpr Unit kUnits[] = {{1, 'n'},
                             {1'000, 'u'},
                             {1'000'000, 'm'},
                             {1'000'000'000, 'S'},
                             {60'000'000'000, 'M'},
                             {3'600'000'000'000, 'H'}};
  for (const Unit& unit : kUnits) {
    int64_t count = nanos / unit.nanos + (nanos % unit.nanos != 0 ? 1 : 0);
    if (count <= kDigitsMax) return std::to_string(count) + unit.name;
  }
  return "99999999H";
}

std::string PercentEncode(std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (unsigned char c : text) {
    if (c >= 0x20 && c <= 0x7e && c != '%') {
      out.push_back(static_cast<char>(c));
    } else {
      out.push_back('%');
      out.push_back(kHex[c >> 4]);
      out.push_back(kHex[c & 15]);
    }
  }
  return out;
}

static int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string PercentDecode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      int high = HexDigit(text[i + 1]), low = HexDigit(text[i + 2]);
      if (high >= 0 && low >= 0) {
        out.push_back(static_cast<char>(high * 16 + low));
        i += 2;
        continue;
      }
    }
    out.push_back(text[i]);
  }
  return out;
}

constexpr char kBase64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string Base64Encode(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() * 4 + 2) / 3);
  uint32_t bits = 0;
  int have = 0;
  for (unsigned char c : bytes) {
    bits = bits << 8 | c;
    have += 8;
    while (have >= 6) {
      have -= 6;
      out.push_back(kBase64[bits >> have & 63]);
    }
  }
  if (have > 0) out.push_back(kBase64[bits << (6 - have) & 63]);
  return out;
}

std::optional<std::string> Base64Decode(std::string_view text) {
  static const auto kValues = [] {
    std::array<int8_t, 256> values;
    values.fill(-1);
    for (int i = 0; i < 64; ++i)
      values[static_cast<unsigned char>(kBase64[i])] = static_cast<int8_t>(i);
    return values;
  }();
  for (int padding = 0; padding < 2 && !text.empty() && text.back() == '='; ++padding) {
    text.remove_suffix(1);
  }
  if (text.size() % 4 == 1) return std::nullopt;
  std::string out;
  out.reserve(text.size() * 3 / 4);
  uint32_t bits = 0;
  int have = 0;
  for (unsigned char c : text) {
    int8_t value = kValues[c];
    if (value < 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(value);
    have += 6;
    if (have >= 8) {
      have -= 8;
      out.push_back(static_cast<char>(bits >> have & 255));
    }
  }
  return out;
}

Code ParseGrpcStatus(std::string_view text) {
  int value = -1;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0 || value > 16) {
    return Code::kUnknown;
  }
  return static_cast<Code>(value);
}

Code CodeOfHttpStatus(int status) {
  switch (status) {
    case 400:
      return Code::kInternal;
    case 401:
      return Code::kUnauthenticated;
    case 403:
      return Code::kPermissionDenied;
    case 404:
      return Code::kUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return Code::kUnavailable;
    default:
      return Code::kUnknown;
  }
}

bool ListHas(std::string_view list, std::string_view name) {
  while (!list.empty()) {
    std::string_view item = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), item.size() + 1));
    item.remove_prefix(std::min(item.size(), item.find_first_not_of(" \t")));
    if (item.substr(0, item.find_last_not_of(" \t") + 1) == name) return true;
  }
  return false;
}

bool IsGrpcContentType(std::string_view content_type) {
  constexpr std::string_view kPrefix = "application/grpc";
  if (!content_type.starts_with(kPrefix)) return false;
  if (content_type.size() == kPrefix.size()) return true;
  char next = content_type[kPrefix.size()];
  return next == '+' || next == ';';
}

}  // namespace lre::rpc

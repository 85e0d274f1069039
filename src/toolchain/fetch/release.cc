#include "toolchain/fetch/release.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>

#include "base/hex.h"
#include "toolchain/lock/control_file.h"

namespace lre::toolchain {
namespace {

template <typename T>
bool ParseNumber(std::string_view text, T* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::optional<WallTime> ParseReleaseDate(std::string_view text) {
  static constexpr std::array<std::string_view, 12> kMonths = {
      "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::string line = fmt::format("W: {}", text);
  const std::vector<std::string> words = ControlParagraph(line).Words("W");
  if (words.size() != 6 || (words[5] != "UTC" && words[5] != "GMT" && words[5] != "+0000")) {
    return std::nullopt;
  }
  const auto month = std::find(kMonths.begin(), kMonths.end(), words[2]);
  const std::string& time = words[4];
  std::tm fields{};
  if (month == kMonths.end() || time.size() != 8 || time[2] != ':' || time[5] != ':' ||
      !ParseNumber(words[1], &fields.tm_mday) || !ParseNumber(words[3], &fields.tm_year) ||
      !ParseNumber(std::string_view(time).substr(0, 2), &fields.tm_hour) ||
      !ParseNumber(std::string_view(time).substr(3, 2), &fields.tm_min) ||
      !ParseNumber(std::string_view(time).substr(6, 2), &fields.tm_sec)) {
    return std::nullopt;
  }
  if (fields.tm_year < 1970 || fields.tm_year > 2200)
    return std::nullopt;  // of what WallTime holds
  fields.tm_year -= 1900;
  fields.tm_mon = static_cast<int>(month - kMonths.begin());
  return WallTime(std::chrono::seconds(timegm(&fields)));
}

bool Release::Serves(std::string_view architecture) const {
  return architectures.empty() ||
         std::count(architectures.begin(), architectures.end(), architecture) > 0;
}

Result<Release> ParseRelease(std::string_view text) {
  const auto paragraph = NextParagraph(&text);
  if (!paragraph) return Error(Code::kDataLoss, "the Release file is empty");
  Release release;
  release.suite = paragraph->Field("Suite").value_or("");
  release.codename = paragraph->Field("Codename").value_or("");
  release.by_hash = paragraph->Field("Acquire-By-Hash") == "yes";
  release.architectures = paragraph->Words("Architectures");
  release.all_is_separate = release.Serves("all") && !release.architectures.empty() &&
                            paragraph->Field("No-Support-for-Architecture-all") != "Packages";
  if (const auto until = paragraph->Field("Valid-Until")) {
    release.valid_until = ParseReleaseDate(*until);
    if (!release.valid_until) {
      return Error(Code::kDataLoss, "the Release file's Valid-Until is \"{}\"", *until);
    }
  }
  const std::vector<std::string> words = paragraph->Words("SHA256");
  if (words.empty() || words.size() % 3 != 0) {
    return Error(Code::kDataLoss, "the Release file has no list of SHA256 hashes");
  }
  for (size_t i = 0; i < words.size(); i += 3) {
    ReleaseFile file{.sha256 = words[i]};
    char hash[32];
    if (file.sha256.size() != 64 || !HexDecodeTo(file.sha256, hash) ||
        !ParseNumber(words[i + 1], &file.size_bytes)) {
      return Error(Code::kDataLoss, "the Release file's entry for {} is malformed", words[i + 2]);
    }
    release.files.emplace(words[i + 2], std::move(file));
  }
  return release;
}

}  // namespace lre::toolchain

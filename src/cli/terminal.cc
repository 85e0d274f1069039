#include "cli/terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace lre::cli {

void Print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void PrintLine(std::string_view line) { Print(std::string(line) + "\n"); }

void PrintNote(std::string_view message) {
  PrintLine(fmt::format("{} {}", Coloured("note:", Colour::kYellow), message));
}

std::string Coloured(std::string_view text, Colour colour, int fd) {
  if (!isatty(fd) || std::getenv("NO_COLOR")) return std::string(text);
  static constexpr const char* kCodes[] = {"31", "32", "33", "1"};
  return fmt::format("\033[{}m{}\033[0m", kCodes[static_cast<int>(colour)], text);
}

void PrintError(const Status& status) {
  const std::string line =
      fmt::format("{} {}\n", Coloured("lre:", Colour::kRed, 2), status.message());
  std::fwrite(line.data(), 1, line.size(), stderr);
}

Progress::Progress(const Clock& clock) : clock_(clock), terminal_(isatty(2) != 0) {}
Progress::~Progress() { Clear(); }

void Progress::Show(std::string_view what, std::string_view detail) {
  std::lock_guard lock(mutex_);
  const Instant now = clock_.Now();
  const bool changed = last_what_ != what;
  if (!changed && (!terminal_ || now - last_ < std::chrono::milliseconds(80))) return;
  last_what_ = what;
  last_ = now;
  shown_ = terminal_;
  const std::string line = terminal_ ? fmt::format("\r\033[K{} {}", what, detail.substr(0, 100))
                                     : fmt::format("{} {}\n", what, detail);
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fflush(stderr);
}

void Progress::Clear() {
  std::lock_guard lock(mutex_);
  if (std::exchange(shown_, false)) std::fputs("\r\033[K", stderr);
}

}  // namespace lre::cli

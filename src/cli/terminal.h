// What people see: lines on standard output, errors on standard error, progress on a terminal.
// Colours and lines that rewrite themselves only where a terminal is (and NO_COLOR is not set).
// Used from the main thread; Progress also from threads of the work it shows.
#pragma once

#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"

namespace lre::cli {

// Writes the text as it is and flushes: others wait for these lines.
void Print(std::string_view text);
void PrintLine(std::string_view line);
// "lre: <message>" on standard error.
void PrintError(const Status& status);

// "note: <message>": what is worth knowing, and stops nothing.
void PrintNote(std::string_view message);

enum class Colour { kRed, kGreen, kYellow, kBold };
// The text in colour when standard output (or standard error) is a terminal.
std::string Coloured(std::string_view text, Colour colour, int fd = 1);

// One line on standard error that says where the work stands. Without a terminal a line is written
// when the subject changes.
class Progress {
 public:
  explicit Progress(const Clock& clock);
  ~Progress();
  // `what` is short and constant ("fetching"), `detail` changes.
  void Show(std::string_view what, std::string_view detail);
  // Removes the line.
  void Clear();

 private:
  const Clock& clock_;
  const bool terminal_;
  std::mutex mutex_;
  bool shown_ = false;
  std::string last_what_;
  Instant last_{};
};

}  // namespace lre::cli

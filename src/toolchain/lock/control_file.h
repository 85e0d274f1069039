// Debian control files (deb-control(5), deb822): paragraphs of "Field: value", continued on lines
// that begin with a space or tab. Packages indices, Release files and apt's *.sources are such
// files. Pure functions over text that the caller keeps alive; thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lre::toolchain {

// One paragraph: a view into the text. Looking a field up scans the paragraph.
class ControlParagraph {
 public:
  explicit ControlParagraph(std::string_view text) : text_(text) {}
  // The value of a field (names compare without case), its first line without surrounding blanks
  // and its continuation lines after '\n' as they stand; nullopt when there is no such field.
  std::optional<std::string> Field(std::string_view name) const;
  // The value split at blanks and newlines.
  std::vector<std::string> Words(std::string_view name) const;
  std::string_view text() const { return text_; }

 private:
  std::string_view text_;
};

// Takes the next paragraph off `rest`; nullopt at the end. Lines that begin with '#' are comments
// when they stand between paragraphs, as in apt's files.
std::optional<ControlParagraph> NextParagraph(std::string_view* rest);

}  // namespace lre::toolchain

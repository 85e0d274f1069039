// What the committed module takes from others, and where: its own files, or labels that the
// published rules have and keep. test/e2e/labels.sh looks the same list up in the sources at hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/lines.h"
#include "base/source_path.h"

namespace lre::toolchain {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string kModule = SourcePath("local-remote-execution/");

// The text in quotes from `at` to `end`.
std::vector<std::string> Quoted(const std::string& text, size_t at, size_t end) {
  std::vector<std::string> strings;
  while ((at = text.find('"', at)) < end) {
    size_t close = text.find('"', at + 1);
    if (close == text.npos) break;
    strings.push_back(text.substr(at + 1, close - at - 1));
    at = close + 1;
  }
  return strings;
}

// "LABEL NAME" or "LABEL", as in test/golden/public_labels.txt.
struct Taken {
  std::set<std::string> from_others;
  std::vector<std::string> missing;  // of the module's own
};

void TakeLoads(const std::string& package, const std::string& text, Taken* taken) {
  for (size_t at = 0; (at = text.find("load(", at)) != text.npos; ++at) {
    if (at != 0 && text[at - 1] != '\n') continue;
    std::vector<std::string> strings = Quoted(text, at, text.find(')', at));
    ASSERT_GE(strings.size(), 2u) << text.substr(at, 80);
    std::string file = strings[0];
    if (file.starts_with('@')) {
      for (size_t i = 1; i < strings.size(); ++i)
        taken->from_others.insert(file + " " + strings[i]);
      continue;
    }
    file = file.starts_with(':') ? package + "/" + file.substr(1) : file.substr(2);
    if (size_t colon = file.find(':'); colon != file.npos) file[colon] = '/';
    auto own = ReadFile(kModule + file);
    for (size_t i = 1; i < strings.size(); ++i) {
      bool defined = own && (own->find("\ndef " + strings[i] + "(") != own->npos ||
                             own->find("\n" + strings[i] + " = ") != own->npos);
      if (!defined) taken->missing.push_back(file + " " + strings[i]);
    }
  }
}

Taken TakenByTheModule() {
  Taken taken;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kModule)) {
    const std::string extension = entry.path().extension();
    if (extension != ".bzl" && extension != ".bazel") continue;
    const std::string text = ReadFile(entry.path()).value();
    const std::string package =
        std::filesystem::relative(entry.path().parent_path(), kModule).string();
    TakeLoads(package, text, &taken);
    for (const std::string& line : Lines(text)) {
      if (line.starts_with('#') || line.find("load(") != line.npos) continue;
      for (const std::string& label : Quoted(line, 0, line.size()))
        if (label.starts_with("@") && !label.ends_with(".bzl")) taken.from_others.insert(label);
    }
  }
  return taken;
}

std::set<std::string> PublicLabels() {
  std::set<std::string> labels;
  auto text = ReadFile(SourcePath("test/golden/public_labels.txt"));
  EXPECT_TRUE(text) << text.error().ToString();
  for (const std::string& line : Lines(*text))
    if (!line.starts_with('#')) labels.insert(line);
  return labels;
}

TEST(LabelsTest, TheModuleTakesPublicLabelsAndItsOwnFilesOnly) {
  const Taken taken = TakenByTheModule();
  const std::set<std::string> known = PublicLabels();

  EXPECT_THAT(taken.missing, testing::IsEmpty());
  ASSERT_GT(taken.from_others.size(), 20u);
  for (const std::string& label : taken.from_others) {
    EXPECT_TRUE(known.contains(label)) << label << " is not in test/golden/public_labels.txt";
    EXPECT_THAT(label, Not(HasSubstr("private")));
  }
}

TEST(LabelsTest, TheListHoldsNothingThatTheModuleDoesNotTake) {
  const Taken taken = TakenByTheModule();

  for (const std::string& label : PublicLabels())
    EXPECT_TRUE(taken.from_others.contains(label)) << label;
}

}  // namespace
}  // namespace lre::toolchain

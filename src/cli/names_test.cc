// docs/names.md says where what NativeLink's documentation names is here: it must be there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "base/file.h"
#include "base/source_path.h"
#include "cli/commands.h"
#include "cli/help_text.h"

namespace lre::cli {
namespace {

std::string Source(const std::string& path) { return ReadFile(SourcePath(path)).value_or(""); }

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

// What stands between backticks.
std::vector<std::string> Quoted(const std::string& text) {
  std::vector<std::string> quoted;
  const std::vector<std::string> parts = Split(text, '`');
  for (size_t i = 1; i < parts.size(); i += 2) quoted.push_back(parts[i]);
  return quoted;
}

class Names : public testing::Test {
 protected:
  Names() {
    AddCommands(app_);
    DeclareAll(app_);
  }

  // "lre generate --bazelrc-prefix": a command and its options.
  void ExpectCommand(const std::string& text) {
    const std::vector<std::string> words = Split(text, ' ');
    const CLI::App* command = FindCommand(cli_, {words.at(1)});
    ASSERT_NE(command, nullptr) << text;
    for (size_t i = 2; i < words.size(); ++i) {
      if (words[i].starts_with("--")) {
        EXPECT_NE(command->get_option_no_throw(words[i]), nullptr) << text;
      }
    }
  }

  // "@local-remote-execution//examples/java:hello"
  void ExpectLabel(const std::string& text) {
    const size_t begin = text.find("//") + 2, colon = text.find(':');
    std::string package = text.substr(begin, colon - begin);
    if (text.starts_with("@")) package = "local-remote-execution/" + package;
    const std::string build = Source(package + "/BUILD.bazel"), name = text.substr(colon + 1);
    ASSERT_NE(build, "") << text;
    if (name != "all") {
      EXPECT_THAT(build, testing::HasSubstr("name = \"" + name + "\"")) << text;
    }
  }

  void Expect(const std::string& text) {
    if (text.starts_with("lre ")) {
      ExpectCommand(text);
    } else if (text.starts_with("--")) {
      EXPECT_THAT(Source("lre.bazelrc"), testing::HasSubstr(text));
    } else if (text.starts_with("//") || text.starts_with("@")) {
      ExpectLabel(text);
    } else if (text.starts_with("lre-")) {
      EXPECT_THAT(Source("lre.lock"), testing::HasSubstr("[toolchain.\"" + text + "\"]"));
    } else if (text.find_first_of("/.") != text.npos && !text.starts_with("/")) {
      EXPECT_NE(Source(text), "") << text;
    }
  }

  CLI::App cli_{"", "lre"};
  App app_{cli_};
};

void ExpectReadable(const CLI::App& command, const std::string& name) {
  const std::string about = command.get_description();
  EXPECT_FALSE(about.empty() || about.ends_with('.') || std::islower(about[0])) << name;
  const std::string help = HelpFormatter().make_help(&command, name, CLI::AppFormatMode::Normal);
  EXPECT_THAT(help,
              testing::Not(testing::AnyOf(testing::HasSubstr(" TEXT"), testing::HasSubstr("{true}"),
                                          testing::HasSubstr("Excludes"))));
  for (const CLI::Option* option : command.get_options()) {
    EXPECT_NE(option->get_description(), "") << name << " " << option->get_name();
  }
  for (const CLI::App* sub : command.get_subcommands(nullptr)) {
    // Its own, not those of all.
    EXPECT_THAT(sub->get_footer(), testing::HasSubstr(name + " " + sub->get_name()));
    EXPECT_NE(sub->get_footer(), command.get_footer()) << name << " " << sub->get_name();
    ExpectReadable(*sub, name + " " + sub->get_name());
  }
}

TEST_F(Names, EveryCommandAndOptionSaysWhatItDoes) {
  for (const CLI::App* command : cli_.get_subcommands(nullptr)) {
    ExpectReadable(*command, "lre " + command->get_name());
    EXPECT_NE(command->get_group(), "Subcommands") << command->get_name();
    if (command->get_name() != "version") {
      EXPECT_THAT(command->get_footer(), testing::HasSubstr("Example")) << command->get_name();
    }
  }
}

TEST_F(Names, WrongUsageNamesTheCommandAndWhereToRead) {
  try {
    cli_.parse("store gc --wrong");
    FAIL();
  } catch (const CLI::ParseError& error) {
    EXPECT_EQ(UsageError(&cli_, error),
              "lre: The following argument was not expected: --wrong; `lre store gc --help` says "
              "what there is\n");
  }
}

TEST_F(Names, OfTheTableAreThere) {
  int rows = 0;
  for (const std::string& line : Split(Source("docs/names.md"), '\n')) {
    const std::vector<std::string> columns = Split(line, '|');
    if (columns.size() != 4 || columns[1] == "---" || columns[1] == " there ") continue;
    ++rows;
    for (const std::string& text : Quoted(columns[2])) Expect(text);
    const std::vector<std::string> tests = Quoted(columns[3]);
    EXPECT_FALSE(tests.empty()) << line;
    for (const std::string& test : tests) EXPECT_NE(Source(test), "") << test;
  }
  EXPECT_GT(rows, 25);
}

}  // namespace
}  // namespace lre::cli

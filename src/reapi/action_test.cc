#include "reapi/action.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "reapi/digest_proto.h"

namespace lre::reapi {
namespace {

// Protobuf complains on standard error about every mutated string.
[[maybe_unused]] auto* const kSilence = google::protobuf::SetLogHandler(nullptr);

constexpr auto kSha256 = DigestFunction::kSha256;

pb::Digest DigestMessage(std::string_view bytes) { return ToProto(ComputeDigest(kSha256, bytes)); }

pb::Action GoodAction() {
  pb::Action action;
  *action.mutable_command_digest() = DigestMessage("command");
  *action.mutable_input_root_digest() = DigestMessage("root");
  return action;
}

pb::Command GoodCommand() {
  pb::Command command;
  command.add_arguments("gcc");
  return command;
}

void AddFile(pb::Directory& directory, const std::string& name) {
  auto* file = directory.add_files();
  file->set_name(name);
  *file->mutable_digest() = DigestMessage(name);
}

std::string ErrorOf(const pb::Directory& directory) {
  Result<Directory> parsed = ParseDirectory(directory.SerializeAsString(), kSha256);
  return parsed ? "" : parsed.error().message();
}
std::string ErrorOf(const pb::Command& command) {
  Result<Command> parsed = ParseCommand(command.SerializeAsString());
  return parsed ? "" : parsed.error().message();
}
std::string ErrorOf(const pb::Action& action) {
  Result<Action> parsed = ParseAction(action.SerializeAsString(), kSha256);
  return parsed ? "" : parsed.error().message();
}

TEST(ParseAction, ReadsEveryField) {
  pb::Action message = GoodAction();
  message.mutable_timeout()->set_seconds(3);
  message.mutable_timeout()->set_nanos(5);
  message.set_do_not_cache(true);
  message.set_salt("s");
  auto* property = message.mutable_platform()->add_properties();
  property->set_name("OSFamily");
  property->set_value("linux");

  Result<Action> action = ParseAction(message.SerializeAsString(), kSha256);

  ASSERT_TRUE(action) << action.error().ToString();
  EXPECT_EQ(action->command, ComputeDigest(kSha256, "command"));
  EXPECT_EQ(action->timeout, std::chrono::seconds(3) + std::chrono::nanoseconds(5));
  EXPECT_TRUE(action->do_not_cache);
  EXPECT_EQ(action->salt, "s");
  EXPECT_EQ(action->platform, (Properties{{"OSFamily", "linux"}}));
  EXPECT_EQ(EncodeAction(*action), SerializeDeterministically(message));
}

TEST(ParseAction, RefusesMissingAndMalformedFields) {
  pb::Action action = GoodAction();
  action.clear_command_digest();
  EXPECT_EQ(ErrorOf(action), "action: command_digest is missing");
  action = GoodAction();
  action.mutable_input_root_digest()->set_hash("abc");
  EXPECT_NE(ErrorOf(action).find("input_root_digest"), std::string::npos);
  action = GoodAction();
  action.mutable_timeout()->set_seconds(-1);
  EXPECT_NE(ErrorOf(action).find("timeout"), std::string::npos);
  EXPECT_FALSE(ParseAction("\xff\xff", kSha256));
}

TEST(ParseCommand, SortsWhatHasNoOrder) {
  pb::Command message = GoodCommand();
  for (const char* name : {"B", "A"}) {
    auto* variable = message.add_environment_variables();
    variable->set_name(name);
    variable->set_value("1");
  }
  message.add_output_paths("b/c");
  message.add_output_paths("a");
  message.add_output_paths("a");
  message.set_working_directory("some/where");

  Result<Command> command = ParseCommand(message.SerializeAsString());

  ASSERT_TRUE(command) << command.error().ToString();
  EXPECT_EQ(command->environment[0].first, "A");
  EXPECT_EQ(command->output_paths, (std::vector<std::string>{"a", "b/c"}));
}

TEST(ParseCommand, OutputPathsHideTheOldLists) {
  pb::Command message = GoodCommand();
  message.add_output_files("old");
  EXPECT_EQ(ParseCommand(message.SerializeAsString())->output_files.size(), 1u);

  message.add_output_paths("new");

  EXPECT_TRUE(ParseCommand(message.SerializeAsString())->output_files.empty());
}

TEST(ParseCommand, RefusesWhatMeansNothingOrTwoThings) {
  EXPECT_NE(ErrorOf(pb::Command()), "");
  for (const char* directory : {"/abs", "..", "a/../b", ".", "a//b", "a/", "./a"}) {
    pb::Command command = GoodCommand();
    command.set_working_directory(directory);
    EXPECT_EQ(ErrorOf(command).empty(), directory == std::string_view("."))
        << directory << ": trexe says \".\" for the root";
    command = GoodCommand();
    command.add_output_paths(directory);
    EXPECT_NE(ErrorOf(command), "") << directory;
    command = GoodCommand();
    command.add_output_files(directory);
    EXPECT_NE(ErrorOf(command), "") << directory;
  }
  pb::Command command = GoodCommand();
  command.add_environment_variables()->set_name("A");
  command.add_environment_variables()->set_name("A");
  EXPECT_EQ(ErrorOf(command), "command: environment variable \"A\" is set twice");
  command = GoodCommand();
  command.add_environment_variables()->set_name("A=B");
  EXPECT_NE(ErrorOf(command), "");
  command = GoodCommand();
  command.add_arguments(std::string("a\0b", 3));
  EXPECT_NE(ErrorOf(command), "");
}

TEST(PlatformOf, TheActionsWinsOverTheCommands) {
  Action action;
  Command command;
  EXPECT_EQ(PlatformOf(action, command), Properties());
  command.platform = Properties{{"a", "command"}};
  EXPECT_EQ(PlatformOf(action, command), (Properties{{"a", "command"}}));
  action.platform = Properties{};
  EXPECT_EQ(PlatformOf(action, command), Properties());
}

TEST(ParseDirectory, TakesCanonicalBytesAndGivesThemBack) {
  pb::Directory message;
  AddFile(message, "a");
  AddFile(message, "b.o");
  message.mutable_files(1)->set_is_executable(true);
  message.mutable_files(1)->mutable_node_properties()->mutable_unix_mode()->set_value(0755);
  message.mutable_files(1)->mutable_node_properties()->mutable_mtime()->set_seconds(-2);
  message.mutable_files(1)->mutable_node_properties()->mutable_mtime()->set_nanos(7);
  auto* child = message.add_directories();
  child->set_name("lib");
  *child->mutable_digest() = DigestMessage("lib");
  auto* symlink = message.add_symlinks();
  symlink->set_name("link");
  symlink->set_target("/lre/store/x");
  std::string bytes = SerializeDeterministically(message);

  Result<Directory> directory = ParseDirectory(bytes, kSha256);

  ASSERT_TRUE(directory) << directory.error().ToString();
  EXPECT_EQ(directory->files.size(), 2u);
  EXPECT_EQ(EncodeDirectory(*directory), bytes);
}

TEST(ParseDirectory, RefusesWhatIsNotCanonical) {
  pb::Directory unsorted;
  AddFile(unsorted, "b");
  AddFile(unsorted, "a");
  EXPECT_EQ(ErrorOf(unsorted), "directory: files are not sorted: \"a\" after \"b\"");
  pb::Directory twice;
  AddFile(twice, "a");
  AddFile(twice, "a");
  EXPECT_EQ(ErrorOf(twice), "directory: \"a\" is there twice");
  pb::Directory across;
  AddFile(across, "a");
  across.add_symlinks()->set_name("a");
  across.mutable_symlinks(0)->set_target("x");
  EXPECT_EQ(ErrorOf(across), "directory: \"a\" is there twice");
  for (std::string name : {std::string(), std::string("."), std::string(".."), std::string("a/b"),
                           std::string("a\0", 2), std::string(256, 'x')}) {
    pb::Directory bad;
    AddFile(bad, name);
    EXPECT_NE(ErrorOf(bad), "") << name;
  }
  pb::Directory no_digest;
  no_digest.add_files()->set_name("a");
  EXPECT_EQ(ErrorOf(no_digest), "digest of file \"a\" is missing");
  pb::Directory no_target;
  no_target.add_symlinks()->set_name("a");
  EXPECT_NE(ErrorOf(no_target), "");
}

TEST(ParseDirectory, SortsByBytesNotByLocale) {
  pb::Directory message;
  for (const char* name : {"B", "a", "\xc3\xa9"}) AddFile(message, name);
  EXPECT_EQ(ErrorOf(message), "");
}

TEST(ParseMessages, NeverCrashOnMutatedBytes) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  Random random(seed);
  pb::Directory directory;
  for (const char* name : {"a", "b", "c"}) AddFile(directory, name);
  pb::Command command = GoodCommand();
  command.add_output_paths("a/b");
  for (int i = 0; i < 5000; i++) {
    for (std::string bytes : {directory.SerializeAsString(), command.SerializeAsString(),
                              GoodAction().SerializeAsString()}) {
      for (int edits = 0; edits < 3; edits++) {
        bytes[random.Below(bytes.size())] = static_cast<char>(random.Next());
      }
      if (auto parsed = ParseDirectory(bytes, kSha256); parsed) {
        EXPECT_TRUE(ParseDirectory(EncodeDirectory(*parsed), kSha256));
      }
      if (auto parsed = ParseCommand(bytes); parsed) {
        EXPECT_TRUE(ParseCommand(EncodeCommand(*parsed)));
      }
      if (auto parsed = ParseAction(bytes, kSha256); parsed) {
        EXPECT_TRUE(ParseAction(EncodeAction(*parsed), kSha256));
      }
    }
  }
}

}  // namespace
}  // namespace lre::reapi

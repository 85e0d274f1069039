// The small parts of the command line: flags into configuration, quoting, files that change.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/subprocess.h"
#include "cli/commands.h"
#include "cli/config_flags.h"
#include "cli/farm.h"
#include "cli/toolchain_files.h"

namespace lre::cli {
namespace {

Result<server::Config> ReadFlags(std::vector<std::string> arguments) {
  CLI::App app;
  ConfigFlags flags(app);
  std::reverse(arguments.begin(), arguments.end());
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    return Error(Code::kInvalidArgument, "{}", error.what());
  }
  return flags.Read();
}

TEST(ConfigFlags, WinOverTheFile) {
  TempDir dir;
  const std::string file = dir / "lre.conf";
  ASSERT_TRUE(WriteFileAtomically(file, "io_threads = 3\nloops = 2\n").ok());
  Result<server::Config> config =
      ReadFlags({"--config", file, "--io-threads", "5", "--listen", "127.0.0.1:1,127.0.0.1:2",
                 "--sandbox=none", "--insecure", "--execution-enabled=false"});
  ASSERT_TRUE(config) << config.error().ToString();
  EXPECT_EQ(config->io_threads, 5);
  EXPECT_EQ(config->loops, 2);
  EXPECT_EQ(config->listen, (std::vector<std::string>{"127.0.0.1:1", "127.0.0.1:2"}));
  EXPECT_EQ(config->worker_sandbox, "none");
  EXPECT_TRUE(config->insecure);
  EXPECT_FALSE(config->execution);
}

TEST(ConfigFlags, AreChecked) {
  EXPECT_FALSE(ReadFlags({"--listen", "0.0.0.0:1"}));
  EXPECT_FALSE(ReadFlags({"--store-size-max", "10"}));
  EXPECT_FALSE(ReadFlags({"--no-such-flag"}));
}

TEST(BazelFlags, NameCacheAndExecutor) {
  server::Config config;
  EXPECT_EQ(BazelFlags(config, {"127.0.0.1:1", "127.0.0.1:2"}),
            "--remote_cache=grpc://127.0.0.1:1 --remote_executor=grpc://127.0.0.1:2 "
            "--remote_instance_name=main");
  config.execution = false;
  config.instance_name = "";
  EXPECT_EQ(BazelFlags(config, {"unix:/run/lre"}), "--remote_cache=unix:/run/lre");
}

TEST(Help, WithoutATopicListsTheCommands) {
  CLI::App cli;
  App app{cli};
  AddHelpCommand(app);
  AddVersionCommand(app);
  cli.parse("help");
  testing::internal::CaptureStdout();
  const Status status = app.action();
  EXPECT_THAT(testing::internal::GetCapturedStdout(),
              testing::HasSubstr("Print the versions of what it speaks"));
  EXPECT_TRUE(status.ok());
}

TEST(Help, IsOfCommandsWithinCommandsToo) {
  CLI::App cli;
  cli.require_subcommand(0, 1);
  App app{cli};
  AddHelpCommand(app);
  AddStoreCommand(app);
  cli.parse("help store list");
  testing::internal::CaptureStdout();
  const Status status = app.action();
  EXPECT_THAT(testing::internal::GetCapturedStdout(),
              testing::HasSubstr("lre store list [OPTIONS]"));
  EXPECT_TRUE(status.ok());

  EXPECT_EQ(FindCommand(cli, {"store", "none"}), nullptr);
}

TEST(LateFlags, AreThereForWhoGivesTheCommandAndForWhoAsks) {
  CLI::App given, asked;
  asked.require_subcommand(0, 1);
  App with{given}, about{asked};
  AddWorkerCommand(with);
  AddHelpCommand(about);
  AddWorkerCommand(about);

  given.parse("worker --worker-slots 3");
  asked.parse("help worker");
  testing::internal::CaptureStdout();
  const Status status = about.action();
  const std::string help = testing::internal::GetCapturedStdout();

  EXPECT_TRUE(with.action);
  EXPECT_TRUE(status.ok());
  EXPECT_THAT(help, testing::HasSubstr("--worker-slots"));
  EXPECT_THAT(help, testing::HasSubstr("--log-level"));
}

TEST(Worker, HasNoFlagThatOnlyAServerReads) {
  CLI::App cli;
  App app{cli};
  AddWorkerCommand(app);

  DeclareAll(app);

  for (const CLI::Option* option : cli.get_subcommand("worker")->get_options()) {
    EXPECT_TRUE(testing::Matches(testing::MatchesRegex(
        "--(help|config|data-dir|instance-name|drain-max|log-level|freed-memory-interval|"
        "(tls|worker)-.*)"))("--" + option->get_lnames().front()))
        << option->get_name();
  }
}

TEST(Cas, GetsAndListsOneAtATime) {
  CLI::App cli;
  App app{cli};
  AddCasCommand(app);

  EXPECT_THROW(cli.parse("cas get a/1 b/1"), CLI::ParseError);
  EXPECT_THROW(cli.parse("cas ls a/1 b/1"), CLI::ParseError);
  EXPECT_NO_THROW(cli.parse("cas get a/1"));
  EXPECT_NO_THROW(cli.parse("cas stat a/1 b/1"));
}

TEST(ShellQuote, IsReadBackByAShell) {
  const std::string text = "it's \"$HOME\" `x` \\ \n*";
  Result<SubprocessResult> result =
      RunSubprocess({.arguments = {"/bin/sh", "-c", "printf %s " + ShellQuote(text)}});
  ASSERT_TRUE(result);
  EXPECT_EQ(result->output, text);
}

// What bash offers after `line`.
std::string Completed(const std::string& script, const std::vector<std::string>& line) {
  std::string words;
  for (const std::string& word : line) words += ShellQuote(word) + " ";
  Result<SubprocessResult> result = RunSubprocess(
      {.arguments = {
           "/bin/bash", "--norc", "-c",
           fmt::format("{}\nCOMP_WORDS=({}); COMP_CWORD={}; _lre; echo \"${{COMPREPLY[*]}}\"",
                       script, words, line.size() - 1)}});
  EXPECT_TRUE(result) << ToStatus(result).ToString();
  return result ? result->output : "";
}

TEST(Completion, OffersCommandsAndFlagsThatThereAre) {
  CLI::App cli;
  App app{cli, {}};
  AddServeCommand(app);
  AddStoreCommand(app);
  AddCompletionCommand(app);
  DeclareAll(app);
  Result<std::string> bash = CompletionScript(cli, "bash");
  ASSERT_TRUE(bash);
  EXPECT_EQ(Completed(*bash, {"lre", "s"}), "serve store\n");
  EXPECT_EQ(Completed(*bash, {"lre", "store", ""}), "list verify gc export import --help\n");
  EXPECT_EQ(Completed(*bash, {"lre", "store", "gc", "--d"}), "--dry-run\n");
  EXPECT_EQ(Completed(*bash, {"lre", "serve", "--data-dir", "/x", "--ready"}), "--ready-file\n");
  EXPECT_EQ(Completed(*bash, {"lre", "store", "x"}), "\n");
  EXPECT_FALSE(CompletionScript(cli, "csh"));
}

// What a shell prints that runs `script`.
std::string Shell(const std::string& shell, const std::string& script) {
  const std::string plain = shell == "zsh" ? "--no-rcs" : "--no-config";
  Result<SubprocessResult> result = RunSubprocess({.arguments = {shell, plain, "-c", script}});
  EXPECT_TRUE(result) << ToStatus(result).ToString();
  if (result) {
    EXPECT_EQ(result->error_output, "");
  }
  return result ? result->output : "";
}

TEST(Completion, IsReadByZshAndFish) {
  CLI::App cli;
  App app{cli, {}};
  AddServeCommand(app);
  AddStoreCommand(app);
  DeclareAll(app);

  // Its completion system needs a terminal; these stand for it.
  const std::string zsh =
      Shell("zsh", "compdef() { }; _files() { }; compadd() { shift; print -- $@ }\n" +
                       *CompletionScript(cli, "zsh") +
                       "words=(lre store gc --d); CURRENT=4; _lre\n"
                       "words=(lre ''); CURRENT=2; _lre\n");
  const std::string fish = Shell("fish", *CompletionScript(cli, "fish") +
                                             "complete -C 'lre store gc --d'\n"
                                             "complete -C 'lre serve --ready'\n");

  EXPECT_THAT(zsh, testing::HasSubstr("--dry-run"));
  EXPECT_THAT(zsh, testing::HasSubstr("serve store"));
  EXPECT_EQ(fish,
            "--dry-run\tOnly say what would go\n"
            "--ready-file\tWrite a JSON file here once it serves\n");
}

TEST(WriteIfChanged, SaysWhetherItWrote) {
  TempDir dir;
  EXPECT_TRUE(*WriteIfChanged(dir / "a/b/c", "text"));
  EXPECT_FALSE(*WriteIfChanged(dir / "a/b/c", "text"));
  EXPECT_TRUE(*WriteIfChanged(dir / "a/b/c", "other"));
}

}  // namespace
}  // namespace lre::cli

// lre init: from a Bazel project without LRE to one with it.
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <iostream>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/init_files.h"
#include "cli/terminal.h"
#include "cli/toolchain_files.h"

namespace lre::cli {
namespace {

struct InitFlags {
  bool yes = false;
  std::string prefix;
};

// Whether a file of the user's may be changed. Never without having been asked.
bool MayChange(const std::string& file, const InitFlags& flags) {
  if (flags.yes) return true;
  if (isatty(STDIN_FILENO) == 0) return false;
  Print(fmt::format("change {}? [y/N] ", file));
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "yes";
}

// A file of the project as it will be.
struct Edited {
  std::string file, text;
  bool exists = false;
};

// Nothing is written before everything was agreed to: a refusal leaves the project as it was.
Status EditProject(const InitFlags& flags) {
  static constexpr std::pair<const char*, std::string (*)(std::string)> kEdits[] = {
      {"MODULE.bazel", WithModule}, {".bazelrc", WithImport}, {".bazelignore", WithIgnored}};
  std::vector<Edited> edits;
  for (const auto& [file, edit] : kEdits) {
    std::string before;
    const bool exists = FileExists(file);
    if (exists) {
      TRY_ASSIGN(before, ReadFile(file));
    }
    std::string after = edit(before);
    if (exists && after == before) continue;
    if (exists && !MayChange(file, flags)) {
      return ErrorStatus(Code::kFailedPrecondition,
                         "{} is to be changed; say --yes, or do it by hand:\n{}", file, edit(""));
    }
    edits.push_back({file, std::move(after), exists});
  }
  for (const Edited& edited : edits) {
    TRY(ToStatus(WriteIfChanged(edited.file, edited.text)));
    PrintLine((edited.exists ? "changed: " : "written: ") + edited.file);
  }
  return Status();
}

bool IsProject(const std::filesystem::path& folder) {
  static constexpr const char* kFiles[] = {"MODULE.bazel", "WORKSPACE.bazel", "WORKSPACE",
                                           "REPO.bazel"};
  return std::any_of(std::begin(kFiles), std::end(kFiles),
                     [&](const char* file) { return FileExists((folder / file).string()); });
}

// What would be written here must be what this project builds with.
Status CheckPlace() {
  const ModuleUse use = FindModuleUse(ReadFile("MODULE.bazel").value_or(""));
  if (use.IsOfOthers()) {
    return ErrorStatus(Code::kFailedPrecondition,
                       "MODULE.bazel takes the module by {}, and its lock with it: `lre sync` is "
                       "all that this project needs; to lock here, remove the {}",
                       use.override->function, use.override->function);
  }
  std::error_code error;
  const std::filesystem::path here = std::filesystem::current_path(error);
  if (error || IsProject(here)) return Status();
  for (auto above = here; above.has_relative_path();) {
    above = above.parent_path();
    // With a MODULE.bazel of its own a folder is no longer part of the project around it.
    if (IsProject(above)) {
      return ErrorStatus(Code::kFailedPrecondition,
                         "{} is a folder of the Bazel project {}: run `lre init` there",
                         here.string(), above.string());
    }
  }
  return Status();
}

// The commands that people run later, by hand, in the same order; they say themselves what they do.
Status RunStep(std::vector<std::string> arguments) {
  const std::string shown = fmt::format("lre {}", fmt::join(arguments, " "));
  PrintLine(shown);
  arguments.insert(arguments.begin(), "lre");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t child = 0;
  int exit_status = 0;
  if (const int error =
          posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, argv.data(), environ)) {
    return ErrnoStatus(error, shown);
  }
  while (waitpid(child, &exit_status, 0) < 0) {
    if (errno != EINTR) return ErrnoStatus(errno, shown);
  }
  if (exit_status == 0) return Status();
  return ErrorStatus(Code::kFailedPrecondition, "`{}` did not succeed; run `lre init` again then",
                     shown);
}

Status Run(const InitFlags& flags) {
  TRY(CheckPlace());
  TRY(EditProject(flags));
  if (!FileExists(kSpecFile)) {
    TRY(ToStatus(WriteIfChanged(kSpecFile, DefaultSpecText())));
    PrintLine(std::string("written: ") + kSpecFile);
  }
  if (!FileExists(kLockFile)) TRY(RunStep({"lock"}));
  TRY(RunStep({"sync"}));
  TRY(RunStep(flags.prefix.empty()
                  ? std::vector<std::string>{"generate"}
                  : std::vector<std::string>{"generate", "--bazelrc-prefix", flags.prefix}));
  PrintLine(
      "done. Commit these files. `lre up` starts a farm and prints the flags; then `bazel build "
      "@local-remote-execution//examples:hello_lre`");
  return Status();
}

}  // namespace

void AddInitCommand(App& app) {
  CLI::App* command =
      app.cli.add_subcommand("init", "Give a Bazel project its lock, module and bazelrc");
  command->footer(
      "Writes lre.toml, lre.lock, local-remote-execution/ and lre.bazelrc, and adds the lines "
      "that\n"
      "use them to MODULE.bazel, .bazelrc and .bazelignore, asking first. What is there is kept.\n"
      "Examples:\n  cd project && lre init\n  lre init --yes");
  auto flags = std::make_shared<InitFlags>();
  command->add_flag("--yes", flags->yes, "Do not ask before changing a file");
  command
      ->add_option("--bazelrc-prefix", flags->prefix,
                   "Bazel's flags hold only under --config=NAME [they always hold]")
      ->type_name("NAME");
  command->callback([&app, flags] { app.action = [flags] { return Run(*flags); }; });
}

}  // namespace lre::cli

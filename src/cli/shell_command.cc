// lre shell, lre run: what needs /lre/store, for a user who may not write there; lre setup, the
// other way.
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/generate_project.h"
#include "cli/terminal.h"
#include "cli/toolchain_files.h"
#include "cli/user_store.h"

namespace lre::cli {
namespace {

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Goes where the store is this user's, and puts what belongs to it before PATH.
Status Prepare() {
  if (StoreIsWritable()) return Status();
  TRY_ASSIGN(const UserStore store, UserStoreOfHome());
  const std::string path = Environment("PATH");
  TRY(WriteBazelWrapper(store, path));
  TRY(EnterUserStore(store));
  if (!path.starts_with(store.bin + ":")) {
    setenv("PATH", (store.bin + ":" + path).c_str(), 1);
  }
  return Status();
}

Status Execute(std::vector<std::string> arguments) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  return ErrnoStatus(errno, arguments[0]);
}

// The toolchain's variables; its programs before this machine's, and Bazel's wrapper before both.
// What is missing is said, and the shell is the place to make it.
Status AddToolchain(const std::string& given) {
  const Result<std::string> file = ManifestForEnv(given);
  if (!file) return PrintError(file.error()), Status();
  if (*file == kManifestFile && !FileExists(*file)) return Status();
  TRY_ASSIGN(const toolchain::Manifest manifest, ReadManifest(*file));
  if (const Status here = CheckPathsAreHere(manifest); !here.ok()) PrintError(here);
  for (const auto& [name, value] : manifest.env) {
    std::string whole = value;
    if (name == "PATH") {
      std::string path = Environment("PATH"), wrapper;
      const Result<UserStore> store = UserStoreOfHome();
      if (store && path.starts_with(store->bin + ":")) {
        wrapper = store->bin + ":";
        path.erase(0, wrapper.size());
      }
      whole = wrapper + value + ":" + path;
    }
    setenv(name.c_str(), whole.c_str(), 1);
  }
  return Status();
}

Status RunShell(const std::string& manifest) {
  TRY(Prepare());
  TRY(AddToolchain(manifest));
  std::string shell = Environment("SHELL");
  if (shell.empty()) shell = "/bin/sh";
  setenv("LRE_SHELL", "1", 1);
  return Execute({shell});
}

Status RunCommand(const std::vector<std::string>& arguments) {
  TRY(Prepare());
  return Execute(arguments);
}

Status RunSetup(const std::string& owner) {
  uid_t user = getuid();
  gid_t group = getgid();
  if (!owner.empty()) {
    const passwd* entry = getpwnam(owner.c_str());
    if (entry == nullptr) return ErrorStatus(Code::kNotFound, "no user {}", owner);
    user = entry->pw_uid;
    group = entry->pw_gid;
  } else if (!Environment("SUDO_UID").empty()) {
    user = static_cast<uid_t>(std::atoi(Environment("SUDO_UID").c_str()));
    group = static_cast<gid_t>(std::atoi(Environment("SUDO_GID").c_str()));
  }
  for (const char* directory : {"/lre", "/lre/store"}) {
    const bool made = mkdir(directory, 0755) == 0;
    if (!made && errno != EEXIST) {
      return errno == EACCES || errno == EPERM
                 ? ErrorStatus(Code::kPermissionDenied, "{}: run it as root: sudo lre setup",
                               directory)
                 : ErrnoStatus(errno, directory);
    }
    if (chown(directory, user, group) != 0) {
      return ErrorStatus(Code::kPermissionDenied, "{}: run it as root: sudo lre setup", directory);
    }
  }
  PrintLine(fmt::format("/lre/store belongs to user {}: `lre sync` can fill it", user));
  return Status();
}

}  // namespace

void AddShellCommand(App& app) {
  CLI::App* command = app.cli.add_subcommand("shell", "A shell in which /lre/store is yours");
  command->footer(
      "Where /lre/store is writable it is an ordinary shell with the toolchain's variables. "
      "Elsewhere it\n"
      "runs in a user namespace that has ~/.lre/store at /lre/store; its `bazel` has servers of "
      "its own,\n"
      "as those outside do not see that store.\n"
      "Examples:\n  lre shell\n  lre run lre sync");
  auto manifest = std::make_shared<std::string>(kManifestFile);
  command
      ->add_option("--manifest", *manifest, "The manifest [local-remote-execution/toolchain.json]")
      ->type_name("FILE");
  command->callback([&app, manifest] { app.action = [manifest] { return RunShell(*manifest); }; });
}

void AddRunCommand(App& app) {
  CLI::App* command = app.cli.add_subcommand("run", "Run a command where /lre/store is yours");
  command->footer(
      "As `lre shell` does, without the toolchain's variables.\n"
      "Examples:\n  lre run lre sync\n  lre run lre up\n  lre run bazel build //...");
  command->prefix_command();
  command->callback([&app, command] {
    app.action = [command]() -> Status {
      const std::vector<std::string> arguments = command->remaining();
      if (arguments.empty()) {
        return Status(Code::kInvalidArgument, "lre run: which command? As in `lre run lre sync`");
      }
      return RunCommand(arguments);
    };
  });
}

void AddSetupCommand(App& app) {
  CLI::App* command = app.cli.add_subcommand("setup", "Make /lre/store, once, as root");
  command->footer(
      "After it the user who called sudo (or --owner) needs neither root nor `lre shell`.\n"
      "Example:\n  sudo lre setup");
  auto owner = std::make_shared<std::string>();
  command->add_option("--owner", *owner, "Whose it is [who called sudo]")->type_name("USER");
  command->callback([&app, owner] { app.action = [owner] { return RunSetup(*owner); }; });
}

}  // namespace lre::cli

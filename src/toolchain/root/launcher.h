// Makes launchers: tiny static programs that clean their environment and then become another
// program, which stands beside them in the store. The machine code is the same for all
// (launcher/launcher.c, committed as launcher_code.h, so that the bytes do not depend on who built
// lre); only the strings behind it differ. Pure functions, thread-safe.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "toolchain/elf/elf_file.h"

namespace lre::toolchain {

struct LauncherConfig {
  std::string target;                  // absolute path of the real program
  std::string argv0;                   // its argv[0]; empty keeps the caller's
  std::string path_directory;          // put in front of PATH; empty leaves PATH alone
  std::vector<std::string> drop;       // variables to remove: "CPATH"
  std::vector<std::string> set;        // "NAME=value"
  std::vector<std::string> arguments;  // put before the caller's; none may be empty
};

// kUnimplemented for kOther; kInvalidArgument when a string has NUL in it or a name no plain form.
Result<std::string> MakeLauncher(ElfMachine machine, const LauncherConfig& config);

}  // namespace lre::toolchain

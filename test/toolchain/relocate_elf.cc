// relocate_elf IN OUT INTERPRETER RPATH: RelocateElf as a program, for tests that judge its output
// with other programs. Exits with 3 when the file is one that is not relocated (static, an object,
// already relocated), with 1 when something is wrong.
#include <fmt/format.h>

#include <cstdio>

#include "base/file.h"
#include "toolchain/elf/relocate.h"

namespace lre::toolchain {
namespace {

Status Run(char** arguments) {
  TRY_ASSIGN(std::string bytes, ReadFile(arguments[1]));
  ElfRelocation relocation{.interpreter = arguments[3], .no_default_libraries = true};
  for (std::string_view rest = arguments[4]; !rest.empty();) {
    size_t end = std::min(rest.find(':'), rest.size());
    relocation.rpath.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  TRY_ASSIGN(std::string relocated, RelocateElf(bytes, relocation));
  return WriteFileAtomically(arguments[2], relocated, 0755);
}

}  // namespace
}  // namespace lre::toolchain

int main(int argc, char** argv) {
  if (argc != 5) {
    fmt::print(stderr, "usage: relocate_elf IN OUT INTERPRETER RPATH\n");
    return 2;
  }
  lre::Status status = lre::toolchain::Run(argv);
  if (status.ok()) return 0;
  fmt::print(stderr, "relocate_elf {}: {}\n", argv[1], status.ToString());
  return status.code() == lre::Code::kFailedPrecondition ? 3 : 1;
}

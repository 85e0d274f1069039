#include "toolchain/root/python_probe.h"

#include <filesystem>

#include "base/file.h"
#include "base/lines.h"
#include "base/subprocess.h"
#include "toolchain/root/emulation.h"

namespace lre::toolchain {
namespace {

// Modules that need libraries, so that one missing is seen here; then what is asked.
constexpr std::string_view kQuestions =
    "import bz2, ctypes, decimal, hashlib, lzma, readline, sqlite3, ssl, uuid, zlib\n"
    "import platform, sys, sysconfig\n"
    "assert sys.dont_write_bytecode\n"
    "print(platform.python_version())\n"
    "print(sys.executable)\n"
    "print(sysconfig.get_path('include'))\n"
    "for path in sys.path[1:]: print(path)\n";

Result<std::string> FindInterpreter(const std::vector<StorePath>& paths) {
  for (const StorePath& path : paths) {
    // A link that the recipe makes to the versioned name; the launcher knows that one.
    const std::string link = path.path + "/usr/bin/python3";
    if (!FileExists(link)) continue;
    std::error_code error;
    const std::filesystem::path target = std::filesystem::read_symlink(link, error);
    if (error) return ErrnoError(error.value(), link);
    return path.path + "/usr/bin/" + target.string();
  }
  return std::string();
}

}  // namespace

Result<std::optional<PythonFacts>> ProbePython(const ProbeInput& input, const std::string& prefix) {
  PythonFacts facts;
  TRY_ASSIGN(facts.interpreter, FindInterpreter(input.paths));
  if (facts.interpreter.empty()) return std::optional<PythonFacts>();
  TRY(CheckRunsHere(input.system.system));
  TRY_ASSIGN(SubprocessResult result,
             RunSubprocess({.arguments = {facts.interpreter, "-c", std::string(kQuestions)},
                            .environment = std::vector<std::string>{},
                            .directory = "/"}));
  if (result.exit_code != 0)
    return Error(Code::kFailedPrecondition, "{} ended with {}: {}", facts.interpreter,
                 result.exit_code, result.error_output.substr(0, 2000));
  const std::vector<std::string> lines = Lines(result.output);
  if (lines.size() < 4 || lines[1] != facts.interpreter)
    return Error(Code::kFailedPrecondition, "{} says of itself: {}", facts.interpreter,
                 result.output.substr(0, 2000));
  facts.version = lines[0];
  if (FileExists(lines[2] + "/Python.h")) facts.include_dirs = {lines[2]};
  for (size_t i = 3; i < lines.size(); ++i) {
    if (lines[i].starts_with(prefix + "/")) continue;
    return Error(Code::kFailedPrecondition, "{} looks for modules in {}, outside the store",
                 facts.interpreter, lines[i]);
  }
  return std::optional(std::move(facts));
}

}  // namespace lre::toolchain

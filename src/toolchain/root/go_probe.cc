#include "toolchain/root/go_probe.h"

#include "base/file.h"
#include "base/lines.h"
#include "base/subprocess.h"
#include "toolchain/root/emulation.h"

namespace lre::toolchain {
namespace {

struct Command {
  std::vector<std::string> arguments;
  std::vector<std::string> environment = {};
  std::string directory = "/";
};

Result<std::string> Ask(Command command) {
  TRY_ASSIGN(SubprocessResult result, RunSubprocess({.arguments = command.arguments,
                                                     .environment = command.environment,
                                                     .directory = command.directory,
                                                     .timeout = kProbeTime}));
  if (result.exit_code != 0)
    return Error(Code::kFailedPrecondition, "{} ended with {}: {}",
                 fmt::join(command.arguments, " "), result.exit_code,
                 (result.output + result.error_output).substr(0, 2000));
  return std::move(result.output);
}

std::string FindProgram(const std::vector<StorePath>& paths, std::string_view name) {
  for (const StorePath& path : paths) {
    std::string program = fmt::format("{}/usr/bin/{}", path.path, name);
    if (FileExists(program)) return program;
  }
  return "";
}

// The rest of the line of `text` that begins with `key`.
std::string After(const std::string& text, std::string_view key) {
  for (const std::string& line : Lines(text))
    if (line.starts_with(key)) return line.substr(key.size());
  return "";
}

Status CheckInStore(const std::string& program, const std::string& folder,
                    const std::string& prefix) {
  if (folder.starts_with(prefix + "/")) return {};
  return ErrorStatus(Code::kFailedPrecondition, "{} takes its library from '{}', outside the store",
                     program, folder);
}

Status CheckSaid(const std::string& program, const std::string& said) {
  if (said == "caught\n") return {};
  return ErrorStatus(Code::kFailedPrecondition, "a program made by {} said '{}'", program,
                     said.substr(0, 200));
}

constexpr std::string_view kGoProgram =
    "package main\n\n"
    "import \"fmt\"\n\n"
    "func main() {\n"
    "\tdone := make(chan any)\n"
    "\tgo func() {\n"
    "\t\tdefer func() { done <- recover() }()\n"
    "\t\tpanic(\"caught\")\n"
    "\t}()\n"
    "\tfmt.Println(<-done)\n"
    "}\n";

constexpr std::string_view kRustProgram =
    "fn main() {\n"
    "    std::panic::set_hook(Box::new(|_| {}));\n"
    "    let thread = std::thread::spawn(|| panic!(\"caught\"));\n"
    "    println!(\"{}\", thread.join().unwrap_err().downcast_ref::<&str>().unwrap());\n"
    "}\n";

}  // namespace

Result<std::optional<GoFacts>> ProbeGo(const ProbeInput& input, const std::string& prefix) {
  const std::string go = FindProgram(input.paths, "go");
  if (go.empty()) return std::optional<GoFacts>();
  TRY_ASSIGN(const std::string said, Ask({{go, "env", "GOROOT", "GOVERSION", "GOOS", "GOARCH"}}));
  const std::vector<std::string> lines = Lines(said);
  if (lines.size() != 4 || !lines[1].starts_with("go"))
    return Error(Code::kFailedPrecondition, "{} says of itself: {}", go, said.substr(0, 2000));
  GoFacts facts{.go = go,
                .root = lines[0],
                .version = lines[1].substr(2),
                .os = lines[2],
                .architecture = lines[3]};
  TRY(CheckInStore(go, facts.root, prefix));
  const std::string packages =
      fmt::format("{}/pkg/{}_{}", facts.root, facts.os, facts.architecture);
  if (FileExists(packages + "/fmt.a")) facts.packages = packages;
  return std::optional(std::move(facts));
}

Result<std::optional<RustFacts>> ProbeRust(const ProbeInput& input, const std::string& prefix) {
  RustFacts facts{.rustc = FindProgram(input.paths, "rustc")};
  if (facts.rustc.empty()) return std::optional<RustFacts>();
  TRY_ASSIGN(const std::string said, Ask({{facts.rustc, "--version", "--verbose"}}));
  facts.version = After(said, "release: ");
  facts.target = After(said, "host: ");
  if (facts.version.empty() || facts.target.empty())
    return Error(Code::kFailedPrecondition, "{} says of itself: {}", facts.rustc,
                 said.substr(0, 2000));
  TRY_ASSIGN(const std::string sysroot, Ask({{facts.rustc, "--print", "sysroot"}}));
  TRY(CheckInStore(facts.rustc, sysroot, prefix));
  // Beside the compiler, so that another userland re-keys no compile.
  const std::string shell = facts.rustc.substr(0, facts.rustc.rfind('/')) + "/dash";
  if (FileExists(shell)) facts.shell = shell;
  return std::optional(std::move(facts));
}

Status SelfTestGo(const GoFacts& facts, const std::string& scratch) {
  if (facts.packages.empty()) return {};
  const std::string tools =
      fmt::format("{}/pkg/tool/{}_{}/", facts.root, facts.os, facts.architecture);
  const std::vector<std::string> environment = {"GOROOT=" + facts.root};
  TRY(WriteFileAtomically(scratch + "/self_test.go", kGoProgram));
  TRY(Ask({{tools + "compile", "-o", "self_test.a", "-p", "main", "-pack", "self_test.go"},
           environment,
           scratch}));
  TRY(Ask({{tools + "link", "-o", "self_test_go", "self_test.a"}, environment, scratch}));
  TRY_ASSIGN(const std::string said, Ask({{scratch + "/self_test_go"}}));
  return CheckSaid(tools + "compile", said);
}

Status SelfTestRust(const RustFacts& facts, const CcFacts* cc, const std::string& scratch) {
  std::vector<std::string> command = {facts.rustc, "-O", "-o", "self_test_rust", "self_test.rs"};
  if (cc != nullptr) {
    command.push_back("-Clink-arg=-Wl,--dynamic-linker=" + cc->loader);
    for (const std::string& directory : cc->library_paths)
      command.push_back("-Clink-arg=-Wl,-rpath," + directory);
  }
  TRY(WriteFileAtomically(scratch + "/self_test.rs", kRustProgram));
  TRY(Ask({command, {}, scratch}));
  TRY_ASSIGN(const std::string said, Ask({{scratch + "/self_test_rust"}}));
  return CheckSaid(facts.rustc, said);
}

}  // namespace lre::toolchain

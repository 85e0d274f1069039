// lre verify: whether a project keeps the promise: what is built on one side is a hit on the other,
// with the same bytes. Four builds with Bazel in an output base of their own, each from nothing:
//
//   1. remotely, into a new instance of the server's action cache   2. locally: everything is a hit
//   3. locally, into another new instance                           4. remotely: everything is a
//   hit
//
// 1 and 3 ran the same actions on different sides, so their outputs are compared byte for byte.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/quantity.h"
#include "base/random.h"
#include "base/subprocess.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "explain/promise.h"

namespace lre::cli {
namespace {

constexpr const char* kProbe = "@local-remote-execution//examples:hello_lre";

struct VerifyFlags {
  std::vector<std::string> targets;
  std::string server = "grpc://127.0.0.1:50051";
  std::string bazel = "bazel";
  std::vector<std::string> startup, build;
  std::string output_base;
  std::string logs;
  Duration build_max = std::chrono::hours(1);
  bool test = false;
  bool json = false;
};

struct Build {
  const char* name;  // "remote", "local", ...
  bool remote;
  std::string instance;  // of the action cache: a new one has no results
};

class Verifier {
 public:
  Verifier(const VerifyFlags& flags, std::string output_base, std::string logs)
      : flags_(flags), output_base_(std::move(output_base)), logs_(std::move(logs)) {}

  Result<explain::ExecutionLog> Run(const Build& build) {
    TRY(Bazel({"clean"}, "clean"));
    const std::string log = fmt::format("{}/{}.log", logs_, build.name);
    std::vector<std::string> arguments = {flags_.test ? "test" : "build",
                                          "--execution_log_json_file=" + log,
                                          "--remote_cache=" + flags_.server,
                                          "--remote_instance_name=" + build.instance,
                                          "--experimental_convenience_symlinks=ignore",
                                          "--color=no",
                                          "--curses=no"};
    if (build.remote) arguments.push_back("--remote_executor=" + flags_.server);
    arguments.insert(arguments.end(), flags_.build.begin(), flags_.build.end());
    arguments.push_back("--");
    arguments.insert(arguments.end(), flags_.targets.begin(), flags_.targets.end());
    TRY(Bazel(std::move(arguments), build.name));
    return explain::ExecutionLog::Read(log);
  }

  void Shutdown() { (void)Bazel({"shutdown"}, "shutdown").ok(); }

 private:
  Status Bazel(std::vector<std::string> command, const std::string& what) {
    std::vector<std::string> arguments = {flags_.bazel, "--output_base=" + output_base_};
    arguments.insert(arguments.end(), flags_.startup.begin(), flags_.startup.end());
    arguments.insert(arguments.end(), command.begin(), command.end());
    auto ran = RunSubprocess({.arguments = arguments, .timeout = flags_.build_max});
    if (!ran && ran.error().code() == Code::kNotFound) {
      return ErrorStatus(Code::kNotFound, "{} is not here; --bazel PROGRAM says where Bazel is",
                         flags_.bazel);
    }
    TRY_ASSIGN(const SubprocessResult result, std::move(ran));
    if (result.exit_code == 0) return Status();
    const std::string file = fmt::format("{}/{}.txt", logs_, what);
    TRY(WriteFileAtomically(file, result.output + result.error_output));
    return ErrorStatus(Code::kFailedPrecondition,
                       "the {} build failed; Bazel's output is in {}:\n{}", what, file,
                       LastLines(result.error_output));
  }

  static std::string LastLines(const std::string& text) {
    size_t at = text.size();
    for (int lines = 0; lines < 12 && at != text.npos && at > 0; ++lines)
      at = text.rfind('\n', at - 1);
    return at == text.npos ? text : text.substr(at);
  }

  const VerifyFlags& flags_;
  const std::string output_base_, logs_;
};

nlohmann::json AsJson(const explain::Sharing& sharing) {
  nlohmann::json misses = nlohmann::json::array();
  for (const explain::Miss& miss : sharing.misses) {
    nlohmann::json entry = {{"spawn", miss.spawn}, {"why", miss.why}};
    if (miss.difference)
      entry["difference"] = {
          {"field", miss.difference->field}, {"a", miss.difference->a}, {"b", miss.difference->b}};
    misses.push_back(std::move(entry));
  }
  return {{"spawns", sharing.spawns},
          {"hits", sharing.hits},
          {"not_cacheable", sharing.not_cacheable},
          {"misses", misses}};
}

void PrintSharing(const char* what, const explain::Sharing& sharing) {
  const bool all = sharing.misses.empty();
  std::string line = fmt::format("{}: {} hits of {} spawns, {}", what, sharing.hits, sharing.spawns,
                                 explain::HitRate(sharing));
  if (sharing.not_cacheable > 0)
    line += fmt::format("; {} more may not be cached (their rules say so)", sharing.not_cacheable);
  PrintLine(Coloured(line, all ? Colour::kGreen : Colour::kRed));
  for (const explain::Miss& miss : sharing.misses) {
    PrintLine(fmt::format("  {}: {}", miss.spawn, miss.why));
    if (miss.difference) PrintLine("    " + explain::Describe(*miss.difference));
  }
}

// Whether a key may differ between two runs: what a test printed and how long it took are inputs of
// the action that makes its test.xml.
bool MayDiffer(const explain::Spawn& spawn) { return spawn.mnemonic == "TestRunner"; }

// Whether an output may: some tests, JUnit's among them, write their test.xml themselves, with
// times.
bool MayDiffer(const explain::Spawn& spawn, const std::string& output) {
  return MayDiffer(spawn) && output.ends_with("/test.xml");
}

// Ok only when everything was shared; what was not has been printed.
Status Report(const std::vector<explain::ExecutionLog>& logs, bool json) {
  const explain::Sharing there = explain::CountHits(logs[0], logs[1]);
  const explain::Sharing back = explain::CountHits(logs[2], logs[3]);
  const explain::LogComparison bytes = explain::CompareLogs(logs[0], logs[2]);
  const bool same_keys =
      std::all_of(bytes.different_keys.begin(), bytes.different_keys.end(),
                  [&](const auto& key) { return MayDiffer(logs[0].spawns()[key.pair.a]); });
  const bool same_outputs = std::all_of(
      bytes.different_outputs.begin(), bytes.different_outputs.end(),
      [&](const auto& output) { return MayDiffer(logs[0].spawns()[output.pair.a], output.path); });
  const bool good = there.misses.empty() && back.misses.empty() && there.spawns > 0 &&
                    back.spawns > 0 && same_outputs && same_keys;
  if (json) {
    nlohmann::json outputs = nlohmann::json::array();
    for (const auto& output : bytes.different_outputs)
      outputs.push_back({{"spawn", logs[0].spawns()[output.pair.a].Name()},
                         {"path", output.path},
                         {"remote", output.a},
                         {"local", output.b}});
    nlohmann::json all = {{"shared", good},
                          {"remote_then_local", AsJson(there)},
                          {"local_then_remote", AsJson(back)},
                          {"same_keys", bytes.same_keys},
                          {"different_keys", bytes.different_keys.size()},
                          {"different_outputs", outputs}};
    Print(all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
    return good ? Status() : Status(Code::kFailedPrecondition, "");
  }
  PrintSharing("remote, then local", there);
  PrintSharing("local, then remote", back);
  PrintLine(Coloured(fmt::format("bytes: {} spawns ran on both sides with the same key, {} of them "
                                 "gave other bytes",
                                 bytes.same_keys, bytes.different_outputs.size()),
                     same_outputs ? Colour::kGreen : Colour::kRed));
  for (const auto& output : bytes.different_outputs) {
    const explain::Spawn& spawn = logs[0].spawns()[output.pair.a];
    PrintLine(fmt::format("  {}: {} is not reproducible{}\n    remote: {}\n    local:  {}",
                          spawn.Name(), output.path,
                          MayDiffer(spawn, output.path) ? " (how long a test took may differ)" : "",
                          output.a, output.b));
  }
  for (const auto& key : bytes.different_keys) {
    const explain::Spawn& spawn = logs[0].spawns()[key.pair.a];
    PrintLine(fmt::format("  {}: the two sides gave it different keys{}", spawn.Name(),
                          MayDiffer(spawn) ? " (what a test printed may differ)" : ""));
    PrintLine("    " + explain::Describe(key.differences.front()));
  }
  if (there.spawns == 0) PrintLine("no spawn may be cached: nothing was verified");
  return good ? Status() : Status(Code::kFailedPrecondition, "");
}

Status Run(VerifyFlags flags) {
  if (flags.targets.empty()) flags.targets.push_back(kProbe);
  if (flags.server.find("://") == flags.server.npos && !flags.server.starts_with("unix:"))
    flags.server = "grpc://" + flags.server;
  TempDir scratch;
  std::string logs = flags.logs.empty() ? scratch / "logs" : flags.logs;
  TRY(SystemFiles().MakeDirectories(logs));
  const bool own_base = flags.output_base.empty();
  Verifier verifier(flags, own_base ? scratch / "base" : flags.output_base, logs);
  const std::string first = "lre-verify-" + RandomHex(8), second = "lre-verify-" + RandomHex(8);
  Progress progress(SystemClock());
  std::vector<explain::ExecutionLog> built;
  Status status;
  for (const Build& build : {Build{"1-remote", true, first}, Build{"2-local", false, first},
                             Build{"3-local", false, second}, Build{"4-remote", true, second}}) {
    progress.Show("building", build.name);
    Result<explain::ExecutionLog> log = verifier.Run(build);
    status = ToStatus(log);
    if (!status.ok()) break;
    built.push_back(std::move(*log));
  }
  progress.Clear();
  // Its server would keep the folder alive that goes with this.
  if (own_base) verifier.Shutdown();
  TRY(status);
  return Report(built, flags.json);
}

}  // namespace

void AddVerifyCommand(App& app) {
  CLI::App* command =
      app.cli.add_subcommand("verify", "Prove that remote and local builds share everything");
  command->footer(
      "Builds remotely, then locally, then the reverse, each from nothing, and reads Bazel's "
      "execution\nlogs: every spawn must have the same key and be a cache hit on the other side, "
      "with "
      "the same\nbytes. Results go into instances of their own and disturb nobody. Ends with 1 "
      "otherwise.\n"
      "Examples:\n"
      "  lre verify\n"
      "  lre verify //... --test --server cache.example:50051\n"
      "  lre verify //:app --build-flag=-c --build-flag=opt --json");
  auto flags = std::make_shared<VerifyFlags>();
  command->add_option("TARGET", flags->targets,
                      "What to build [@local-remote-execution//examples:hello_lre]");
  command->add_option("--server", flags->server, "Cache and executor [grpc://127.0.0.1:50051]")
      ->type_name("ADDRESS");
  command->add_flag("--test", flags->test, "Run tests too");
  command->add_option("--bazel", flags->bazel, "The program [bazel]")->type_name("PROGRAM");
  command->add_option("--startup-flag", flags->startup, "A startup flag for Bazel, may be repeated")
      ->type_name("FLAG")
      ->allow_extra_args(false);
  command->add_option("--build-flag", flags->build, "A build flag for Bazel, may be repeated")
      ->type_name("FLAG")
      ->allow_extra_args(false);
  command
      ->add_option("--output-base", flags->output_base,
                   "Where Bazel works; a temporary folder when not given")
      ->type_name("DIR");
  command->add_option("--logs", flags->logs, "Keep the execution logs here")->type_name("DIR");
  command->add_flag("--json", flags->json, "For programs");
  command->callback([&app, flags] { app.action = [flags] { return Run(*flags); }; });
}

}  // namespace lre::cli

// lre explain: why two actions have different keys.
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/explain_seen.h"
#include "cli/remote_server.h"
#include "cli/terminal.h"
#include "explain/log_comparison.h"
#include "explain/stored_action.h"

namespace lre::cli {
namespace {

// "<hex>/<size>" as logs print an action's key.
std::optional<Digest> AsDigest(const std::string& text) {
  size_t slash = text.find('/');
  if (slash == text.npos || text.find('/', slash + 1) != text.npos) return std::nullopt;
  DigestFunction function = InferDigestFunction(slash);
  if (function == DigestFunction::kUnknown || slash + 1 == text.size() ||
      text.find_first_not_of("0123456789", slash + 1) != text.npos || text.size() > slash + 19)
    return std::nullopt;
  auto digest = MakeDigest(function, text.substr(0, slash), std::stoll(text.substr(slash + 1)));
  return digest ? std::optional(*digest) : std::nullopt;
}

// What differs has been printed; only the exit code remains to be said, as diff(1) has it.
Status Verdict(bool different) {
  return different ? Status(Code::kFailedPrecondition, "") : Status();
}

Status ExplainActions(const Digest& a, const Digest& b, const ExplainFlags& flags) {
  TRY_ASSIGN(auto server, RemoteServer::Connect(flags.server));
  TRY_ASSIGN(std::vector<explain::Difference> differences,
             explain::CompareStoredActions(server->cas(), a, b,
                                           {.differences_max = flags.differences_max}));
  if (flags.json) {
    nlohmann::json all = nlohmann::json::array();
    for (const auto& difference : differences) all.push_back(AsJson(difference));
    Print(all.dump(2) + "\n");
  } else {
    for (const auto& difference : differences) PrintLine(explain::Describe(difference));
    if (differences.empty())
      PrintLine(a == b ? "the same action" : "nothing that LRE knows of differs");
  }
  return Verdict(a != b);
}

class LogReport {
 public:
  LogReport(const explain::ExecutionLog& a, const explain::ExecutionLog& b,
            const ExplainFlags& flags)
      : a_(a),
        b_(b),
        flags_(flags),
        comparison_(explain::CompareLogs(
            a, b, {.target = flags.target, .differences_max = flags.differences_max})) {}

  bool different() const {
    return !comparison_.different_keys.empty() || !comparison_.different_outputs.empty();
  }

  void PrintText() const {
    for (const auto& difference : comparison_.different_keys) {
      PrintLine(Coloured(a_.spawns()[difference.pair.a].Name(), Colour::kBold));
      for (const auto& one : difference.differences) PrintLine("  " + explain::Describe(one));
    }
    for (const auto& output : comparison_.different_outputs) {
      PrintLine(Coloured(a_.spawns()[output.pair.a].Name(), Colour::kBold));
      PrintLine(fmt::format("  the same key, but another output {}\n  A: {} ({})\n  B: {} ({})",
                            output.path, output.a, a_.spawns()[output.pair.a].runner, output.b,
                            b_.spawns()[output.pair.b].runner));
    }
    PrintSides();
    PrintLine(fmt::format(
        "{} spawns in both: {} with the same key, {} with another, {} that follow from those; {} "
        "not reproducible",
        comparison_.pairs.size(), comparison_.same_keys, comparison_.different_keys.size(),
        comparison_.following.size(), comparison_.different_outputs.size()));
  }

  void PrintJson() const {
    nlohmann::json keys = nlohmann::json::array(), outputs = nlohmann::json::array();
    for (const auto& difference : comparison_.different_keys) {
      const explain::Spawn &a = a_.spawns()[difference.pair.a], &b = b_.spawns()[difference.pair.b];
      nlohmann::json why = nlohmann::json::array();
      for (const auto& one : difference.differences) why.push_back(AsJson(one));
      keys.push_back({{"spawn", a.Name()}, {"a", a.action}, {"b", b.action}, {"why", why}});
    }
    for (const auto& output : comparison_.different_outputs)
      outputs.push_back({{"spawn", a_.spawns()[output.pair.a].Name()},
                         {"path", output.path},
                         {"a", output.a},
                         {"b", output.b}});
    nlohmann::json all = {{"pairs", comparison_.pairs.size()},
                          {"same_keys", comparison_.same_keys},
                          {"following", comparison_.following.size()},
                          {"only_a", comparison_.only_a.size()},
                          {"only_b", comparison_.only_b.size()},
                          {"different_keys", keys},
                          {"different_outputs", outputs}};
    Print(all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  }

 private:
  // A build that takes part of its results from its own cache logs fewer spawns.
  void PrintSides() const {
    if (!comparison_.only_a.empty())
      PrintLine(fmt::format("only in A: {} spawns, the first is {}", comparison_.only_a.size(),
                            a_.spawns()[comparison_.only_a.front()].Name()));
    if (!comparison_.only_b.empty())
      PrintLine(fmt::format("only in B: {} spawns, the first is {}", comparison_.only_b.size(),
                            b_.spawns()[comparison_.only_b.front()].Name()));
  }

  const explain::ExecutionLog &a_, &b_;
  const ExplainFlags& flags_;
  const explain::LogComparison comparison_;
};

Status Run(const ExplainFlags& flags) {
  std::optional<Digest> a = AsDigest(flags.a), b = AsDigest(flags.b);
  if (a && b) return ExplainActions(*a, *b, flags);
  if (flags.b.empty()) return ExplainSeen(a, flags);
  TRY_ASSIGN(explain::ExecutionLog log_a, explain::ExecutionLog::Read(flags.a));
  TRY_ASSIGN(explain::ExecutionLog log_b, explain::ExecutionLog::Read(flags.b));
  LogReport report(log_a, log_b, flags);
  if (flags.json) {
    report.PrintJson();
  } else {
    report.PrintText();
  }
  return Verdict(report.different());
}

}  // namespace

void AddExplainCommand(App& app) {
  CLI::App* command = app.cli.add_subcommand("explain", "Say why two actions have different keys");
  command->footer(
      "A and B are execution logs of two Bazel builds (--execution_log_json_file, "
      "--execution_log_binary_file\nor --execution_log_compact_file), or two action digests that a "
      "server has.\n"
      "A alone is a log, an action digest, or a label: what missed is compared with the action "
      "most "
      "like it\nthat the server has seen (action_cache.seen_max of them, since it started).\n"
      "Ends with 0 when keys and outputs are the same, with 1 when they differ.\n"
      "Examples:\n"
      "  bazel build //:app --execution_log_compact_file=/tmp/here.log\n"
      "  lre explain /tmp/here.log /tmp/there.log --target //:app\n"
      "  lre explain //:app --mnemonic CppCompile\n"
      "  lre explain /tmp/here.log --server cache.example:50051\n"
      "  lre explain 3f1c...e2/147 9a0b...41/147 --server cache.example:50051");
  auto flags = std::make_shared<ExplainFlags>();
  command->add_option("A", flags->a, "A log, <hash>/<size> of an action, or a label")->required();
  command->add_option("B", flags->b, "The other one [what the server has seen]");
  command->add_option("--target", flags->target, "Only spawns of this label")->type_name("LABEL");
  command->add_option("--mnemonic", flags->mnemonic, "Without B: only such actions")
      ->type_name("NAME");
  command
      ->add_option("--differences-max", flags->differences_max,
                   "Differences printed of one action [3]")
      ->type_name("NUMBER");
  command->add_flag("--json", flags->json, "For programs");
  ServerFlags::Add(*command, flags->server);
  command->callback([&app, flags] { app.action = [flags] { return Run(*flags); }; });
}

}  // namespace lre::cli

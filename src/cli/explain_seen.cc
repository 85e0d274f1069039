#include "cli/explain_seen.h"

#include <map>
#include <set>

#include "base/clock.h"
#include "base/quantity.h"
#include "cli/terminal.h"
#include "explain/execution_log.h"
#include "explain/nearest_action.h"
#include "reapi/digest_proto.h"
#include "reapi/request_metadata.h"

namespace lre::cli {
namespace {

using explain::v1::FindActionsRequest;
using explain::v1::SeenAction;

// Spawns of a log that are looked up; the first causes come first.
constexpr size_t kSpawnsMax = 200;

bool IsLabel(const std::string& text) { return text.starts_with("//") || text.starts_with('@'); }

class Explainer {
 public:
  Explainer(RemoteServer& server, const ExplainFlags& flags) : server_(server), flags_(flags) {
    options_.stored.differences_max = flags.differences_max;
  }

  Status OneAction(const Digest& action) {
    FindActionsRequest query;
    reapi::ToProto(action, query.mutable_action_digest());
    TRY_ASSIGN(const std::vector<SeenAction> seen, server_.FindActions(query));
    const SeenAction about = seen.empty() ? SeenAction() : seen[0];
    TRY_ASSIGN(const auto candidates, Candidates(about.target_id(), about.action_mnemonic()));
    TRY_ASSIGN(auto nearest, explain::FindNearest(server_.cas(), action, candidates, options_));
    if (!nearest && !about.target_id().empty()) {
      // The same outputs under another label, or without one.
      TRY_ASSIGN(const auto all, Candidates("", ""));
      TRY_ASSIGN(nearest, explain::FindNearest(server_.cas(), action, all, options_));
    }
    if (!nearest) {
      return ErrorStatus(Code::kNotFound,
                         "the server has seen nothing else that makes what {} makes", action);
    }
    Report(NameOf(about, action), action.ToString(), *nearest);
    return Finish();
  }

  // Of every output of the target the last action that makes it, beside those before it.
  Status Target(const std::string& label) {
    TRY_ASSIGN(const std::vector<Digest> actions, Candidates(label, flags_.mnemonic));
    if (actions.empty()) {
      return ErrorStatus(Code::kNotFound,
                         "the server has seen no action of {}{}; it forgets when it restarts, and "
                         "sees what is executed there or uploaded",
                         label, flags_.mnemonic.empty() ? "" : ", " + flags_.mnemonic);
    }
    std::set<std::vector<std::string>> done;
    for (size_t i = 0; i < actions.size(); ++i) {
      const auto outputs = explain::StoredOutputs(server_.cas(), actions[i], options_.stored);
      if (!outputs || !done.insert(*outputs).second) continue;
      const std::vector<Digest> before(actions.begin() + static_cast<ptrdiff_t>(i) + 1,
                                       actions.end());
      TRY_ASSIGN(auto nearest, explain::FindNearest(server_.cas(), actions[i], before, options_));
      const std::string name = NameOf(about_.at(actions[i].ToString()), actions[i]);
      if (nearest) {
        Report(name, actions[i].ToString(), *nearest);
      } else {
        ReportNothing(name);
      }
    }
    return Finish();
  }

  // What missed in a build, by its own log.
  Status Log(const explain::ExecutionLog& log) {
    std::set<std::string> made;  // by spawns that missed: what reads it differs because of them
    std::vector<size_t> missed;
    for (size_t i = 0; i < log.spawns().size(); ++i) {
      const explain::Spawn& spawn = log.spawns()[i];
      if (!spawn.cacheable || spawn.cache_hit) continue;
      for (const auto& [path, digest] : spawn.outputs) made.insert(path);
      const bool wanted = (flags_.target.empty() ||
                           reapi::PlainLabel(spawn.target) == reapi::PlainLabel(flags_.target)) &&
                          (flags_.mnemonic.empty() || spawn.mnemonic == flags_.mnemonic);
      if (wanted) missed.push_back(i);
    }
    for (size_t i = 0; i < std::min(missed.size(), kSpawnsMax); ++i) {
      TRY(Missed(log, missed[i], made));
    }
    if (!flags_.json) {
      PrintLine(fmt::format(
          "{} spawns missed, {} looked up: {} differ as shown, {} follow from "
          "others, {} are new to the server",
          missed.size(), std::min(missed.size(), kSpawnsMax), reported_, following_, unknown_));
    }
    return Finish();
  }

 private:
  Result<std::vector<Digest>> Candidates(const std::string& target, const std::string& mnemonic) {
    std::vector<Digest> digests;
    const auto known = candidates_.find({target, mnemonic});
    if (known != candidates_.end()) return known->second;
    FindActionsRequest query;
    query.set_target_id(target);
    query.set_action_mnemonic(mnemonic);
    TRY_ASSIGN(const std::vector<SeenAction> seen, server_.FindActions(query));
    for (const SeenAction& one : seen) {
      TRY_ASSIGN(const Digest digest, reapi::FromProto(one.action_digest()));
      about_[digest.ToString()] = one;
      digests.push_back(digest);
    }
    candidates_[{target, mnemonic}] = digests;
    return digests;
  }

  Status Missed(const explain::ExecutionLog& log, size_t index, const std::set<std::string>& made) {
    const explain::Spawn& spawn = log.spawns()[index];
    TRY_ASSIGN(std::vector<Digest> candidates, Candidates(spawn.target, spawn.mnemonic));
    // Its own build may have told the server of it since.
    std::erase_if(candidates,
                  [&](const Digest& digest) { return digest.ToString() == spawn.action; });
    explain::NearestOptions all = options_;
    all.stored.differences_max = SIZE_MAX;
    TRY_ASSIGN(auto nearest,
               explain::FindNearest(server_.cas(), log.Facts(index), candidates, all));
    if (!nearest) {
      ++unknown_;
      return {};
    }
    const bool follows =
        !nearest->differences.empty() &&
        std::all_of(nearest->differences.begin(), nearest->differences.end(), [&](const auto& one) {
          return one.cause == explain::Cause::kInput && made.contains(one.field.substr(6));
        });
    if (follows) {
      ++following_;
      return {};
    }
    if (nearest->differences.size() > flags_.differences_max) {
      nearest->differences.resize(flags_.differences_max);
    }
    Report(spawn.Name(), spawn.action, *nearest);
    return {};
  }

  std::string NameOf(const SeenAction& about, const Digest& action) {
    const auto outputs = explain::StoredOutputs(server_.cas(), action, options_.stored);
    return fmt::format("{}, {}, {}", about.target_id().empty() ? "no target" : about.target_id(),
                       about.action_mnemonic(),
                       outputs && !outputs->empty() ? outputs->front() : "no output");
  }

  std::string AgeOf(const std::string& action) {
    const auto found = about_.find(action);
    if (found == about_.end()) return "";
    const int64_t now =
        std::chrono::duration_cast<std::chrono::seconds>(SystemClock().WallNow().time_since_epoch())
            .count();
    const int64_t age = std::max<int64_t>(0, now - found->second.seen().seconds());
    return fmt::format(", seen {} ago", FormatDuration(std::chrono::seconds(age)));
  }

  void Report(const std::string& name, const std::string& a, const explain::Nearest& nearest) {
    ++reported_;
    const std::string b = nearest.action.ToString();
    if (flags_.json) {
      nlohmann::json why = nlohmann::json::array();
      for (const auto& one : nearest.differences) why.push_back(AsJson(one));
      json_.push_back({{"spawn", name}, {"a", a}, {"b", b}, {"why", why}});
      return;
    }
    PrintLine(Coloured(name, Colour::kBold));
    PrintLine(fmt::format("  A: {}{}", a.empty() ? "in the log" : a, AgeOf(a)));
    PrintLine(fmt::format("  B: {}{}{}", b, AgeOf(b),
                          nearest.other_configuration ? ", of another configuration" : ""));
    for (const auto& one : nearest.differences) PrintLine("  " + explain::Describe(one));
    if (nearest.differences.empty()) PrintLine("  nothing that is recorded differs");
  }

  void ReportNothing(const std::string& name) {
    ++unknown_;
    if (flags_.json) return;
    PrintLine(Coloured(name, Colour::kBold));
    PrintLine("  the only one of its kind that the server has seen");
  }

  Status Finish() {
    if (flags_.json) {
      Print(json_.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
    }
    return reported_ > 0 ? Status(Code::kFailedPrecondition, "") : Status();
  }

  RemoteServer& server_;
  const ExplainFlags& flags_;
  explain::NearestOptions options_;
  std::map<std::pair<std::string, std::string>, std::vector<Digest>> candidates_;
  std::map<std::string, SeenAction> about_;  // by digest
  nlohmann::json json_ = nlohmann::json::array();
  size_t reported_ = 0, following_ = 0, unknown_ = 0;
};

}  // namespace

nlohmann::json AsJson(const explain::Difference& difference) {
  return {{"cause", explain::CauseName(difference.cause)},
          {"field", difference.field},
          {"a", difference.a},
          {"b", difference.b}};
}

Status ExplainSeen(const std::optional<Digest>& action, const ExplainFlags& flags) {
  TRY_ASSIGN(auto server, RemoteServer::Connect(flags.server));
  Explainer explainer(*server, flags);
  if (action) return explainer.OneAction(*action);
  if (IsLabel(flags.a)) return explainer.Target(flags.a);
  TRY_ASSIGN(const explain::ExecutionLog log, explain::ExecutionLog::Read(flags.a));
  return explainer.Log(log);
}

}  // namespace lre::cli

// Spawns are matched by target, mnemonic and outputs; what is left (another configuration has
// another folder in its outputs) by target and mnemonic in the order of the logs. Keys are compared
// where both logs have them, else the facts are.
#include "explain/log_comparison.h"

#include <algorithm>
#include <map>
#include <set>

#include "reapi/request_metadata.h"

namespace lre::explain {
namespace {

using Matches = std::map<std::string, std::vector<size_t>>;

std::string LooseName(const Spawn& spawn) { return spawn.target + ", " + spawn.mnemonic; }

class LogComparer {
 public:
  LogComparer(const ExecutionLog& a, const ExecutionLog& b, const CompareOptions& options)
      : a_(a), b_(b), options_(options) {}

  LogComparison Run() {
    Match();
    FindDifferentOutputs();
    for (const SpawnPair& pair : result_.pairs) CompareKeys(pair);
    return std::move(result_);
  }

 private:
  bool Wanted(const Spawn& spawn) const {
    return options_.target.empty() ||
           reapi::PlainLabel(spawn.target) == reapi::PlainLabel(options_.target);
  }

  void Match() {
    std::vector<size_t> left, right;
    for (size_t i = 0; i < a_.spawns().size(); ++i)
      if (Wanted(a_.spawns()[i])) left.push_back(i);
    for (size_t i = 0; i < b_.spawns().size(); ++i)
      if (Wanted(b_.spawns()[i])) right.push_back(i);
    Pair(left, right, [](const Spawn& spawn) { return spawn.Name(); });
    Pair(left, right, LooseName);
    result_.only_a = std::move(left);
    result_.only_b = std::move(right);
    std::sort(result_.pairs.begin(), result_.pairs.end(),
              [](const SpawnPair& a, const SpawnPair& b) { return a.a < b.a; });
  }

  template <typename NameOf>
  void Pair(std::vector<size_t>& left, std::vector<size_t>& right, NameOf name_of) {
    std::map<std::string, std::vector<size_t>> by_name;
    for (auto it = right.rbegin(); it != right.rend(); ++it)
      by_name[name_of(b_.spawns()[*it])].push_back(*it);
    std::vector<size_t> rest_left;
    std::set<size_t> taken;
    for (size_t i : left) {
      auto it = by_name.find(name_of(a_.spawns()[i]));
      if (it == by_name.end() || it->second.empty()) {
        rest_left.push_back(i);
        continue;
      }
      result_.pairs.push_back({i, it->second.back()});
      taken.insert(it->second.back());
      it->second.pop_back();
    }
    left = std::move(rest_left);
    std::erase_if(right, [&](size_t i) { return taken.contains(i); });
  }

  // Over all spawns, also those that were not asked for: what was asked for may follow from them.
  void FindDifferentOutputs() {
    std::map<std::string, std::string> made;
    for (const Spawn& spawn : b_.spawns())
      for (const auto& [path, digest] : spawn.outputs) made[path] = digest;
    for (const Spawn& spawn : a_.spawns()) {
      for (const auto& [path, digest] : spawn.outputs) {
        auto it = made.find(path);
        if (it != made.end() && it->second != digest) changed_outputs_.insert(path);
      }
    }
  }

  void CompareKeys(const SpawnPair& pair) {
    const Spawn &a = a_.spawns()[pair.a], &b = b_.spawns()[pair.b];
    const bool keys_known = !a.action.empty() && !b.action.empty();
    std::vector<Difference> differences;
    if (!keys_known || a.action != b.action) {
      differences = Compare(a_.Facts(pair.a), b_.Facts(pair.b), SIZE_MAX);
      if (keys_known && differences.empty())
        differences.push_back({Cause::kUnknown, "key", a.action, b.action});
    }
    if (differences.empty()) {
      ++result_.same_keys;
      return CompareOutputs(pair);
    }
    bool follows = std::all_of(differences.begin(), differences.end(), [&](const Difference& d) {
      return d.cause == Cause::kInput && changed_outputs_.contains(d.field.substr(6));
    });
    if (follows) return result_.following.push_back(pair);
    if (differences.size() > options_.differences_max) differences.resize(options_.differences_max);
    result_.different_keys.push_back({pair, std::move(differences)});
  }

  void CompareOutputs(const SpawnPair& pair) {
    const Spawn &a = a_.spawns()[pair.a], &b = b_.spawns()[pair.b];
    for (const auto& [path, digest] : a.outputs) {
      auto it = b.outputs.find(path);
      std::string other = it == b.outputs.end() ? "(absent)" : it->second;
      if (digest == other) continue;
      result_.different_outputs.push_back({pair, path, digest, std::move(other)});
      return;
    }
  }

  const ExecutionLog &a_, &b_;
  const CompareOptions& options_;
  std::set<std::string> changed_outputs_;
  LogComparison result_;
};

}  // namespace

LogComparison CompareLogs(const ExecutionLog& a, const ExecutionLog& b,
                          const CompareOptions& options) {
  return LogComparer(a, b, options).Run();
}

}  // namespace lre::explain

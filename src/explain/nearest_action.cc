#include "explain/nearest_action.h"

#include <algorithm>
#include <functional>

namespace lre::explain {
namespace {

std::vector<std::string> Sorted(std::vector<std::string> texts) {
  std::sort(texts.begin(), texts.end());
  return texts;
}

// Without the name of the configuration: "bazel-out/k8-opt/bin/a" is "bazel-out//bin/a".
std::vector<std::string> WithoutConfiguration(std::vector<std::string> outputs) {
  constexpr std::string_view kRoot = "bazel-out/";
  for (std::string& output : outputs) {
    if (!output.starts_with(kRoot)) continue;
    const size_t end = output.find('/', kRoot.size());
    if (end != output.npos) output.erase(kRoot.size(), end - kRoot.size());
  }
  return outputs;
}

// How far away, less being nearer: what is known to differ comes before what cannot be known.
std::pair<size_t, size_t> Distance(const std::vector<Difference>& differences) {
  const auto unknown = std::count_if(differences.begin(), differences.end(), [](const auto& one) {
    return one.a.ends_with(kNotInTheCas) || one.b.ends_with(kNotInTheCas);
  });
  return {static_cast<size_t>(unknown), differences.size()};
}

using CompareWith = std::function<Result<std::vector<Difference>>(const Digest& candidate)>;

Result<std::optional<Nearest>> Choose(store::BlobStore& cas,
                                      const std::vector<std::string>& outputs,
                                      const std::vector<Digest>& candidates,
                                      const NearestOptions& options, const CompareWith& compare) {
  std::vector<Digest> same, others;
  const std::vector<std::string> plain = Sorted(WithoutConfiguration(outputs));
  for (size_t i = 0; i < std::min(candidates.size(), options.commands_max); ++i) {
    auto made = StoredOutputs(cas, candidates[i], options.stored);
    if (!made) continue;  // lost, or not what it should be
    std::vector<std::string> sorted = Sorted(std::move(*made));
    if (sorted == outputs) {
      same.push_back(candidates[i]);
    } else if (Sorted(WithoutConfiguration(std::move(sorted))) == plain) {
      others.push_back(candidates[i]);
    }
  }
  std::optional<Nearest> nearest;
  const std::vector<Digest>& compared = same.empty() ? others : same;
  for (size_t i = 0; i < std::min(compared.size(), options.compared_max); ++i) {
    auto differences = compare(compared[i]);
    if (!differences && differences.error().code() == Code::kNotFound) continue;
    TRY(differences);
    if (!nearest || Distance(*differences) < Distance(nearest->differences)) {
      nearest = Nearest{compared[i], std::move(*differences), same.empty()};
    }
  }
  if (nearest && nearest->differences.size() > options.stored.differences_max) {
    nearest->differences.resize(options.stored.differences_max);
  }
  return nearest;
}

// Takes out of both what is below folders that the CAS lacks; they are one difference each.
std::vector<Difference> TakeUnknown(ActionFacts& logged, ActionFacts& stored) {
  std::vector<Difference> unknown;
  for (const auto& [path, value] : stored.inputs) {
    if (!value.ends_with(kNotInTheCas)) continue;
    std::erase_if(logged.inputs, [&, folder = path == "." ? "" : path](const auto& input) {
      return input.first.starts_with(folder);
    });
    unknown.push_back({Cause::kInputSet, "input " + path, "(in the log)", value});
  }
  std::erase_if(stored.inputs,
                [](const auto& input) { return input.second.ends_with(kNotInTheCas); });
  return unknown;
}

// As a log would have it.
ActionFacts AsLogged(ActionFacts stored, const ActionFacts& logged) {
  stored.working_directory = logged.working_directory;
  stored.salt = logged.salt;
  stored.timeout_ms = logged.timeout_ms;
  stored.do_not_cache = logged.do_not_cache;
  stored.outputs = Sorted(std::move(stored.outputs));
  constexpr std::string_view kExecutable = " executable";
  for (auto& [path, value] : stored.inputs) {
    if (value.ends_with(kExecutable)) value.resize(value.size() - kExecutable.size());
  }
  return stored;
}

}  // namespace

Result<std::optional<Nearest>> FindNearest(store::BlobStore& cas, const Digest& action,
                                           const std::vector<Digest>& candidates,
                                           const NearestOptions& options) {
  TRY_ASSIGN(std::vector<std::string> outputs, StoredOutputs(cas, action, options.stored));
  std::vector<Digest> others = candidates;
  std::erase(others, action);
  StoredActionOptions all = options.stored;
  all.differences_max = SIZE_MAX;
  return Choose(cas, Sorted(std::move(outputs)), others, options, [&](const Digest& candidate) {
    return CompareStoredActions(cas, action, candidate, all);
  });
}

Result<std::optional<Nearest>> FindNearest(store::BlobStore& cas, const ActionFacts& logged,
                                           const std::vector<Digest>& candidates,
                                           const NearestOptions& options) {
  ActionFacts facts = logged;
  facts.outputs = Sorted(std::move(facts.outputs));
  return Choose(cas, facts.outputs, candidates, options,
                [&](const Digest& candidate) -> Result<std::vector<Difference>> {
                  TRY_ASSIGN(ActionFacts stored, StoredFacts(cas, candidate, options.stored));
                  ActionFacts known = facts;
                  std::vector<Difference> unknown = TakeUnknown(known, stored);
                  std::vector<Difference> differences =
                      Compare(known, AsLogged(std::move(stored), known), SIZE_MAX);
                  std::move(unknown.begin(), unknown.end(), std::back_inserter(differences));
                  return differences;
                });
}

}  // namespace lre::explain

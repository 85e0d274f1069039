// Compares two execution logs of the same targets: which spawns had the same key, which did not and
// why, which gave different bytes for the same key. A spawn whose inputs differ only because
// another spawn made them different follows from that one and is counted, not reported. Pure
// function of its arguments; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "explain/execution_log.h"

namespace lre::explain {

struct SpawnPair {
  size_t a, b;  // indices into the two logs
};

struct KeyDifference {
  SpawnPair pair;
  std::vector<Difference> differences;  // never empty
};
struct OutputDifference {
  SpawnPair pair;
  std::string path, a, b;  // the first output that differs
};

struct LogComparison {
  std::vector<SpawnPair> pairs;
  size_t same_keys = 0;
  std::vector<KeyDifference> different_keys;  // that follow from no other spawn
  std::vector<SpawnPair> following;           // keys that differ because of those, or of outputs
  // The same key, other bytes: the action is not reproducible.
  std::vector<OutputDifference> different_outputs;
  std::vector<size_t> only_a, only_b;
};

struct CompareOptions {
  std::string target;           // only spawns of this label; empty: all
  size_t differences_max = 10;  // of one spawn
};
LogComparison CompareLogs(const ExecutionLog& a, const ExecutionLog& b,
                          const CompareOptions& options = {});

}  // namespace lre::explain

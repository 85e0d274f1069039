// ActionCache: action results by the digest of the action. Implementations are thread-safe. Values
// are serialised build.bazel.remote.execution.v2.ActionResult messages, so that a hit can be sent
// as stored.
//
// Keyed by partition (tenant), instance name and action digest: results are never shared between
// instances, blobs are. An entry is served only while every blob it names is present (completeness:
// output files, stdout, stderr, every Tree with all files of root and children, every Directory
// under root_directory_digest); the list is flattened once, when it is written.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/status.h"
#include "digest/digest.h"
#include "store/blob_store.h"

namespace lre::action_cache {

struct ActionKey {
  Digest action;
  std::string_view instance_name;  // borrowed for the call
  store::Partition partition = 0;
};

class ActionCache {
 public:
  virtual ~ActionCache() = default;
  // The serialised ActionResult; kNotFound when there is none, or when a blob it names is gone.
  virtual Result<Bytes> Get(const ActionKey& key) = 0;
  // Stores a serialised ActionResult. kFailedPrecondition naming the first blob that is absent,
  // kInvalidArgument when it does not parse.
  virtual Status Put(const ActionKey& key, Bytes result) = 0;
  // Forgets an entry; absent is fine.
  virtual Status Remove(const ActionKey& key) = 0;
  // Get without blocking; nullopt means: ask again with Get on an I/O thread.
  virtual std::optional<Result<Bytes>> TryGet(const ActionKey&) { return std::nullopt; }
  virtual std::optional<Status> TryPut(const ActionKey&, const Bytes&) { return std::nullopt; }
};

}  // namespace lre::action_cache

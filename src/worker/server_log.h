// ServerLog: what a worker tells of an action that it could not run, or whose end people will ask
// about: when each stage was reached, what the sandbox was made of, what went wrong. Uploaded as a
// blob and named in ExecuteResponse.server_logs; clients show it. A free function, thread-safe.
// Nothing of the action's files, environment or output is in it.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "lre/worker/v1/worker.pb.h"
#include "sandbox/sandbox.h"

namespace lre::worker {

struct ServerLogFacts {
  const v1::Assignment& assignment;
  const build::bazel::remote::execution::v2::ExecutedActionMetadata& metadata;
  int slot = 0;
  const sandbox::Command& command;  // the last that was to be run; without arguments: none was
  const std::vector<std::string>& notes;  // what happened besides
  const Status& status;
};

// At most 64 KiB.
std::string ServerLogText(const ServerLogFacts& facts);

}  // namespace lre::worker

// PersistentAction: what an action needs to be run by a process that stays (docs/adr/0008), worked
// out from what Bazel sends with --experimental_remote_mark_tool_inputs: the platform property
// persistentWorkerKey, and the node property bazel_tool_input on the files of the tool. Arguments
// like @file and --flagfile=file are the work, the others start the process. Plain values.
//
// Errors: kFailedPrecondition says what the action lacks; it is then run as any other. So is every
// other error: what is wrong with the action, its plain run says.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "build/bazel/remote/execution/v2/remote_execution.pb.h"
#include "reapi/action.h"
#include "worker/directory_cache.h"
#include "worker/work_protocol.h"

namespace lre::worker {

// What the action asks for by platform properties; `key` is empty when nothing.
struct PersistentWish {
  std::string key;
  WorkProtocol protocol = WorkProtocol::kProto;
};
// Properties: persistentWorkerKey; and persistentWorkerProtocol, json or proto (also under Bazel's
// own name for it, requires-worker-protocol).
PersistentWish PersistentWishOf(const build::bazel::remote::execution::v2::Platform& platform);

struct PersistentAction {
  std::vector<std::string> start_arguments;
  blaze::worker::WorkRequest request;
  // A hash of the tool: its files, arguments and environment. Equal: one process may serve both,
  // as far as it sees the same besides its inputs.
  std::string tool;
};

struct PersistentActionOptions {
  size_t inputs_max = 100'000;             // more are not told to a process
  uint64_t arguments_bytes_max = 8 << 20;  // after the flag files were read
  int flag_file_depth_max = 10;            // of flag files that name others
};

// `directory`: where the input root lies. No link in it is followed.
Result<PersistentAction> MakePersistentAction(const reapi::Command& command, const Digest& root,
                                              const DirectoryMap& tree,
                                              const std::string& directory,
                                              const PersistentActionOptions& options = {});

}  // namespace lre::worker

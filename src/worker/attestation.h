// What a worker attests about the toolchains of an action: which store paths it had, and what they
// held. Pure; thread-safe. Source: proto/lre/worker/v1/store_paths.proto.
#pragma once

#include "build/bazel/remote/execution/v2/remote_execution.pb.h"
#include "worker/store_path_cache.h"

namespace lre::worker {

// Adds it to the auxiliary metadata; nothing for an action without store paths.
void Attest(const std::vector<HeldPath>& paths,
            build::bazel::remote::execution::v2::ExecutedActionMetadata* metadata);

}  // namespace lre::worker

#include "worker/attestation.h"

#include <algorithm>

#include "digest/digest.h"
#include "lre/worker/v1/store_paths.pb.h"

namespace lre::worker {

void Attest(const std::vector<HeldPath>& paths,
            build::bazel::remote::execution::v2::ExecutedActionMetadata* metadata) {
  if (paths.empty()) return;
  std::vector<const HeldPath*> sorted;
  for (const HeldPath& path : paths) sorted.push_back(&path);
  std::sort(sorted.begin(), sorted.end(),
            [](const HeldPath* a, const HeldPath* b) { return a->path < b->path; });
  v1::StorePaths message;
  std::string text;
  for (const HeldPath* path : sorted) {
    message.add_names(path->path.substr(path->path.rfind('/') + 1));
    text += path->path + " " + path->tree + "\n";
  }
  message.set_digest("sha256:" + ComputeDigest(DigestFunction::kSha256, text).Hex());
  metadata->add_auxiliary_metadata()->PackFrom(message);
}

}  // namespace lre::worker

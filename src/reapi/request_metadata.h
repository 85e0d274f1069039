// RequestMetadata: who asks and for what, in the header
// build.bazel.remote.execution.v2.requestmetadata-bin. Used for fairness, logs and live output,
// never for keys. A header that does not parse is as if it were absent: it is advice. Plain values.
#pragma once

#include <string>
#include <string_view>

namespace lre::reapi {

inline constexpr std::string_view kRequestMetadataHeader =
    "build.bazel.remote.execution.v2.requestmetadata-bin";

struct RequestMetadata {
  std::string tool_name, tool_version;
  std::string action_id;
  std::string tool_invocation_id;
  std::string correlated_invocations_id;
  std::string action_mnemonic;
  std::string target_id;
  std::string configuration_id;
  friend bool operator==(const RequestMetadata&, const RequestMetadata&) = default;
};

// `bytes`: the header's value, base64 already undone (as rpc::Metadata holds it).
RequestMetadata ParseRequestMetadata(std::string_view bytes);
std::string EncodeRequestMetadata(const RequestMetadata& metadata);

// Bazel's label of a target, to compare with others: those of the main repository are written
// "//a:b", "@//a:b" and "@@//a:b", and all are the first. Other text is itself.
std::string_view PlainLabel(std::string_view label);

}  // namespace lre::reapi

#include "reapi/request_metadata.h"

#include "reapi/digest_proto.h"

namespace lre::reapi {

RequestMetadata ParseRequestMetadata(std::string_view bytes) {
  pb::RequestMetadata message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return {};
  return {.tool_name = message.tool_details().tool_name(),
          .tool_version = message.tool_details().tool_version(),
          .action_id = message.action_id(),
          .tool_invocation_id = message.tool_invocation_id(),
          .correlated_invocations_id = message.correlated_invocations_id(),
          .action_mnemonic = message.action_mnemonic(),
          .target_id = message.target_id(),
          .configuration_id = message.configuration_id()};
}

std::string EncodeRequestMetadata(const RequestMetadata& metadata) {
  pb::RequestMetadata message;
  if (!metadata.tool_name.empty() || !metadata.tool_version.empty()) {
    message.mutable_tool_details()->set_tool_name(metadata.tool_name);
    message.mutable_tool_details()->set_tool_version(metadata.tool_version);
  }
  message.set_action_id(metadata.action_id);
  message.set_tool_invocation_id(metadata.tool_invocation_id);
  message.set_correlated_invocations_id(metadata.correlated_invocations_id);
  message.set_action_mnemonic(metadata.action_mnemonic);
  message.set_target_id(metadata.target_id);
  message.set_configuration_id(metadata.configuration_id);
  return SerializeDeterministically(message);
}

std::string_view PlainLabel(std::string_view label) {
  const size_t plain = label.find_first_not_of('@');
  return plain != label.npos && label.substr(plain).starts_with("//") ? label.substr(plain) : label;
}

}  // namespace lre::reapi

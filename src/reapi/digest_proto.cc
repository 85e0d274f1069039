#include "reapi/digest_proto.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

namespace lre::reapi {

Result<DigestFunction> ResolveDigestFunction(int field, std::string_view hex) {
  if (field == 0) {
    DigestFunction inferred = InferDigestFunction(hex.size());
    if (inferred == DigestFunction::kUnknown) {
      return Error(Code::kInvalidArgument,
                   "hash \"{}\" has {} characters, which tells no digest function; set "
                   "digest_function",
                   hex.substr(0, 140), hex.size());
    }
    return inferred;
  }
  for (DigestFunction function : kDigestFunctions) {
    if (static_cast<int>(function) == field) return function;
  }
  return Error(Code::kInvalidArgument,
               "digest function number {} is not served; GetCapabilities lists those that are",
               field);
}

Result<Digest> FromProto(const pb::Digest& message, DigestFunction function) {
  TRY_ASSIGN(DigestFunction resolved,
             ResolveDigestFunction(static_cast<int>(function), message.hash()));
  return MakeDigest(resolved, message.hash(), message.size_bytes());
}

Result<Digest> FromProto(const pb::Digest& message, pb::DigestFunction::Value field) {
  TRY_ASSIGN(DigestFunction resolved, ResolveDigestFunction(field, message.hash()));
  return MakeDigest(resolved, message.hash(), message.size_bytes());
}

pb::Digest ToProto(const Digest& digest) {
  pb::Digest message;
  ToProto(digest, &message);
  return message;
}

void ToProto(const Digest& digest, pb::Digest* message) {
  message->set_hash(digest.Hex());
  message->set_size_bytes(digest.size_bytes);
}

pb::DigestFunction::Value ToProto(DigestFunction function) {
  return static_cast<pb::DigestFunction::Value>(function);
}

std::string SerializeDeterministically(const google::protobuf::MessageLite& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializePartialToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

Digest DigestOfMessage(DigestFunction function, const google::protobuf::MessageLite& message,
                       std::string* bytes) {
  std::string text = SerializeDeterministically(message);
  Digest digest = ComputeDigest(function, text);
  if (bytes) *bytes = std::move(text);
  return digest;
}

}  // namespace lre::reapi

// Between Digest and its message, build.bazel.remote.execution.v2.Digest. Requests carry the digest
// function beside the digests (field digest_function, REAPI 2.3); clients of older versions leave
// it at UNKNOWN and the length of the hash says it. Free functions, thread-safe. Errors:
// kInvalidArgument naming the digest and what is wrong with it.
#pragma once

#include "base/status.h"
#include "build/bazel/remote/execution/v2/remote_execution.pb.h"
#include "digest/digest.h"

namespace lre::reapi {

namespace pb = ::build::bazel::remote::execution::v2;

// The function that a request means: its field, or by the length of `hex` when it says UNKNOWN.
// kInvalidArgument for a function that LRE does not serve, also for numbers it has never heard of.
Result<DigestFunction> ResolveDigestFunction(int field, std::string_view hex);

// `function` kUnknown: by the length of the hash.
Result<Digest> FromProto(const pb::Digest& message,
                         DigestFunction function = DigestFunction::kUnknown);
// The field digest_function of a request as it came, then as above.
Result<Digest> FromProto(const pb::Digest& message, pb::DigestFunction::Value field);

pb::Digest ToProto(const Digest& digest);
void ToProto(const Digest& digest, pb::Digest* message);
pb::DigestFunction::Value ToProto(DigestFunction function);

// Digest and text of a serialised message: how Actions, Commands and Directories are named.
Digest DigestOfMessage(DigestFunction function, const google::protobuf::MessageLite& message,
                       std::string* bytes = nullptr);
// Deterministic serialisation (map entries sorted).
std::string SerializeDeterministically(const google::protobuf::MessageLite& message);

}  // namespace lre::reapi

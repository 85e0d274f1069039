#include "reapi/error_details.h"

#include "reapi/resource_name.h"

namespace lre::reapi {
namespace {

// `status` with one more detail beside those it has.
Status AddDetail(Status status, const google::protobuf::Message& detail) {
  google::rpc::Status message = ToRpcStatus(status);
  message.add_details()->PackFrom(detail);
  std::string bytes = message.SerializeAsString();
  return std::move(status).WithDetails(std::move(bytes));
}

}  // namespace

Status MissingBlobsStatus(std::span<const Digest> missing) {
  google::rpc::PreconditionFailure failure;
  for (const Digest& digest : missing) {
    auto* violation = failure.add_violations();
    violation->set_type("MISSING");
    violation->set_subject(PrintResourceName({.digest = digest}));
  }
  std::string what = missing.empty() ? "a blob" : missing[0].ToString();
  if (missing.size() > 1) what += fmt::format(" and {} more", missing.size() - 1);
  return AddDetail(ErrorStatus(Code::kFailedPrecondition, "blob {} is not in the CAS", what),
                   failure);
}

std::vector<Digest> MissingBlobsOf(const Status& status, DigestFunction function) {
  std::vector<Digest> missing;
  google::rpc::Status message;
  if (!message.ParseFromString(status.details())) return missing;
  for (const auto& detail : message.details()) {
    google::rpc::PreconditionFailure failure;
    if (!detail.Is<google::rpc::PreconditionFailure>() || !detail.UnpackTo(&failure)) continue;
    for (const auto& violation : failure.violations()) {
      if (violation.type() != "MISSING") continue;
      Result<ResourceName> name = ParseReadName(violation.subject());
      if (name && name->digest.function == function) missing.push_back(name->digest);
    }
  }
  return missing;
}

Status BadRequestStatus(std::span<const FieldViolation> violations) {
  google::rpc::BadRequest request;
  std::string text;
  for (const FieldViolation& violation : violations) {
    auto* added = request.add_field_violations();
    added->set_field(violation.field);
    added->set_description(violation.description);
    if (!text.empty()) text += "; ";
    text += violation.field + ": " + violation.description;
  }
  return AddDetail(Status(Code::kInvalidArgument, std::move(text)), request);
}

Status WithRetryDelay(Status status, Duration delay) {
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(delay.count() / 1000000000);
  info.mutable_retry_delay()->set_nanos(static_cast<int32_t>(delay.count() % 1000000000));
  return AddDetail(std::move(status), info);
}

google::rpc::Status ToRpcStatus(const Status& status) {
  google::rpc::Status message;
  ToRpcStatus(status, &message);
  return message;
}

void ToRpcStatus(const Status& status, google::rpc::Status* message) {
  message->Clear();
  if (!status.details().empty()) message->ParseFromString(status.details());
  // Code and message of the Status win: context may have been added since.
  message->set_code(static_cast<int>(status.code()));
  message->set_message(status.message());
}

Status FromRpcStatus(const google::rpc::Status& message) {
  if (message.code() == 0) return Status();
  const bool known = message.code() >= 1 && message.code() <= 16;
  Status status(known ? static_cast<Code>(message.code()) : Code::kUnknown, message.message());
  if (message.details_size() == 0) return status;
  return std::move(status).WithDetails(message.SerializeAsString());
}

}  // namespace lre::reapi

// Typed details of errors: what clients act on beyond the code. A Status carries them as a
// serialised google.rpc.Status, which the transport sends in grpc-status-details-bin.
// Free functions, thread-safe.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "digest/digest.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "reapi/retry_delay.h"

namespace lre::reapi {

// FAILED_PRECONDITION with one violation of type MISSING and subject "blobs/<hash>/<size>" per
// digest: clients upload these and try again.
Status MissingBlobsStatus(std::span<const Digest> missing);
// The digests that such a status names, in the function of the request; empty for others.
std::vector<Digest> MissingBlobsOf(const Status& status, DigestFunction function);
// INVALID_ARGUMENT with one violation per field.
struct FieldViolation {
  std::string field, description;
};
Status BadRequestStatus(std::span<const FieldViolation> violations);

// As a field of a message (ExecuteResponse.status, per-blob statuses), details included.
google::rpc::Status ToRpcStatus(const Status& status);
void ToRpcStatus(const Status& status, google::rpc::Status* message);
// From such a field; details are kept. A code out of range becomes UNKNOWN.
Status FromRpcStatus(const google::rpc::Status& message);

}  // namespace lre::reapi

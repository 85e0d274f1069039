// The messages of the hot path, read in place and written without a protobuf object: per digest and
// per blob nothing is allocated. Views and slices borrow from (or share) the request. Free
// functions, thread-safe. What these accept and mean is what protobuf accepts and means, tested
// against it on random and mutated messages.
//
// Errors: kInvalidArgument for bytes that are no such message, for a digest function that LRE does
// not serve, and, where the specification has no status per blob, for a malformed digest.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "digest/digest.h"
#include "reapi/wire/message_writer.h"

namespace lre::reapi::wire {

// A Digest message of a request: its own bytes, so that an answer can repeat it as it came.
struct DigestEntry {
  std::string_view message;
  Digest digest;  // when valid
  bool valid = false;
};
// What is wrong with an entry that is not valid.
Status MalformedDigest(const DigestEntry& entry);

// --- ContentAddressableStorage ---
struct FindMissingRequest {
  std::string_view instance_name;
  DigestFunction function = DigestFunction::kUnknown;  // as resolved for the first digest
  std::vector<Digest> digests;
};
Result<FindMissingRequest> ParseFindMissingRequest(std::string_view bytes);
// `missing`: indices into `digests`.
BytesList WriteFindMissingResponse(const std::vector<Digest>& digests,
                                   const std::vector<uint32_t>& missing);

struct BatchUpdateEntry {
  DigestEntry digest;
  Bytes data;
  int32_t compressor = 0;
};
struct BatchUpdateRequest {
  std::string_view instance_name;
  std::vector<BatchUpdateEntry> entries;
};
// `request` is kept alive by the data of the entries.
Result<BatchUpdateRequest> ParseBatchUpdateRequest(const Bytes& request);
// Adds one BatchUpdateBlobsResponse.Response.
void AddBatchUpdateResponse(MessageWriter& writer, std::string_view digest_message,
                            const Status& status);

struct BatchReadRequest {
  std::string_view instance_name;
  std::vector<DigestEntry> entries;
  bool accepts_zstd = false;
};
Result<BatchReadRequest> ParseBatchReadRequest(std::string_view bytes);
// Adds one BatchReadBlobsResponse.Response, without data when the status is an error.
void AddBatchReadResponse(MessageWriter& writer, std::string_view digest_message,
                          const Status& status, const BytesList& data, int32_t compressor = 0);
// The bytes that AddBatchReadResponse would add.
size_t BatchReadResponseSize(std::string_view digest_message, size_t data_bytes);

// --- ActionCache ---
struct GetActionResultRequest {
  std::string_view instance_name;
  Digest action;
  bool inline_stdout = false;
  bool inline_stderr = false;
  std::vector<std::string_view> inline_output_files;
};
Result<GetActionResultRequest> ParseGetActionResultRequest(std::string_view bytes);

struct UpdateActionResultRequest {
  std::string_view instance_name;
  Digest action;
  Bytes action_result;  // the serialised ActionResult, not looked into
};
Result<UpdateActionResultRequest> ParseUpdateActionResultRequest(const Bytes& request);

// --- ByteStream ---
struct ReadRequest {
  std::string_view resource_name;
  int64_t read_offset = 0;
  int64_t read_limit = 0;
};
Result<ReadRequest> ParseReadRequest(std::string_view bytes);
// A ReadResponse around the bytes; nothing is copied but the header.
BytesList WriteReadResponse(BytesList data);

struct WriteRequest {
  std::string_view resource_name;
  int64_t write_offset = 0;
  bool finish_write = false;
  Bytes data;
};
Result<WriteRequest> ParseWriteRequest(const Bytes& request);
std::string WriteWriteResponse(int64_t committed_size);

}  // namespace lre::reapi::wire

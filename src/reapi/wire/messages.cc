#include "reapi/wire/messages.h"

#include "base/hex.h"
#include "reapi/digest_proto.h"
#include "reapi/error_details.h"
#include "reapi/wire/field_reader.h"

namespace lre::reapi::wire {
namespace {

std::unexpected<Status> Malformed(std::string_view message) {
  return Error(Code::kInvalidArgument, "the request is no {} message", message);
}

// The two fields of a Digest message. Reading a second message into it merges, as protobuf does
// with a singular field that comes twice. A hash that decodes is hex and so is UTF-8; only of one
// that does not must the caller ask IsText before it answers.
struct RawDigest {
  std::string_view hash;
  int64_t size_bytes = 0;

  bool IsText() const { return IsUtf8(hash); }

  bool Read(std::string_view message) {
    if (!hash.empty() && !IsText()) return false;
    return ReadUsual(message) || ReadAny(message);
  }

  // As everybody writes it: the hash, then the size or, of nothing, no more. Changes nothing when
  // it is otherwise.
  bool ReadUsual(std::string_view message) {
    if (message.size() < 2 || message[0] != (1 << 3 | 2)) return false;
    const auto hex = static_cast<unsigned char>(message[1]);
    if (hex >= 0x80 || message.size() < 2u + hex) return false;
    uint64_t size = 0;
    if (size_t at = 2u + hex; at < message.size()) {
      if (message[at++] != 2 << 3) return false;
      // Up to five bytes, the last of which has no mark; the rest is for ReadAny.
      const size_t end = message.size();
      if (at == end || end - at > 5 || static_cast<unsigned char>(message[end - 1]) >= 0x80) {
        return false;
      }
      for (int shift = 0; at < end; shift += 7) {
        const auto byte = static_cast<unsigned char>(message[at++]);
        if (byte < 0x80 && at < end) return false;
        size |= static_cast<uint64_t>(byte & 0x7f) << shift;
      }
      size_bytes = static_cast<int64_t>(size);
    }
    hash = message.substr(2, hex);
    return true;
  }

  bool ReadAny(std::string_view message) {
    FieldReader fields(message);
    while (fields.Next()) {
      if (fields.Is(1, WireType::kBytes)) {
        hash = fields.bytes();
        if (!IsUtf8(hash)) return false;
      } else if (fields.Is(2, WireType::kVarint)) {
        size_bytes = static_cast<int64_t>(fields.varint());
      }
    }
    return fields.ok();
  }
  // MakeDigest without its message: false says why later, if anyone asks.
  bool Decode(DigestFunction function, Digest* digest) const {
    if (function == DigestFunction::kUnknown) function = InferDigestFunction(hash.size());
    if (function == DigestFunction::kUnknown || hash.size() != 2 * HashSize(function) ||
        size_bytes < 0 || !HexDecodeTo(hash, digest->hash.data())) {
      return false;
    }
    digest->function = function;
    digest->size_bytes = size_bytes;
    return true;
  }
};

// The field digest_function of a request; kUnknown: each digest's length says it.
Result<DigestFunction> FunctionOfField(int32_t field) {
  if (field == 0) return DigestFunction::kUnknown;
  return ResolveDigestFunction(field, "");
}

// What every request of a batch has, found before its digests are decoded: fields may come in any
// order.
struct Outline {
  std::string_view instance_name;
  DigestFunction function = DigestFunction::kUnknown;
  size_t items = 0;
};
struct OutlineFields {
  std::string_view message;
  uint32_t items, digest_function;
};
Result<Outline> ReadOutline(std::string_view bytes, const OutlineFields& numbers) {
  Outline outline;
  int32_t function = 0;
  FieldReader fields(bytes);
  while (fields.Next()) {
    if (fields.Is(numbers.items, WireType::kBytes)) {
      outline.items++;
    } else if (fields.Is(1, WireType::kBytes)) {
      outline.instance_name = fields.bytes();
      if (!IsUtf8(outline.instance_name)) return Malformed(numbers.message);
    } else if (fields.Is(numbers.digest_function, WireType::kVarint)) {
      function = fields.enumeration();
    }
  }
  if (!fields.ok()) return Malformed(numbers.message);
  TRY_ASSIGN(outline.function, FunctionOfField(function));
  return outline;
}

Result<Digest> ActionDigest(const RawDigest& raw, bool present, int32_t field) {
  if (!present) return Error(Code::kInvalidArgument, "action_digest is missing");
  TRY_ASSIGN(DigestFunction function, ResolveDigestFunction(field, raw.hash));
  return MakeDigest(function, raw.hash, raw.size_bytes);
}

// The part of `request` that `view` is.
Bytes SliceOf(const Bytes& request, std::string_view view) {
  if (view.empty()) return Bytes();
  return request.Slice(static_cast<size_t>(view.data() - request.data()), view.size());
}

size_t FieldSize(size_t size) { return size == 0 ? 0 : 1 + VarintSize(size) + size; }

}  // namespace

Status MalformedDigest(const DigestEntry& entry) {
  RawDigest raw;
  raw.Read(entry.message);
  Result<DigestFunction> function = ResolveDigestFunction(0, raw.hash);
  if (!function) return function.error();
  Result<Digest> digest = MakeDigest(*function, raw.hash, raw.size_bytes);
  if (!digest) return digest.error();
  return ErrorStatus(Code::kInvalidArgument, "hash \"{}\" is not of the request's digest function",
                     raw.hash);
}

Result<FindMissingRequest> ParseFindMissingRequest(std::string_view bytes) {
  constexpr std::string_view kMessage = "FindMissingBlobsRequest";
  TRY_ASSIGN(Outline outline, ReadOutline(bytes, {kMessage, 2, 3}));
  FindMissingRequest request{.instance_name = outline.instance_name, .function = outline.function};
  request.digests.resize(outline.items);
  size_t count = 0;
  FieldReader fields(bytes);
  while (fields.Next()) {
    if (!fields.Is(2, WireType::kBytes)) continue;
    RawDigest raw;
    if (!raw.Read(fields.bytes())) return Malformed(kMessage);
    if (!raw.Decode(outline.function, &request.digests[count++])) {
      if (!raw.IsText()) return Malformed(kMessage);
      TRY_ASSIGN(DigestFunction function,
                 ResolveDigestFunction(static_cast<int>(outline.function), raw.hash));
      TRY_ASSIGN(Digest never, MakeDigest(function, raw.hash, raw.size_bytes));
      (void)never;
    }
  }
  if (request.function == DigestFunction::kUnknown && count > 0) {
    request.function = request.digests[0].function;
  }
  return request;
}

BytesList WriteFindMissingResponse(const std::vector<Digest>& digests,
                                   const std::vector<uint32_t>& missing) {
  if (missing.empty()) return {};
  MessageWriter writer(missing.size() * (DigestMessageSize(digests[missing[0]]) + 8));
  for (uint32_t index : missing) writer.DigestField(2, digests[index]);
  return writer.Finish();
}

Result<BatchUpdateRequest> ParseBatchUpdateRequest(const Bytes& request) {
  constexpr std::string_view kMessage = "BatchUpdateBlobsRequest";
  TRY_ASSIGN(Outline outline, ReadOutline(request.view(), {kMessage, 2, 5}));
  BatchUpdateRequest result{.instance_name = outline.instance_name};
  result.entries.resize(outline.items);
  size_t count = 0;
  FieldReader fields(request.view());
  while (fields.Next()) {
    if (!fields.Is(2, WireType::kBytes)) continue;
    BatchUpdateEntry& entry = result.entries[count++];
    RawDigest raw;
    FieldReader inner(fields.bytes());
    while (inner.Next()) {
      if (inner.Is(1, WireType::kBytes)) {
        entry.digest.message = inner.bytes();
        if (!raw.Read(inner.bytes())) return Malformed(kMessage);
      } else if (inner.Is(2, WireType::kBytes)) {
        entry.data = SliceOf(request, inner.bytes());
      } else if (inner.Is(3, WireType::kVarint)) {
        entry.compressor = inner.enumeration();
      }
    }
    if (!inner.ok()) return Malformed(kMessage);
    entry.digest.valid = raw.Decode(outline.function, &entry.digest.digest);
    if (!entry.digest.valid && !raw.IsText()) return Malformed(kMessage);
  }
  return result;
}

void AddBatchUpdateResponse(MessageWriter& writer, std::string_view digest_message,
                            const Status& status) {
  std::string status_bytes;
  if (!status.ok()) status_bytes = ToRpcStatus(status).SerializeAsString();
  writer.Open(1, 1 + VarintSize(digest_message.size()) + digest_message.size() + 1 +
                     VarintSize(status_bytes.size()) + status_bytes.size());
  writer.Open(1, digest_message.size());
  writer.Raw(digest_message);
  writer.Open(2, status_bytes.size());
  writer.Raw(status_bytes);
}

Result<BatchReadRequest> ParseBatchReadRequest(std::string_view bytes) {
  constexpr std::string_view kMessage = "BatchReadBlobsRequest";
  constexpr int32_t kZstd = 1;
  TRY_ASSIGN(Outline outline, ReadOutline(bytes, {kMessage, 2, 4}));
  BatchReadRequest request{.instance_name = outline.instance_name};
  request.entries.resize(outline.items);
  size_t count = 0;
  FieldReader fields(bytes);
  while (fields.Next()) {
    if (fields.Is(2, WireType::kBytes)) {
      DigestEntry& entry = request.entries[count++];
      entry.message = fields.bytes();
      RawDigest raw;
      if (!raw.Read(fields.bytes())) return Malformed(kMessage);
      entry.valid = raw.Decode(outline.function, &entry.digest);
      if (!entry.valid && !raw.IsText()) return Malformed(kMessage);
    } else if (fields.Is(3, WireType::kVarint)) {
      request.accepts_zstd |= fields.enumeration() == kZstd;
    } else if (fields.Is(3, WireType::kBytes)) {
      // A packed list: every number as a varint.
      std::string_view packed = fields.bytes();
      int32_t value = 0;
      int shift = 0;
      for (unsigned char byte : packed) {
        if (shift < 28) value |= (byte & 0x7f) << shift;
        shift += 7;
        if (byte >= 0x80) {
          if (shift >= 70) return Malformed(kMessage);
          continue;
        }
        request.accepts_zstd |= value == kZstd && shift <= 35;
        value = 0;
        shift = 0;
      }
      if (shift != 0) return Malformed(kMessage);
    }
  }
  return request;
}

size_t BatchReadResponseSize(std::string_view digest_message, size_t data_bytes) {
  const size_t inner = 1 + VarintSize(digest_message.size()) + digest_message.size() +
                       FieldSize(data_bytes) + 2 /* empty status */ + 2 /* compressor */;
  return 1 + VarintSize(inner) + inner;
}

void AddBatchReadResponse(MessageWriter& writer, std::string_view digest_message,
                          const Status& status, const BytesList& data, int32_t compressor) {
  std::string status_bytes;
  if (!status.ok()) status_bytes = ToRpcStatus(status).SerializeAsString();
  const size_t data_bytes = status.ok() ? TotalSize(data) : 0;
  const size_t inner = 1 + VarintSize(digest_message.size()) + digest_message.size() +
                       FieldSize(data_bytes) + 1 + VarintSize(status_bytes.size()) +
                       status_bytes.size() +
                       (compressor ? 1 + VarintSize(static_cast<uint64_t>(compressor)) : 0);
  writer.Open(1, inner);
  writer.Open(1, digest_message.size());
  writer.Raw(digest_message);
  if (status.ok()) writer.Pieces(2, data);
  writer.Open(3, status_bytes.size());
  writer.Raw(status_bytes);
  writer.Varint(4, static_cast<uint64_t>(compressor));
}

Result<GetActionResultRequest> ParseGetActionResultRequest(std::string_view bytes) {
  constexpr std::string_view kMessage = "GetActionResultRequest";
  GetActionResultRequest request;
  RawDigest raw;
  bool present = false;
  int32_t function = 0;
  FieldReader fields(bytes);
  while (fields.Next()) {
    if (fields.Is(1, WireType::kBytes)) {
      request.instance_name = fields.bytes();
      if (!IsUtf8(fields.bytes())) return Malformed(kMessage);
    } else if (fields.Is(2, WireType::kBytes)) {
      present = true;
      if (!raw.Read(fields.bytes())) return Malformed(kMessage);
    } else if (fields.Is(3, WireType::kVarint)) {
      request.inline_stdout = fields.varint() != 0;
    } else if (fields.Is(4, WireType::kVarint)) {
      request.inline_stderr = fields.varint() != 0;
    } else if (fields.Is(5, WireType::kBytes)) {
      if (!IsUtf8(fields.bytes())) return Malformed(kMessage);
      request.inline_output_files.push_back(fields.bytes());
    } else if (fields.Is(6, WireType::kVarint)) {
      function = fields.enumeration();
    }
  }
  if (!fields.ok()) return Malformed(kMessage);
  if (!raw.IsText()) return Malformed(kMessage);
  TRY_ASSIGN(request.action, ActionDigest(raw, present, function));
  return request;
}

Result<UpdateActionResultRequest> ParseUpdateActionResultRequest(const Bytes& bytes) {
  constexpr std::string_view kMessage = "UpdateActionResultRequest";
  UpdateActionResultRequest request;
  RawDigest raw;
  bool present = false, has_result = false;
  int32_t function = 0;
  FieldReader fields(bytes.view());
  while (fields.Next()) {
    if (fields.Is(1, WireType::kBytes)) {
      request.instance_name = fields.bytes();
      if (!IsUtf8(fields.bytes())) return Malformed(kMessage);
    } else if (fields.Is(2, WireType::kBytes)) {
      present = true;
      if (!raw.Read(fields.bytes())) return Malformed(kMessage);
    } else if (fields.Is(3, WireType::kBytes)) {
      // Messages are merged by joining their bytes.
      Bytes part = SliceOf(bytes, fields.bytes());
      request.action_result =
          has_result && !request.action_result.empty()
              ? Bytes(std::string(request.action_result.view()) + std::string(part.view()))
              : std::move(part);
      has_result = true;
    } else if (fields.Is(5, WireType::kVarint)) {
      function = fields.enumeration();
    }
  }
  if (!fields.ok()) return Malformed(kMessage);
  if (!raw.IsText()) return Malformed(kMessage);
  TRY_ASSIGN(request.action, ActionDigest(raw, present, function));
  if (!has_result) return Error(Code::kInvalidArgument, "action_result is missing");
  return request;
}

Result<ReadRequest> ParseReadRequest(std::string_view bytes) {
  ReadRequest request;
  FieldReader fields(bytes);
  while (fields.Next()) {
    if (fields.Is(1, WireType::kBytes)) {
      request.resource_name = fields.bytes();
      if (!IsUtf8(fields.bytes())) return Malformed("ReadRequest");
    } else if (fields.Is(2, WireType::kVarint)) {
      request.read_offset = static_cast<int64_t>(fields.varint());
    } else if (fields.Is(3, WireType::kVarint)) {
      request.read_limit = static_cast<int64_t>(fields.varint());
    }
  }
  if (!fields.ok()) return Malformed("ReadRequest");
  return request;
}

BytesList WriteReadResponse(BytesList data) {
  MessageWriter header(16);
  header.Open(10, TotalSize(data));
  BytesList list = header.Finish();
  list.reserve(1 + data.size());
  for (Bytes& piece : data) list.push_back(std::move(piece));
  return list;
}

Result<WriteRequest> ParseWriteRequest(const Bytes& bytes) {
  WriteRequest request;
  FieldReader fields(bytes.view());
  while (fields.Next()) {
    if (fields.Is(1, WireType::kBytes)) {
      request.resource_name = fields.bytes();
      if (!IsUtf8(fields.bytes())) return Malformed("WriteRequest");
    } else if (fields.Is(2, WireType::kVarint)) {
      request.write_offset = static_cast<int64_t>(fields.varint());
    } else if (fields.Is(3, WireType::kVarint)) {
      request.finish_write = fields.varint() != 0;
    } else if (fields.Is(10, WireType::kBytes)) {
      request.data = SliceOf(bytes, fields.bytes());
    }
  }
  if (!fields.ok()) return Malformed("WriteRequest");
  return request;
}

std::string WriteWriteResponse(int64_t committed_size) {
  MessageWriter writer(16);
  writer.Varint(1, static_cast<uint64_t>(committed_size));
  return Flatten(writer.Finish());
}

}  // namespace lre::reapi::wire

#include "load_requests.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "google/bytestream/bytestream.pb.h"
#include "reapi/digest_proto.h"

namespace lre::bench {
namespace {

constexpr char kCas[] = "/build.bazel.remote.execution.v2.ContentAddressableStorage/";
constexpr uint64_t kFirst = 0x9e3779b97f4a7c15;

std::string Prefix(size_t message_bytes) {
  std::string prefix(5, '\0');
  for (size_t i = 0; i < 4; ++i) prefix[1 + i] = static_cast<char>(message_bytes >> (24 - 8 * i));
  return prefix;
}

void AppendVarint(uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

// A digest that nothing has: of actions, which need not be stored.
Digest MadeUpDigest(uint64_t nonce, uint64_t i) {
  Digest digest{.function = DigestFunction::kSha256, .size_bytes = 140};
  uint64_t words[4] = {nonce * kFirst + i * 0xbf58476d1ce4e5b9, ~i * kFirst, nonce ^ i, i};
  for (uint64_t& word : words) {
    word = (word ^ word >> 31) * 0x94d049bb133111eb;
    word ^= word >> 29;
  }
  std::memcpy(digest.hash.data(), words, sizeof words);
  return digest;
}

// One WriteRequest up to and including the length of its data.
std::string WriteHead(const google::bytestream::WriteRequest& request, size_t data_bytes) {
  std::string message = request.SerializeAsString();
  message += static_cast<char>(10 << 3 | 2);  // field 10: data
  AppendVarint(data_bytes, message);
  return Prefix(message.size() + data_bytes) + message;
}

}  // namespace

std::string Framed(const google::protobuf::MessageLite& message) {
  std::string bytes = message.SerializeAsString();
  return Prefix(bytes.size()) + bytes;
}

std::vector<std::string> Unframed(std::string_view data) {
  std::vector<std::string> messages;
  while (data.size() >= 5) {
    size_t size = 0;
    for (size_t i = 1; i < 5; ++i) size = size << 8 | static_cast<unsigned char>(data[i]);
    if (data.size() < 5 + size) break;
    messages.emplace_back(data.substr(5, size));
    data.remove_prefix(5 + size);
  }
  return messages;
}

Request Requests::Stored(const char* path, std::string body) {
  stored_.emplace_back(std::move(body), Pieces{});
  auto& [bytes, pieces] = stored_.back();
  pieces.push_back(bytes);
  Request request;
  request.path = path;
  request.middle = &pieces;
  return request;
}

Request Requests::GetCapabilities() {
  pb::GetCapabilitiesRequest message;
  message.set_instance_name(options_.instance);
  return Stored("/build.bazel.remote.execution.v2.Capabilities/GetCapabilities", Framed(message));
}

Request Requests::GetActionResult(uint64_t nonce, uint64_t i, int code) {
  pb::GetActionResultRequest message;
  message.set_instance_name(options_.instance);
  reapi::ToProto(MadeUpDigest(nonce, i), message.mutable_action_digest());
  Request request =
      Stored("/build.bazel.remote.execution.v2.ActionCache/GetActionResult", Framed(message));
  request.code = code;
  return request;
}

void Requests::UpdateActionResult(uint64_t nonce, uint64_t i, Request& request) {
  pb::UpdateActionResultRequest message;
  message.set_instance_name(options_.instance);
  reapi::ToProto(MadeUpDigest(nonce, i), message.mutable_action_digest());
  for (uint64_t k : {2 * i, 2 * i + 1}) {
    auto* file = message.mutable_action_result()->add_output_files();
    file->set_path(fmt::format("bazel-out/k8-fastbuild/bin/some/package/_objs/name/{}.o", k));
    reapi::ToProto(outputs_->DigestOf(k % outputs_count_), file->mutable_digest());
  }
  request = {};
  request.path = "/build.bazel.remote.execution.v2.ActionCache/UpdateActionResult";
  request.head = Framed(message);
}

Request Requests::FindMissing(const std::vector<Digest>& digests) {
  pb::FindMissingBlobsRequest message;
  message.set_instance_name(options_.instance);
  for (const Digest& digest : digests) reapi::ToProto(digest, message.add_blob_digests());
  static const std::string path = std::string(kCas) + "FindMissingBlobs";
  Request request = Stored(path.c_str(), Framed(message));
  request.items = digests.size();
  return request;
}

Request Requests::BatchRead(const std::vector<Digest>& digests) {
  pb::BatchReadBlobsRequest message;
  message.set_instance_name(options_.instance);
  static const std::string path = std::string(kCas) + "BatchReadBlobs";
  size_t payload = 0;
  for (const Digest& digest : digests) {
    reapi::ToProto(digest, message.add_digests());
    payload += static_cast<size_t>(digest.size_bytes);
  }
  Request request = Stored(path.c_str(), Framed(message));
  request.items = digests.size();
  request.answer_bytes = request.payload_bytes = payload;
  return request;
}

std::string Requests::InstancePrefix() const {
  return options_.instance.empty() ? "" : options_.instance + "/";
}

Request Requests::Read(const Digest& digest, bool zstd) {
  google::bytestream::ReadRequest message;
  message.set_resource_name(InstancePrefix() + (zstd ? "compressed-blobs/zstd/" : "blobs/") +
                            digest.ToString());
  Request request = Stored("/google.bytestream.ByteStream/Read", Framed(message));
  request.payload_bytes = static_cast<uint64_t>(digest.size_bytes);
  request.answer_bytes = zstd ? 1 : static_cast<size_t>(digest.size_bytes);
  return request;
}

void Requests::BatchUpdate(const BlobSet& blobs, uint64_t first, uint64_t count, Request& request) {
  // Composed by hand: the blobs are copied once, into the request.
  size_t own_bytes = 0;
  std::string body, entry;
  body.reserve(count * (blobs.size() + 100) + options_.instance.size() + 16);
  body.assign(5, '\0');
  pb::BatchUpdateBlobsRequest head;
  head.set_instance_name(options_.instance);
  body += head.SerializeAsString();
  for (uint64_t i = first; i < first + count; ++i) {
    pb::BatchUpdateBlobsRequest::Request one;
    reapi::ToProto(blobs.DigestOf(i), one.mutable_digest());
    entry = one.SerializeAsString();
    entry += static_cast<char>(2 << 3 | 2);  // field 2: data
    AppendVarint(blobs.size(), entry);
    body += static_cast<char>(2 << 3 | 2);  // field 2: requests
    AppendVarint(entry.size() + blobs.size(), body);
    body += entry;
    body += blobs.prefix();
    body += blobs.Own(i);
    own_bytes += blobs.size();
  }
  body.replace(0, 5, Prefix(body.size() - 5));
  static const std::string path = std::string(kCas) + "BatchUpdateBlobs";
  request = {};
  request.path = path.c_str();
  request.head = std::move(body);
  request.items = count;
  request.payload_bytes = own_bytes;
}

const Requests::WriteParts& Requests::PartsOf(const BlobSet& blobs, bool zstd) {
  auto [found, made] = write_parts_.try_emplace({&blobs, zstd});
  WriteParts& parts = found->second;
  if (!made) return parts;
  std::string_view data = zstd ? blobs.zstd_prefix() : blobs.prefix();
  size_t own = zstd ? kOwnBytes + 3 : kOwnBytes;
  for (size_t at = 0; at == 0 || at < data.size(); at += options_.chunk_bytes) {
    std::string_view piece = data.substr(at, options_.chunk_bytes);
    bool last = at + piece.size() == data.size();
    if (at == 0) {
      parts.first_data_bytes = piece.size() + (last ? own : 0);
    } else {
      google::bytestream::WriteRequest request;
      request.set_write_offset(static_cast<int64_t>(at));
      request.set_finish_write(last);
      parts.owned.push_back(WriteHead(request, piece.size() + (last ? own : 0)));
      parts.middle.push_back(parts.owned.back());
    }
    parts.middle.push_back(piece);
    ++parts.messages;
  }
  return parts;
}

void Requests::Write(const BlobSet& blobs, uint64_t i, bool zstd, Request& request) {
  const WriteParts& parts = PartsOf(blobs, zstd);
  google::bytestream::WriteRequest head;
  static uint64_t uploads = 0;
  head.set_resource_name(fmt::format(
      "{}uploads/{:08x}-0000-4000-8000-{:012x}/{}/{}", InstancePrefix(), i & 0xffffffff, ++uploads,
      zstd ? "compressed-blobs/zstd" : "blobs", blobs.DigestOf(i).ToString()));
  head.set_finish_write(parts.messages == 1);
  request.path = "/google.bytestream.ByteStream/Write";
  request.head = WriteHead(head, parts.first_data_bytes);
  request.middle = &parts.middle;
  request.tail = zstd ? blobs.ZstdOwn(i) : blobs.Own(i);
  request.code = 0;
  request.answer_bytes = 0;
  request.items = 1;
  request.payload_bytes = blobs.size();
}

}  // namespace lre::bench

// The readers of the hot path: no message breaks them, and those of ByteStream mean what protobuf
// says they mean.
#include <google/bytestream/bytestream.pb.h>

#include "base/check.h"
#include "base/hex.h"
#include "fuzz.h"
#include "reapi/digest_proto.h"
#include "reapi/wire/field_reader.h"
#include "reapi/wire/messages.h"

namespace lre::fuzz {
namespace {

// Protobuf complains on standard error about every mutated string.
[[maybe_unused]] auto* const kSilence = google::protobuf::SetLogHandler(nullptr);

// The lowest two bits of the first byte choose the message.
void Check(uint8_t choice, const Bytes& bytes) {
  namespace wire = reapi::wire;
  for (wire::FieldReader fields(bytes.view()); fields.Next();) {
  }
  (void)wire::ParseFindMissingRequest(bytes.view());
  (void)wire::ParseBatchUpdateRequest(bytes);
  (void)wire::ParseBatchReadRequest(bytes.view());
  (void)wire::ParseGetActionResultRequest(bytes.view());
  (void)wire::ParseUpdateActionResultRequest(bytes);
  auto read = wire::ParseReadRequest(bytes.view());
  google::bytestream::ReadRequest read_pb;
  if (choice & 1 && read_pb.ParseFromString(std::string(bytes.view()))) {
    CHECK(read.has_value());
    CHECK(read->resource_name == read_pb.resource_name());
    CHECK(read->read_offset == read_pb.read_offset());
    CHECK(read->read_limit == read_pb.read_limit());
  }
  auto write = wire::ParseWriteRequest(bytes);
  google::bytestream::WriteRequest write_pb;
  if (choice & 2 && write_pb.ParseFromString(std::string(bytes.view()))) {
    CHECK(write.has_value());
    CHECK(write->resource_name == write_pb.resource_name());
    CHECK(write->write_offset == write_pb.write_offset());
    CHECK(write->finish_write == write_pb.finish_write());
    CHECK(write->data.view() == write_pb.data());
  }
}

}  // namespace

std::vector<std::string> Seeds() {
  namespace pb = reapi::pb;
  std::vector<std::string> seeds;
  auto add = [&](uint8_t choice, const google::protobuf::Message& message) {
    seeds.push_back(static_cast<char>(choice) + message.SerializeAsString());
  };
  auto digest = reapi::ToProto(ComputeDigest(DigestFunction::kSha256, "text"));
  google::bytestream::ReadRequest read;
  read.set_resource_name("blobs/x/1");
  read.set_read_offset(-1);
  read.set_read_limit(70'000);
  add(1, read);
  google::bytestream::WriteRequest write;
  write.set_resource_name("uploads/u/blobs/x/1");
  write.set_write_offset(1 << 20);
  write.set_finish_write(true);
  write.set_data("the data");
  add(2, write);
  pb::FindMissingBlobsRequest missing;
  missing.set_instance_name("main");
  *missing.add_blob_digests() = digest;
  *missing.add_blob_digests() = digest;
  add(0, missing);
  pb::BatchUpdateBlobsRequest update;
  *update.add_requests()->mutable_digest() = digest;
  update.mutable_requests(0)->set_data("text");
  add(0, update);
  pb::BatchReadBlobsRequest batch;
  *batch.add_digests() = digest;
  batch.add_acceptable_compressors(pb::Compressor::ZSTD);
  add(0, batch);
  pb::GetActionResultRequest get;
  *get.mutable_action_digest() = digest;
  get.add_inline_output_files("out");
  add(0, get);
  return seeds;
}

}  // namespace lre::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  // A copy of its own, so that a read past the end is seen.
  lre::fuzz::Check(data[0], lre::Bytes(std::string(lre::fuzz::Text(data + 1, size - 1))));
  return 0;
}

#include "reapi/wire/messages.h"

#include <google/bytestream/bytestream.pb.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/hex.h"
#include "base/random.h"
#include "reapi/digest_proto.h"
#include "reapi/wire/field_reader.h"

namespace lre::reapi::wire {
namespace {

// Protobuf complains on standard error about every mutated string.
[[maybe_unused]] auto* const kSilence = google::protobuf::SetLogHandler(nullptr);

constexpr auto kSha256 = DigestFunction::kSha256;

std::string RandomText(Random& random) {
  static const char* const kTexts[] = {"", "main", "a/b", "\xc3\xa9", "x"};
  return kTexts[random.Below(std::size(kTexts))];
}

void FillDigest(Random& random, DigestFunction function, pb::Digest* digest) {
  ToProto(ComputeDigest(function, random.NextBytes(random.Below(30))), digest);
  if (random.OneIn(30)) digest->set_hash(digest->hash().substr(2));
  if (random.OneIn(30)) digest->set_size_bytes(static_cast<int64_t>(random.Next()));
}

DigestFunction RandomFunction(Random& random) {
  return kDigestFunctions[random.Below(std::size(kDigestFunctions))];
}

// Changes, cuts, repeats and swaps bytes, or joins two messages.
std::string Mutate(Random& random, std::string bytes) {
  if (random.OneIn(8)) return bytes + bytes;
  for (uint64_t edits = random.Below(4); edits > 0 && !bytes.empty(); edits--) {
    const size_t at = random.Below(bytes.size());
    switch (random.Below(4)) {
      case 0:
        bytes[at] = static_cast<char>(random.Next());
        break;
      case 1:
        bytes.erase(at, 1 + random.Below(4));
        break;
      case 2:
        bytes.insert(at, random.NextBytes(1 + random.Below(4)));
        break;
      default:
        // An unknown group, as odd an unknown field as there is.
        bytes.insert(at, "\xbb\x06\x08\x01\xbc\x06");
    }
  }
  return bytes;
}

void ForManyMessages(const std::function<void(Random&)>& check) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  Random random(seed);
  for (int i = 0; i < 20000 && !testing::Test::HasFailure(); i++) check(random);
}

// Whether protobuf understands the digest, and which one it is.
Result<Digest> Expected(const pb::Digest& digest, int function) {
  return FromProto(digest, static_cast<pb::DigestFunction::Value>(function));
}

TEST(FieldReader, RefusesWhatIsCutShort) {
  for (std::string_view bytes : std::initializer_list<std::string_view>{
           "\x08",
           "\x0a\x05"
           "a",
           "\x09"
           "1234567",
           "\x0d"
           "123",
           std::string_view("\0\0", 2), "\x0b", "\x0c", "\x0e", "\x0b\x14", "\x80",
           "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"}) {
    FieldReader fields(bytes);
    while (fields.Next()) {
    }
    EXPECT_FALSE(fields.ok()) << HexEncode(bytes);
  }
}

TEST(FieldReader, KnowsUtf8) {
  for (std::string_view good : {"", "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"}) {
    EXPECT_TRUE(IsUtf8(good));
  }
  for (std::string_view bad : {"\x80", "\xc0\x80", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80",
                               "\xf5\x80\x80\x80", "\xf0\x80\x80\x80", "\xe2\x82"}) {
    EXPECT_FALSE(IsUtf8(bad)) << HexEncode(bad);
  }
}

TEST(FindMissingRequest, MeansWhatProtobufReads) {
  ForManyMessages([](Random& random) {
    pb::FindMissingBlobsRequest message;
    message.set_instance_name(RandomText(random));
    const DigestFunction function = RandomFunction(random);
    if (random.OneIn(2)) message.set_digest_function(ToProto(function));
    for (uint64_t n = random.Below(4); n > 0; n--) {
      FillDigest(random, function, message.add_blob_digests());
    }
    std::string bytes = Mutate(random, message.SerializeAsString());
    bool good = message.ParseFromString(bytes);
    std::vector<Digest> digests;
    const int field = message.digest_function();
    good = good && (field == 0 || ResolveDigestFunction(field, ""));
    for (int i = 0; good && i < message.blob_digests_size(); i++) {
      Result<Digest> digest = Expected(message.blob_digests(i), field);
      good = digest.has_value();
      if (good) digests.push_back(*digest);
    }

    Result<FindMissingRequest> request = ParseFindMissingRequest(bytes);

    ASSERT_EQ(request.has_value(), good) << HexEncode(bytes);
    if (!good) return;
    ASSERT_EQ(request->instance_name, message.instance_name());
    ASSERT_EQ(request->digests, digests) << HexEncode(bytes);
  });
}

TEST(FindMissingResponse, IsWhatProtobufWrites) {
  std::vector<Digest> digests = {ComputeDigest(kSha256, "a"), EmptyDigest(kSha256),
                                 ComputeDigest(DigestFunction::kSha1, std::string(300, 'x'))};
  pb::FindMissingBlobsResponse expected;
  for (uint32_t i : {1, 2}) ToProto(digests[i], expected.add_missing_blob_digests());
  EXPECT_EQ(Flatten(WriteFindMissingResponse(digests, {1, 2})), expected.SerializeAsString());
  EXPECT_EQ(Flatten(WriteFindMissingResponse(digests, {})), "");
}

TEST(BatchUpdateRequest, MeansWhatProtobufReads) {
  ForManyMessages([](Random& random) {
    pb::BatchUpdateBlobsRequest message;
    message.set_instance_name(RandomText(random));
    const DigestFunction function = RandomFunction(random);
    if (random.OneIn(2)) message.set_digest_function(ToProto(function));
    for (uint64_t n = random.Below(3); n > 0; n--) {
      auto* entry = message.add_requests();
      if (!random.OneIn(10)) FillDigest(random, function, entry->mutable_digest());
      entry->set_data(random.NextBytes(random.Below(20)));
      if (random.OneIn(3)) entry->set_compressor(pb::Compressor::ZSTD);
    }
    Bytes bytes(Mutate(random, message.SerializeAsString()));
    const bool parsed = message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
    const int field = message.digest_function();
    const bool good = parsed && (field == 0 || ResolveDigestFunction(field, ""));

    Result<BatchUpdateRequest> request = ParseBatchUpdateRequest(bytes);

    ASSERT_EQ(request.has_value(), good) << HexEncode(bytes.view());
    if (!good) return;
    ASSERT_EQ(request->entries.size(), static_cast<size_t>(message.requests_size()));
    for (int i = 0; i < message.requests_size(); i++) {
      const BatchUpdateEntry& entry = request->entries[i];
      ASSERT_EQ(entry.data.view(), message.requests(i).data());
      ASSERT_EQ(entry.compressor, message.requests(i).compressor());
      Result<Digest> digest = Expected(message.requests(i).digest(), field);
      ASSERT_EQ(entry.digest.valid, digest.has_value()) << HexEncode(bytes.view());
      if (digest) {
        ASSERT_EQ(entry.digest.digest, *digest);
      } else {
        ASSERT_EQ(MalformedDigest(entry.digest).code(), Code::kInvalidArgument);
      }
    }
  });
}

TEST(BatchReadRequest, MeansWhatProtobufReads) {
  ForManyMessages([](Random& random) {
    pb::BatchReadBlobsRequest message;
    message.set_instance_name(RandomText(random));
    const DigestFunction function = RandomFunction(random);
    if (random.OneIn(2)) message.set_digest_function(ToProto(function));
    for (uint64_t n = random.Below(4); n > 0; n--) {
      FillDigest(random, function, message.add_digests());
    }
    for (uint64_t n = random.Below(3); n > 0; n--) {
      message.add_acceptable_compressors(static_cast<pb::Compressor::Value>(random.Below(300)));
    }
    std::string bytes = Mutate(random, message.SerializeAsString());
    const bool parsed = message.ParseFromString(bytes);
    const int field = message.digest_function();
    const bool good = parsed && (field == 0 || ResolveDigestFunction(field, ""));

    Result<BatchReadRequest> request = ParseBatchReadRequest(bytes);

    ASSERT_EQ(request.has_value(), good) << HexEncode(bytes);
    if (!good) return;
    bool zstd = false;
    for (int compressor : message.acceptable_compressors()) zstd |= compressor == 1;
    ASSERT_EQ(request->accepts_zstd, zstd) << HexEncode(bytes);
    ASSERT_EQ(request->entries.size(), static_cast<size_t>(message.digests_size()));
    for (int i = 0; i < message.digests_size(); i++) {
      Result<Digest> digest = Expected(message.digests(i), field);
      ASSERT_EQ(request->entries[i].valid, digest.has_value());
      if (!digest) continue;
      ASSERT_EQ(request->entries[i].digest, *digest);
    }
  });
}

TEST(BatchResponses, AreReadByProtobuf) {
  pb::Digest digest = ToProto(ComputeDigest(kSha256, "abc"));
  std::string digest_bytes = digest.SerializeAsString();
  Bytes large(std::string(10000, 'L'));
  MessageWriter reads;
  size_t size = 0;
  auto add = [&](const Status& status, const BytesList& data) {
    size_t before = reads.size();
    AddBatchReadResponse(reads, digest_bytes, status, data);
    if (status.ok()) {
      EXPECT_LE(reads.size() - before, BatchReadResponseSize(digest_bytes, TotalSize(data)));
    }
    size = reads.size();
  };
  add(Status(), {Bytes::Static("ab"), Bytes::Static("c")});
  add(Status(), {Bytes::Static("x"), large});
  add(Status(Code::kNotFound, "blob gone"), {});
  add(Status(), {});
  MessageWriter updates;
  AddBatchUpdateResponse(updates, digest_bytes, Status());
  AddBatchUpdateResponse(updates, digest_bytes, Status(Code::kInvalidArgument, "no"));

  BytesList pieces = reads.Finish();

  EXPECT_EQ(TotalSize(pieces), size);
  bool shared = false;
  for (const Bytes& piece : pieces) shared |= piece.data() == large.data();
  EXPECT_TRUE(shared) << "a large blob is copied";
  pb::BatchReadBlobsResponse response;
  ASSERT_TRUE(response.ParseFromString(Flatten(pieces)));
  ASSERT_EQ(response.responses_size(), 4);
  EXPECT_EQ(response.responses(0).data(), "abc");
  EXPECT_EQ(response.responses(0).digest().hash(), digest.hash());
  EXPECT_TRUE(response.responses(0).has_status());
  EXPECT_EQ(response.responses(1).data().size(), 10001u);
  EXPECT_EQ(response.responses(2).status().code(), 5);
  EXPECT_EQ(response.responses(2).status().message(), "blob gone");
  EXPECT_EQ(response.responses(3).status().code(), 0);
  pb::BatchUpdateBlobsResponse update;
  ASSERT_TRUE(update.ParseFromString(Flatten(updates.Finish())));
  ASSERT_EQ(update.responses_size(), 2);
  EXPECT_EQ(update.responses(1).status().code(), 3);
}

TEST(ActionResultRequests, MeanWhatProtobufReads) {
  ForManyMessages([](Random& random) {
    pb::GetActionResultRequest get;
    get.set_instance_name(RandomText(random));
    if (!random.OneIn(10)) FillDigest(random, kSha256, get.mutable_action_digest());
    get.set_inline_stdout(random.OneIn(2));
    get.set_inline_stderr(random.OneIn(2));
    if (random.OneIn(2)) get.add_inline_output_files("a/b");
    if (random.OneIn(2)) get.set_digest_function(pb::DigestFunction::SHA256);
    std::string bytes = Mutate(random, get.SerializeAsString());
    bool good = get.ParseFromString(bytes) && get.has_action_digest() &&
                Expected(get.action_digest(), get.digest_function());

    Result<GetActionResultRequest> request = ParseGetActionResultRequest(bytes);

    ASSERT_EQ(request.has_value(), good) << HexEncode(bytes);
    if (good) {
      ASSERT_EQ(request->instance_name, get.instance_name());
      ASSERT_EQ(request->action, *Expected(get.action_digest(), get.digest_function()));
      ASSERT_EQ(request->inline_stdout, get.inline_stdout());
      ASSERT_EQ(request->inline_stderr, get.inline_stderr());
      ASSERT_EQ(request->inline_output_files.size(), size_t(get.inline_output_files_size()));
    }

    pb::UpdateActionResultRequest update;
    update.set_instance_name(RandomText(random));
    if (!random.OneIn(10)) FillDigest(random, kSha256, update.mutable_action_digest());
    if (!random.OneIn(10)) update.mutable_action_result()->set_exit_code(3);
    Bytes update_bytes(Mutate(random, update.SerializeAsString()));
    good = update.ParseFromArray(update_bytes.data(), int(update_bytes.size())) &&
           update.has_action_digest() && update.has_action_result() &&
           Expected(update.action_digest(), update.digest_function());

    Result<UpdateActionResultRequest> parsed = ParseUpdateActionResultRequest(update_bytes);

    // An action result that does not parse is found by the action cache, not here.
    if (good) {
      ASSERT_TRUE(parsed) << HexEncode(update_bytes.view());
      pb::ActionResult result;
      ASSERT_TRUE(
          result.ParseFromArray(parsed->action_result.data(), int(parsed->action_result.size())));
      ASSERT_EQ(result.SerializeAsString(), update.action_result().SerializeAsString());
    }
  });
}

TEST(ByteStreamRequests, MeanWhatProtobufReads) {
  ForManyMessages([](Random& random) {
    google::bytestream::WriteRequest write;
    write.set_resource_name(RandomText(random));
    write.set_write_offset(static_cast<int64_t>(random.Next()));
    write.set_finish_write(random.OneIn(2));
    write.set_data(random.NextBytes(random.Below(20)));
    Bytes bytes(Mutate(random, write.SerializeAsString()));
    bool good = write.ParseFromArray(bytes.data(), int(bytes.size()));
    Result<WriteRequest> request = ParseWriteRequest(bytes);
    ASSERT_EQ(request.has_value(), good) << HexEncode(bytes.view());
    if (good) {
      ASSERT_EQ(request->resource_name, write.resource_name());
      ASSERT_EQ(request->write_offset, write.write_offset());
      ASSERT_EQ(request->finish_write, write.finish_write());
      ASSERT_EQ(request->data.view(), write.data());
    }

    google::bytestream::ReadRequest read;
    read.set_resource_name(RandomText(random));
    read.set_read_offset(static_cast<int64_t>(random.Next()));
    read.set_read_limit(static_cast<int64_t>(random.Below(1000)));
    std::string text = Mutate(random, read.SerializeAsString());
    good = read.ParseFromString(text);
    Result<ReadRequest> parsed = ParseReadRequest(text);
    ASSERT_EQ(parsed.has_value(), good) << HexEncode(text);
    if (good) {
      ASSERT_EQ(parsed->resource_name, read.resource_name());
      ASSERT_EQ(parsed->read_offset, read.read_offset());
      ASSERT_EQ(parsed->read_limit, read.read_limit());
    }
  });
}

TEST(ByteStreamResponses, AreReadByProtobuf) {
  Bytes data(std::string(100000, 'd'));
  BytesList pieces = WriteReadResponse({data, Bytes::Static("end")});
  EXPECT_EQ(pieces[1].data(), data.data());
  google::bytestream::ReadResponse read;
  ASSERT_TRUE(read.ParseFromString(Flatten(pieces)));
  EXPECT_EQ(read.data(), std::string(100000, 'd') + "end");
  for (int64_t size : {int64_t{0}, int64_t{5}, int64_t{-1}, INT64_MAX}) {
    google::bytestream::WriteResponse write;
    ASSERT_TRUE(write.ParseFromString(WriteWriteResponse(size)));
    EXPECT_EQ(write.committed_size(), size);
  }
}

}  // namespace
}  // namespace lre::reapi::wire

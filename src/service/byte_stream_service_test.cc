#include "service/byte_stream_service.h"

#include <fmt/format.h>

#include "base/random.h"
#include "service/fake_storage_server.h"
#include "service/upload_table.h"
#include "service/zstd_blob.h"

namespace lre::service {
namespace {

using google::bytestream::ByteStream;
using google::bytestream::QueryWriteStatusRequest;
using google::bytestream::QueryWriteStatusResponse;
using google::bytestream::ReadRequest;
using google::bytestream::ReadResponse;
using google::bytestream::WriteRequest;
using google::bytestream::WriteResponse;

std::string RandomBlob(size_t size) { return Random(size).NextBytes(size); }

struct WriteOptions {
  size_t piece_bytes = 100'000;
  int64_t first_offset = 0;
  bool finish = true;
};

class ByteStreamTest : public testing::TestWithParam<bool> {
 protected:
  ByteStreamTest() {
    server_.store.would_block = GetParam();
    stub_ = ByteStream::NewStub(server_.channel);
  }

  std::string ReadName(std::string_view blob) const {
    return reapi::PrintResourceName(
        {.instance_name = "main", .digest = ComputeDigest(kSha256, blob)});
  }
  std::string WriteName(std::string_view blob, std::string_view id = "u-1") const {
    return reapi::PrintResourceName(
        {.instance_name = "main", .upload_id = id, .digest = ComputeDigest(kSha256, blob)});
  }
  static std::string Compressed(std::string name) {
    return name.replace(name.find("blobs"), 5, "compressed-blobs/zstd");
  }

  grpc::Status Read(const std::string& name, int64_t offset = 0, int64_t limit = 0) {
    ReadRequest request;
    request.set_resource_name(name);
    request.set_read_offset(offset);
    request.set_read_limit(limit);
    Context context;
    auto reader = stub_->Read(&context, request);
    read_.clear();
    for (ReadResponse response; reader->Read(&response);) read_ += response.data();
    return reader->Finish();
  }

  grpc::Status Write(const std::string& name, std::string_view data, WriteOptions options = {}) {
    Context context;
    WriteResponse response;
    auto writer = stub_->Write(&context, &response);
    size_t sent = 0;
    do {
      WriteRequest request;
      if (sent == 0) request.set_resource_name(name);
      request.set_write_offset(options.first_offset + static_cast<int64_t>(sent));
      request.set_data(std::string(data.substr(sent, options.piece_bytes)));
      sent += request.data().size();
      request.set_finish_write(options.finish && sent == data.size());
      if (!writer->Write(request)) break;
    } while (sent < data.size());
    writer->WritesDone();
    grpc::Status status = writer->Finish();
    committed_ = response.committed_size();
    return status;
  }
  QueryWriteStatusResponse Query(const std::string& name) {
    QueryWriteStatusRequest request;
    request.set_resource_name(name);
    QueryWriteStatusResponse response;
    Context context;
    grpc::Status status = stub_->QueryWriteStatus(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  bool Stored(std::string_view blob) {
    auto bytes = store::ReadAll(server_.store, {ComputeDigest(kSha256, blob)});
    return bytes && *bytes == blob;
  }

  TestServer server_;
  std::unique_ptr<ByteStream::Stub> stub_;
  ZstdContexts zstd_;
  std::string read_;
  int64_t committed_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Stores, ByteStreamTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "ThatBlock" : "InMemory"; });

TEST_P(ByteStreamTest, ReadsBlobsOfEverySize) {
  for (size_t size : {1, 1000, 262'143, 262'144, 262'145, 3'000'000}) {
    std::string blob = RandomBlob(size);
    server_.store.Add(blob);
    grpc::Status status = Read(ReadName(blob));
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(read_, blob) << size;
  }
  EXPECT_TRUE(Read(ReadName("")).ok());
  EXPECT_EQ(read_, "");
}

TEST_P(ByteStreamTest, ReadsRanges) {
  std::string blob = RandomBlob(1'000'000);
  server_.store.Add(blob);
  for (auto [offset, limit] : {std::pair(10, 5),
                               {0, 300'000},
                               {999'999, 0},
                               {500'000, 10'000'000},
                               {1'000'000, 0},
                               {1'000'000, 7}}) {
    ASSERT_TRUE(Read(ReadName(blob), offset, limit).ok());
    EXPECT_EQ(read_, blob.substr(offset, limit ? limit : std::string::npos));
  }
}

TEST_P(ByteStreamTest, RefusesBadReads) {
  server_.store.Add("blob");
  using grpc::StatusCode;
  EXPECT_EQ(Read(ReadName("blob"), -1).error_code(), StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(Read(ReadName("blob"), 5).error_code(), StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(Read(ReadName("blob"), 0, -1).error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Read(ReadName("absent")).error_code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(Read("main/blob/x").error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Read(WriteName("blob")).error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Read(Compressed(ReadName("blob")), 0, 1).error_code(), StatusCode::INVALID_ARGUMENT);
}

TEST_P(ByteStreamTest, ReadsCompressed) {
  std::string blob = RandomBlob(1000) + std::string(2'000'000, 'x');
  server_.store.Add(blob);
  for (size_t offset : {size_t{0}, size_t{500}, blob.size() - 1}) {
    grpc::Status status = Read(Compressed(ReadName(blob)), static_cast<int64_t>(offset));
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_LT(read_.size(), 10'000u);
    EXPECT_EQ(*DecompressBlob(zstd_, read_, static_cast<int64_t>(blob.size() - offset)),
              blob.substr(offset));
  }
}

TEST_P(ByteStreamTest, ReadsCompressedWhatWasReadBeforeWhileItIsThere) {
  std::string blob = RandomBlob(1000) + std::string(2'000'000, 'x');
  server_.store.Add(blob);
  ASSERT_TRUE(Read(Compressed(ReadName(blob))).ok());
  const std::string first = read_;

  ASSERT_TRUE(Read(Compressed(ReadName(blob))).ok());
  EXPECT_EQ(read_, first);

  server_.store.Lose(ComputeDigest(kSha256, blob));
  EXPECT_EQ(Read(Compressed(ReadName(blob))).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_P(ByteStreamTest, WritesBlobsOfEverySize) {
  for (size_t size : {1, 1000, 100'000, 100'001, 5'000'000}) {
    std::string blob = RandomBlob(size);
    grpc::Status status = Write(WriteName(blob), blob);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(committed_, static_cast<int64_t>(size));
    EXPECT_TRUE(Stored(blob)) << size;
  }
}

TEST_P(ByteStreamTest, ABlobThatIsThereEndsTheUploadAtOnce) {
  std::string blob = RandomBlob(4'000'000);
  server_.store.Add(blob);
  EXPECT_TRUE(Write(WriteName(blob), blob).ok());
  EXPECT_EQ(committed_, 4'000'000);
  EXPECT_TRUE(Write(Compressed(WriteName(blob)), "anything").ok());
  EXPECT_EQ(committed_, -1);
  EXPECT_TRUE(Write(WriteName(""), "").ok());
  EXPECT_EQ(committed_, 0);
}

TEST_P(ByteStreamTest, RefusesBytesThatAreNotTheBlob) {
  std::string blob = RandomBlob(250'000), other = blob;
  other.back() ^= 1;
  using grpc::StatusCode;
  EXPECT_EQ(Write(WriteName(blob), other).error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Write(WriteName(blob), blob + "x").error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Write(WriteName(blob), blob.substr(1)).error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Write(WriteName("abc"), "abd").error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Write(ReadName("abc"), "abc").error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Write(WriteName("abc"), "c", {.first_offset = 2}).error_code(),
            StatusCode::INVALID_ARGUMENT);
  EXPECT_FALSE(Stored(blob));
  EXPECT_FALSE(Stored("abc"));
  EXPECT_EQ(Query(WriteName(blob)).committed_size(), 0);
}

TEST_P(ByteStreamTest, RefusesOffsetsThatDoNotFollow) {
  std::string blob = RandomBlob(1000);
  Context context;
  WriteResponse response;
  auto writer = stub_->Write(&context, &response);
  WriteRequest request;
  request.set_resource_name(WriteName(blob));
  request.set_data(blob.substr(0, 500));
  ASSERT_TRUE(writer->Write(request));
  request.set_write_offset(499);
  writer->Write(request);
  writer->WritesDone();
  EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_P(ByteStreamTest, ResumesWhereABrokenUploadStopped) {
  std::string blob = RandomBlob(1'000'000);
  EXPECT_TRUE(Write(WriteName(blob), blob.substr(0, 400'000), {.finish = false}).ok());
  EXPECT_EQ(committed_, 400'000);
  QueryWriteStatusResponse status = Query(WriteName(blob));
  EXPECT_EQ(status.committed_size(), 400'000);
  EXPECT_FALSE(status.complete());
  EXPECT_EQ(Write(WriteName(blob), blob.substr(3), {.first_offset = 3}).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);

  ASSERT_TRUE(Write(WriteName(blob), blob.substr(400'000), {.first_offset = 400'000}).ok());

  EXPECT_EQ(committed_, 1'000'000);
  EXPECT_TRUE(Stored(blob));
  EXPECT_TRUE(Query(WriteName(blob)).complete());
  EXPECT_EQ(Query(WriteName(blob)).committed_size(), 1'000'000);
}

TEST_P(ByteStreamTest, ResumesAfterTheConnectionBroke) {
  std::string blob = RandomBlob(1'000'000);
  {
    auto context = std::make_unique<Context>();
    WriteResponse response;
    auto channel = server_.NewChannel();
    auto writer = ByteStream::NewStub(channel)->Write(context.get(), &response);
    WriteRequest request;
    request.set_resource_name(WriteName(blob));
    request.set_data(blob.substr(0, 300'000));
    ASSERT_TRUE(writer->Write(request));
    while (Query(WriteName(blob)).committed_size() < 300'000) std::this_thread::yield();
    context->TryCancel();
    writer->Finish();
  }
  // The server hears of the cancellation in its own time: until then the upload is in use.
  grpc::Status status;
  do {
    status = Write(WriteName(blob), blob.substr(300'000), {.first_offset = 300'000});
  } while (status.error_code() == grpc::StatusCode::ABORTED);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(Stored(blob));
}

TEST_P(ByteStreamTest, StartsAnewAtOffsetZero) {
  std::string blob = RandomBlob(500'000);
  EXPECT_TRUE(Write(WriteName(blob), blob.substr(0, 100'000), {.finish = false}).ok());
  EXPECT_TRUE(Write(WriteName(blob), blob).ok());
  EXPECT_TRUE(Stored(blob));
}

TEST_P(ByteStreamTest, ForgetsUploadsThatNobodyResumes) {
  std::string blob = RandomBlob(500'000);
  EXPECT_TRUE(Write(WriteName(blob), blob.substr(0, 100'000), {.finish = false}).ok());
  server_.clock.Advance(std::chrono::minutes(11));
  EXPECT_EQ(Query(WriteName(blob)).committed_size(), 0);
}

TEST_P(ByteStreamTest, WritesCompressed) {
  std::string blob = RandomBlob(300'000) + std::string(3'000'000, 'y');
  // Of two frames, the first of which is larger than what a step gives out.
  std::string compressed = *CompressFrame(zstd_, {Bytes(blob.substr(0, 1'000'000))}) +
                           *CompressFrame(zstd_, {Bytes(blob.substr(1'000'000))});
  std::string name = Compressed(WriteName(blob));
  EXPECT_EQ(Write(name, compressed.substr(0, compressed.size() / 2)).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Write(Compressed(WriteName(blob.substr(1))), compressed).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);

  grpc::Status status = Write(name, compressed, {.piece_bytes = 70'000});

  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(committed_, static_cast<int64_t>(compressed.size()));
  EXPECT_TRUE(Stored(blob));
}

TEST_P(ByteStreamTest, TwoWritersOfOneBlobBothSucceed) {
  std::string blob = RandomBlob(2'000'000);
  Context contexts[2];
  WriteResponse responses[2];
  std::unique_ptr<grpc::ClientWriter<WriteRequest>> writers[2];
  for (int i = 0; i < 2; i++) {
    writers[i] = stub_->Write(&contexts[i], &responses[i]);
    WriteRequest request;
    request.set_resource_name(WriteName(blob, fmt::format("u-{}", i)));
    request.set_data(blob.substr(0, 1'000'000));
    ASSERT_TRUE(writers[i]->Write(request));
  }
  for (int i = 0; i < 2; i++) {
    WriteRequest request;
    request.set_write_offset(1'000'000);
    request.set_data(blob.substr(1'000'000));
    request.set_finish_write(true);
    writers[i]->Write(request);
    writers[i]->WritesDone();
    ASSERT_TRUE(writers[i]->Finish().ok());
    EXPECT_EQ(responses[i].committed_size(), 2'000'000);
  }
  EXPECT_TRUE(Stored(blob));
}

TEST_P(ByteStreamTest, RefusesAnEmptyStream) {
  Context context;
  WriteResponse response;
  auto writer = stub_->Write(&context, &response);
  writer->WritesDone();
  EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_P(ByteStreamTest, SaysWhatTheStoreSays) {
  server_.store.Fail(Status(Code::kResourceExhausted, "disk full"));
  EXPECT_EQ(Write(WriteName("abc"), "abc").error_message(), "disk full");
  EXPECT_EQ(Read(ReadName("abc")).error_message(), "disk full");
}

TEST(UploadTable, ParksNoMoreThanItsBound) {
  FakeClock clock;
  UploadTable table(clock, 2, std::chrono::minutes(1));
  for (const char* name : {"a", "b", "c"}) {
    auto upload = table.Open(name, 0);
    ASSERT_TRUE(upload);
    (*upload)->committed = 5;
    table.Park(name, *upload);
  }
  EXPECT_EQ(table.size(), 2u);
  EXPECT_EQ(table.Committed("a"), 5);
  EXPECT_EQ(table.Committed("c"), std::nullopt);
}

TEST(ByteStreamLimits, RefuseABlobThatIsTooLarge) {
  TestServer server({.byte_stream = {.blob_bytes_max = 10}});
  auto stub = ByteStream::NewStub(server.channel);
  for (auto [data, code] : {std::pair(std::string(10, 'a'), grpc::StatusCode::OK),
                            {std::string(11, 'a'), grpc::StatusCode::INVALID_ARGUMENT}}) {
    WriteRequest request;
    request.set_resource_name(
        reapi::PrintResourceName({.upload_id = "u", .digest = ComputeDigest(kSha256, data)}));
    request.set_data(data);
    request.set_finish_write(true);
    Context context;
    WriteResponse response;
    auto writer = stub->Write(&context, &response);
    writer->Write(request);
    writer->WritesDone();
    EXPECT_EQ(writer->Finish().error_code(), code) << data.size();
  }
}

}  // namespace
}  // namespace lre::service

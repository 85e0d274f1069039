// Our client, judged by grpc++'s server.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <thread>

#include "google/bytestream/bytestream.grpc.pb.h"
#include "google/rpc/status.pb.h"
#include "rpc/client.h"
#include "rpc/fake_services.h"

namespace lre::rpc {
namespace {

using google::bytestream::ByteStream;
using google::bytestream::QueryWriteStatusRequest;
using google::bytestream::QueryWriteStatusResponse;
using google::bytestream::ReadRequest;
using google::bytestream::ReadResponse;
using google::bytestream::WriteRequest;
using google::bytestream::WriteResponse;
using std::chrono::milliseconds;
using std::chrono::seconds;

const std::string kService = "/google.bytestream.ByteStream/";

class GrpcService final : public ByteStream::Service {
 public:
  grpc::Status QueryWriteStatus(grpc::ServerContext* context,
                                const QueryWriteStatusRequest* request,
                                QueryWriteStatusResponse* response) override {
    const std::string& name = request->resource_name();
    auto sent = context->client_metadata().find("x-sent-bin");
    if (name == "metadata") {
      return {grpc::StatusCode::ABORTED, std::string(sent->second.data(), sent->second.size())};
    }
    if (name == "fail") {
      google::rpc::Status details;
      details.set_message("in detail");
      context->AddTrailingMetadata("x-trailer-bin", std::string("\0\1", 2));
      return {grpc::StatusCode::OUT_OF_RANGE, "50% ö", details.SerializeAsString()};
    }
    if (name == "hang") {
      ++hanging;
      while (!context->IsCancelled())
        std::this_thread::sleep_for(milliseconds(1));  // NOLINT: grpc++ has no event for it
      ++cancelled;
    }
    response->set_committed_size(static_cast<int64_t>(name.size()));
    return grpc::Status::OK;
  }
  grpc::Status Read(grpc::ServerContext* context, const ReadRequest* request,
                    grpc::ServerWriter<ReadResponse>* writer) override {
    if (request->resource_name() == "gzip") context->set_compression_algorithm(GRPC_COMPRESS_GZIP);
    for (int64_t i = 0; i < request->read_offset(); ++i) {
      ReadResponse response;
      response.set_data(std::string(static_cast<size_t>(request->read_limit()), 'r'));
      if (!writer->Write(response)) return grpc::Status::CANCELLED;
    }
    return grpc::Status::OK;
  }
  grpc::Status Write(grpc::ServerContext*, grpc::ServerReader<WriteRequest>* reader,
                     WriteResponse* response) override {
    WriteRequest request;
    int64_t total = 0;
    while (reader->Read(&request)) {
      total += static_cast<int64_t>(request.data().size());
      if (request.finish_write()) break;
    }
    response->set_committed_size(total);
    return grpc::Status::OK;
  }

  std::atomic<int> hanging{0}, cancelled{0};
};

class ClientWithGrpcServer : public testing::Test {
 protected:
  ClientWithGrpcServer() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    builder.SetMaxReceiveMessageSize(-1);
    server_ = builder.BuildAndStart();
    channel_ = *Channel::Create("grpc://127.0.0.1:" + std::to_string(port));
  }
  ~ClientWithGrpcServer() override { server_->Shutdown(std::chrono::system_clock::now()); }

  Result<Bytes> Query(const std::string& name, CallOptions options = {}) {
    QueryWriteStatusRequest request;
    request.set_resource_name(name);
    return channel_->Unary(kService + "QueryWriteStatus", {Bytes(request.SerializeAsString())},
                           std::move(options));
  }

  GrpcService service_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<Channel> channel_;
};

TEST_F(ClientWithGrpcServer, GetsUnaryAnswers) {
  auto answer = Query("hello");
  ASSERT_TRUE(answer.has_value()) << answer.error().ToString();
  QueryWriteStatusResponse response;
  ASSERT_TRUE(response.ParseFromArray(answer->data(), static_cast<int>(answer->size())));
  EXPECT_EQ(response.committed_size(), 5);
}

TEST_F(ClientWithGrpcServer, GetsStatusMessageAndDetails) {
  auto answer = Query("fail");
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code(), Code::kOutOfRange);
  EXPECT_EQ(answer.error().message(), "50% ö");
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(answer.error().details()));
  EXPECT_EQ(details.message(), "in detail");
}

TEST_F(ClientWithGrpcServer, SendsBinaryMetadata) {
  auto answer = Query("metadata", {.metadata = {{"x-sent-bin", std::string("\x01\x02zz", 4)}}});
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().message(), std::string("\x01\x02zz", 4));
}

TEST_F(ClientWithGrpcServer, SendsDeadlines) {
  auto answer = Query("hang", {.timeout = milliseconds(50)});
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code(), Code::kDeadlineExceeded);
  EXPECT_TRUE(Eventually([&] { return service_.cancelled == 1; }));
}

TEST_F(ClientWithGrpcServer, CancelsCalls) {
  struct Handler : ClientHandler {
    std::atomic<int> code{-1};
    void OnMessage(Bytes) override {}
    void OnEnd(Status status, Metadata) override { code = static_cast<int>(status.code()); }
  };
  auto handler = std::make_shared<Handler>();
  auto call = channel_->Start(kService + "QueryWriteStatus", {}, handler);
  QueryWriteStatusRequest request;
  request.set_resource_name("hang");
  call->Send({Bytes(request.SerializeAsString())});
  call->HalfClose();
  ASSERT_TRUE(Eventually([&] { return service_.hanging == 1; }));

  call->Cancel();

  EXPECT_TRUE(Eventually([&] { return handler->code == static_cast<int>(Code::kCancelled); }));
  EXPECT_TRUE(Eventually([&] { return service_.cancelled == 1; }));
}

TEST_F(ClientWithGrpcServer, SaysUnimplementedForUnknownMethods) {
  auto answer = channel_->Unary("/no.Such/Method", {});
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code(), Code::kUnimplemented);
}

TEST_F(ClientWithGrpcServer, ReadsStreamsSlowlyAndCompressed) {
  struct Case {
    const char* name;
    int64_t count, size;
  };
  for (Case c : {Case{"plain", 0, 0}, Case{"plain", 1000, 10}, Case{"plain", 30, 3 << 20},
                 Case{"gzip", 5, 1 << 20}}) {
    ReadRequest request;
    request.set_resource_name(c.name);
    request.set_read_offset(c.count);
    request.set_read_limit(c.size);
    BlockingStream stream(*channel_, kService + "Read", {.timeout = seconds(30)});
    stream.Write({Bytes(request.SerializeAsString())});
    stream.HalfClose();
    int64_t count = 0;
    while (auto message = stream.Read()) {
      ReadResponse response;
      ASSERT_TRUE(response.ParseFromArray(message->data(), static_cast<int>(message->size())));
      EXPECT_EQ(static_cast<int64_t>(response.data().size()), c.size);
      ++count;
    }
    EXPECT_EQ(stream.Finish().code(), Code::kOk) << stream.Finish().ToString();
    EXPECT_EQ(count, c.count);
  }
}

TEST_F(ClientWithGrpcServer, WritesStreamsWithBackPressure) {
  BlockingStream stream(*channel_, kService + "Write", {.timeout = seconds(30)});
  WriteRequest request;
  request.set_data(std::string(1 << 20, 'w'));
  Bytes message(request.SerializeAsString());
  for (int i = 0; i < 12; ++i) ASSERT_TRUE(stream.Write({message}));
  stream.HalfClose();
  auto answer = stream.Read();
  ASSERT_TRUE(answer.has_value());
  WriteResponse response;
  ASSERT_TRUE(response.ParseFromArray(answer->data(), static_cast<int>(answer->size())));
  EXPECT_EQ(response.committed_size(), 12 << 20);
  EXPECT_TRUE(stream.Finish().ok());
}

TEST_F(ClientWithGrpcServer, StopsWritingWhenTheServerHasAnswered) {
  BlockingStream stream(*channel_, kService + "Write", {.timeout = seconds(30)});
  WriteRequest request;
  request.set_data(std::string(1 << 20, 'w'));
  request.set_finish_write(true);
  Bytes message(request.SerializeAsString());
  int writes = 0;
  while (stream.Write({message})) ++writes;
  EXPECT_GT(writes, 0);
  auto answer = stream.Read();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(stream.Finish().code(), Code::kOk) << stream.Finish().ToString();
}

}  // namespace
}  // namespace lre::rpc

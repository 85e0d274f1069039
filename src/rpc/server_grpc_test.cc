// Our server, judged by grpc++'s client.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/client_unary_call.h>
#include <gtest/gtest.h>

#include "google/bytestream/bytestream.grpc.pb.h"
#include "google/rpc/status.pb.h"
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

std::unique_ptr<ByteStream::Stub> Stub(const TestServer& server,
                                       grpc::ChannelArguments arguments = {}) {
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return ByteStream::NewStub(
      grpc::CreateCustomChannel(server.address(), grpc::InsecureChannelCredentials(), arguments));
}

grpc::Status Query(ByteStream::Stub& stub, const std::string& name,
                   QueryWriteStatusResponse& response, grpc::ClientContext& context) {
  QueryWriteStatusRequest request;
  request.set_resource_name(name);
  return stub.QueryWriteStatus(&context, request, &response);
}

TEST(ServerWithGrpcClient, AnswersUnaryCalls) {
  TestServer server;
  auto stub = Stub(server);

  for (const char* name : {"echo", "later"}) {
    grpc::ClientContext context;
    QueryWriteStatusResponse response;
    grpc::Status status = Query(*stub, name, response, context);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.committed_size(), static_cast<int64_t>(std::string(name).size()));
  }
}

TEST(ServerWithGrpcClient, MeasuresHowLongCallsTake) {
  TestServer server;
  auto stub = Stub(server);
  const std::string method = "/google.bytestream.ByteStream/QueryWriteStatus";
  Histogram& seconds = server.metrics.AddHistogram("rpc_call_seconds",
                                                   "From a call's headers to its status, by method",
                                                   fmt::format("method=\"{}\"", method));

  for (const char* name : {"echo", "later", "status:5:none"}) {
    grpc::ClientContext context;
    QueryWriteStatusResponse response;
    Query(*stub, name, response, context);
  }

  EXPECT_EQ(seconds.count(), 3u);
  const std::string text = server.metrics.Print();
  EXPECT_THAT(text, testing::ContainsRegex("rpc_call_seconds_sum\\{method=\"[^\"]*/QueryWrite"
                                           "Status\"\\} 0\\.0*[1-9]"));
}

TEST(ServerWithGrpcClient, SendsStatusMessageDetailsAndTrailers) {
  TestServer server;
  auto stub = Stub(server);
  grpc::ClientContext context;
  QueryWriteStatusResponse response;

  grpc::Status status = Query(*stub, "status:5:100% né\n", response, context);

  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "100% né\n");
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  EXPECT_EQ(details.message(), "in detail");
  auto trailers = context.GetServerTrailingMetadata();
  EXPECT_EQ(trailers.find("x-trailer")->second, "seen");
  EXPECT_EQ(trailers.find("x-trailer-bin")->second, grpc::string_ref("\0\xff", 2));
}

TEST(ServerWithGrpcClient, DecodesBinaryMetadata) {
  TestServer server;
  auto stub = Stub(server);
  grpc::ClientContext context;
  context.AddMetadata("x-echo-bin", std::string("a\0b", 3) + "\x01");
  QueryWriteStatusResponse response;

  grpc::Status status = Query(*stub, "metadata", response, context);

  EXPECT_EQ(status.error_message(), std::string("a\0b", 3) + "\x01");
}

TEST(ServerWithGrpcClient, AnswersUnknownMethodsWithUnimplemented) {
  TestServer server({}, nullptr);
  auto channel = grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials());
  grpc::ClientContext context;
  WriteResponse response;
  grpc::internal::RpcMethod method("/no.such.Service/Method",
                                   grpc::internal::RpcMethod::NORMAL_RPC);

  grpc::internal::BlockingUnaryCallImpl<QueryWriteStatusRequest, WriteResponse> call(
      channel.get(), method, &context, QueryWriteStatusRequest(), &response);

  grpc::Status status = call.status();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_THAT(status.error_message(), testing::HasSubstr("/no.such.Service/Method"));
}

TEST(ServerWithGrpcClient, StreamsManyAndLargeMessages) {
  TestServer server;
  auto stub = Stub(server);
  struct Case {
    int count;
    size_t size;
  };
  for (Case c : {Case{0, 0}, Case{3, 0}, Case{1000, 100}, Case{20, 1 << 20}, Case{2, 20 << 20}}) {
    grpc::ClientContext context;
    ReadRequest request;
    request.set_resource_name("n:" + std::to_string(c.count) + ":" + std::to_string(c.size));
    auto reader = stub->Read(&context, request);
    ReadResponse response;
    int count = 0;
    while (reader->Read(&response)) {
      EXPECT_EQ(response.data(), std::string(c.size, 'r'));
      ++count;
    }
    grpc::Status status = reader->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(count, c.count);
  }
}

TEST(ServerWithGrpcClient, TakesClientStreams) {
  TestServer server;
  auto stub = Stub(server);
  grpc::ClientContext context;
  WriteResponse response;
  auto writer = stub->Write(&context, &response);
  WriteRequest request;
  int64_t total = 0;
  for (int i = 0; i < 50; ++i) {
    request.set_data(std::string(static_cast<size_t>(i) * 20000, 'w'));
    total += static_cast<int64_t>(request.data().size());
    ASSERT_TRUE(writer->Write(request));
  }
  writer->WritesDone();
  grpc::Status status = writer->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.committed_size(), total);
}

TEST(ServerWithGrpcClient, AnswersBeforeTheClientHasSentAll) {
  TestServer server;
  auto stub = Stub(server);
  grpc::ClientContext context;
  WriteResponse response;
  auto writer = stub->Write(&context, &response);
  WriteRequest request;
  request.set_resource_name("early");
  request.set_data(std::string(1 << 20, 'w'));
  // The server stops listening after the first message; the client finds out by a failing write.
  while (writer->Write(request)) {
  }
  grpc::Status status = writer->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.committed_size(), 1 << 20);
}

TEST(ServerWithGrpcClient, TakesGzipMessages) {
  TestServer server;
  auto stub = Stub(server);
  grpc::ClientContext context;
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  WriteResponse response;
  auto writer = stub->Write(&context, &response);
  WriteRequest request;
  request.set_data(std::string(1 << 20, 'z'));
  writer->Write(request);
  writer->WritesDone();
  grpc::Status status = writer->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.committed_size(), 1 << 20);
}

TEST(ServerWithGrpcClient, ReadsGzipAnswersWhereTheServerMayCompress) {
  TestServer server({.gzip_answers = true, .gzip_bytes_max = 100'000});
  auto stub = Stub(server);  // says by itself that it takes gzip
  struct Case {
    int count;
    size_t size;
  };
  // Too small, compressed, too large; then one after the other on one connection.
  for (Case c : {Case{3, 10}, Case{50, 5000}, Case{3, 200'000}, Case{2, 0}, Case{1, 90'000}}) {
    grpc::ClientContext context;
    ReadRequest request;
    request.set_resource_name("n:" + std::to_string(c.count) + ":" + std::to_string(c.size));
    auto reader = stub->Read(&context, request);
    ReadResponse response;
    int count = 0;
    for (; reader->Read(&response); ++count) EXPECT_EQ(response.data(), std::string(c.size, 'r'));
    EXPECT_TRUE(reader->Finish().ok());
    EXPECT_EQ(count, c.count);
  }
}

TEST(ServerWithGrpcClient, EndsCallsAtTheirDeadline) {
  TestServer server;
  auto stub = Stub(server);
  QueryWriteStatusResponse response;
  {
    grpc::ClientContext connected;  // so that the deadline does not pass while connecting
    ASSERT_TRUE(Query(*stub, "echo", response, connected).ok());
  }
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(200));

  grpc::Status status = Query(*stub, "hang", response, context);

  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(Eventually([&] { return server.services.cancelled == 1; }));
  EXPECT_TRUE(Eventually([&] { return server.services.hanging == 0; }));
}

TEST(ServerWithGrpcClient, TellsHandlersOfCancellation) {
  TestServer server;
  auto stub = Stub(server);
  grpc::ClientContext context;
  ReadRequest request;
  request.set_resource_name("hang");
  auto reader = stub->Read(&context, request);
  ReadResponse response;
  ASSERT_TRUE(reader->Read(&response));

  context.TryCancel();

  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(Eventually([&] { return server.services.cancelled == 1; }));
  EXPECT_TRUE(Eventually([&] { return server.services.hanging == 0; }));
}

TEST(ServerWithGrpcClient, RefusesMessagesAboveTheMethodsLimit) {
  TestServer server;
  auto stub = Stub(server);
  grpc::ClientContext context;
  QueryWriteStatusResponse response;

  grpc::Status status = Query(*stub, std::string(5 << 20, 'x'), response, context);

  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), testing::HasSubstr("4194304"));
}

}  // namespace
}  // namespace lre::rpc

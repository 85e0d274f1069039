// Reflection, asked by grpc++ through both of its names.
#include "service/reflection_service.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "base/metrics.h"
#include "google/bytestream/bytestream.pb.h"
#include "grpc/reflection/v1/reflection.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "rpc/server.h"

namespace lre::service {
namespace {

namespace v1 = grpc::reflection::v1;
namespace v1alpha = grpc::reflection::v1alpha;

class ReflectionService : public testing::Test {
 protected:
  ReflectionService() {
    // The descriptor is found only if something of its file is linked.
    google::bytestream::ReadRequest::descriptor();
    auto started = rpc::Server::Start({.listen = {"127.0.0.1:0"}, .loops = 1},
                                      ReflectionMethods({"google.bytestream.ByteStream"}), nullptr,
                                      metrics_, SystemClock());
    EXPECT_TRUE(started) << ToStatus(started).ToString();
    server_ = std::move(*started);
    channel_ = grpc::CreateChannel(server_->addresses()[0], grpc::InsecureChannelCredentials());
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    stream_ = v1::ServerReflection::NewStub(channel_)->ServerReflectionInfo(&context_);
  }
  v1::ServerReflectionResponse Ask(const v1::ServerReflectionRequest& request) {
    v1::ServerReflectionResponse response;
    EXPECT_TRUE(stream_->Write(request));
    EXPECT_TRUE(stream_->Read(&response));
    return response;
  }

  Metrics metrics_;
  std::unique_ptr<rpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  grpc::ClientContext context_;
  std::unique_ptr<
      grpc::ClientReaderWriter<v1::ServerReflectionRequest, v1::ServerReflectionResponse>>
      stream_;
};

TEST_F(ReflectionService, ListsServicesUnderBothNames) {
  v1alpha::ServerReflectionRequest request;
  request.set_list_services("*");
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  auto stream = v1alpha::ServerReflection::NewStub(channel_)->ServerReflectionInfo(&context);
  v1alpha::ServerReflectionResponse response;
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_TRUE(stream->WritesDone());
  EXPECT_TRUE(stream->Finish().ok());

  std::vector<std::string> names;
  for (const auto& service : response.list_services_response().service()) {
    names.push_back(service.name());
  }
  EXPECT_EQ(names, (std::vector<std::string>{"google.bytestream.ByteStream",
                                             "grpc.reflection.v1.ServerReflection",
                                             "grpc.reflection.v1alpha.ServerReflection"}));
}

TEST_F(ReflectionService, GivesFilesThatBuildAPoolOfTheirOwn) {
  for (const char* symbol :
       {"google.bytestream.ByteStream", "google.bytestream.ByteStream.Read",
        "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}) {
    v1::ServerReflectionRequest request;
    request.set_file_containing_symbol(symbol);
    auto response = Ask(request);
    google::protobuf::DescriptorPool pool;
    std::string last;
    for (const auto& bytes : response.file_descriptor_response().file_descriptor_proto()) {
      google::protobuf::FileDescriptorProto file;
      ASSERT_TRUE(file.ParseFromString(bytes));
      ASSERT_NE(pool.BuildFile(file), nullptr) << file.name();
      last = file.name();
    }
    EXPECT_NE(pool.FindFileContainingSymbol(symbol), nullptr) << symbol;

    request.set_file_by_filename(last);
    EXPECT_EQ(Ask(request).file_descriptor_response().SerializeAsString(),
              response.file_descriptor_response().SerializeAsString());
  }
}

TEST_F(ReflectionService, SaysWhatItDoesNotKnowAndGoesOn) {
  v1::ServerReflectionRequest request;
  EXPECT_EQ(Ask(request).error_response().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  request.set_file_containing_symbol("no.such.Symbol");
  EXPECT_EQ(Ask(request).error_response().error_code(), grpc::StatusCode::NOT_FOUND);
  request.set_file_by_filename("no/such.proto");
  EXPECT_EQ(Ask(request).error_response().error_code(), grpc::StatusCode::NOT_FOUND);
  request.mutable_file_containing_extension()->set_containing_type("no.such.Type");
  EXPECT_EQ(Ask(request).error_response().error_code(), grpc::StatusCode::NOT_FOUND);
  request.set_all_extension_numbers_of_type("no.such.Type");
  EXPECT_EQ(Ask(request).error_response().error_code(), grpc::StatusCode::NOT_FOUND);

  request.set_all_extension_numbers_of_type("google.bytestream.ReadRequest");
  auto numbers = Ask(request).all_extension_numbers_response();
  EXPECT_EQ(numbers.base_type_name(), "google.bytestream.ReadRequest");
  EXPECT_EQ(numbers.extension_number_size(), 0);
}

TEST_F(ReflectionService, AnswersAllThatAClientAsksBeforeItReads) {
  v1::ServerReflectionRequest request;
  request.set_file_containing_symbol("google.bytestream.ByteStream");
  constexpr int kRequests = 500;
  for (int i = 0; i < kRequests; ++i) ASSERT_TRUE(stream_->Write(request));
  EXPECT_TRUE(stream_->WritesDone());
  v1::ServerReflectionResponse response;
  int answers = 0;
  while (stream_->Read(&response)) answers += response.has_file_descriptor_response();
  EXPECT_TRUE(stream_->Finish().ok());
  EXPECT_EQ(answers, kRequests);
}

}  // namespace
}  // namespace lre::service

#include "worker/work_protocol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lre::worker {
namespace {

using blaze::worker::WorkRequest;
using blaze::worker::WorkResponse;
using testing::HasSubstr;

WorkRequest SomeRequest() {
  WorkRequest request;
  request.add_arguments("--out");
  request.add_arguments("a \"b\"");
  request.add_inputs()->set_path("in/x");
  request.mutable_inputs(0)->set_digest("abc");
  return request;
}

// As a worker written with any protobuf library writes it.
std::string Delimited(const WorkResponse& response) {
  std::string bytes = response.SerializeAsString();
  EXPECT_LT(bytes.size(), 128u);
  return std::string(1, static_cast<char>(bytes.size())) + bytes;
}

TEST(WorkProtocol, WritesRequestsBehindTheirSize) {
  std::string bytes = EncodeWorkRequest(WorkProtocol::kProto, SomeRequest());

  ASSERT_LT(bytes.size(), 128u);
  EXPECT_EQ(static_cast<size_t>(bytes[0]), bytes.size() - 1);
  WorkRequest read;
  ASSERT_TRUE(read.ParseFromString(bytes.substr(1)));
  EXPECT_EQ(read.arguments(1), "a \"b\"");
}

TEST(WorkProtocol, WritesRequestsAsALineOfJsonWithBazelsNames) {
  EXPECT_EQ(EncodeWorkRequest(WorkProtocol::kJson, SomeRequest()),
            "{\"arguments\":[\"--out\",\"a \\\"b\\\"\"],\"inputs\":[{\"path\":\"in/x\","
            "\"digest\":\"YWJj\"}]}\n");
}

TEST(WorkProtocol, ReadsResponsesHoweverTheyAreCut) {
  WorkResponse response;
  response.set_exit_code(3);
  response.set_output("it } broke \\ \"here\"");
  std::string json =
      "\n{\"exitCode\": 3, \"output\": \"it } broke \\\\ \\\"here\\\"\", \"new\": [1]}\n";
  for (auto [protocol, bytes] : {std::pair(WorkProtocol::kProto, Delimited(response)),
                                 std::pair(WorkProtocol::kJson, json)}) {
    for (size_t piece = 1; piece < bytes.size(); ++piece) {
      ResponseReader reader(protocol);
      int found = 0;
      std::string twice = bytes + bytes;
      for (size_t at = 0; at < twice.size(); at += piece) {
        reader.Append(std::string_view(twice).substr(at, piece));
        while (true) {
          auto next = reader.Next();
          ASSERT_TRUE(next) << ToStatus(next).ToString();
          if (!*next) break;
          EXPECT_EQ((*next)->exit_code(), 3);
          EXPECT_EQ((*next)->output(), response.output());
          ++found;
        }
      }
      EXPECT_EQ(found, 2) << piece;
    }
  }
}

TEST(WorkProtocol, AnEmptyMessageIsSuccess) {
  ResponseReader reader(WorkProtocol::kProto);
  reader.Append(std::string(1, '\0'));

  auto next = reader.Next();

  ASSERT_TRUE(next && *next);
  EXPECT_EQ((*next)->exit_code(), 0);
  EXPECT_TRUE(reader.empty());
}

TEST(WorkProtocol, SaysWhatWasPrintedInsteadOfAResponse) {
  for (WorkProtocol protocol : {WorkProtocol::kProto, WorkProtocol::kJson}) {
    ResponseReader reader(protocol, 1000);
    reader.Append("Hello from a debug line");

    auto next = reader.Next();

    // Although, as protobuf, 'H' is a size of 72 bytes that are still to come.
    ASSERT_FALSE(next);
    EXPECT_THAT(next.error().message(), HasSubstr("Hello from a debug line"));
  }
}

TEST(WorkProtocol, RefusesAResponseBeyondTheBound) {
  ResponseReader proto(WorkProtocol::kProto, 100);
  proto.Append("\xff\x7f");
  EXPECT_FALSE(proto.Next());
  ResponseReader endless(WorkProtocol::kProto, 100);
  endless.Append(std::string(20, '\xff'));
  EXPECT_FALSE(endless.Next());
  ResponseReader json(WorkProtocol::kJson, 100);
  json.Append("{\"output\": \"" + std::string(200, 'x'));
  EXPECT_FALSE(json.Next());
}

}  // namespace
}  // namespace lre::worker

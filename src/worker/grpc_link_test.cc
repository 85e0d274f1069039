#include "worker/grpc_link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/mailbox.h"
#include "base/metrics.h"
#include "rpc/server.h"

namespace lre::worker {
namespace {

// The server's end: answers hello with welcome; "quit" as reason of a drain ends the call.
class LinkHandler final : public rpc::CallHandler {
 public:
  explicit LinkHandler(std::shared_ptr<rpc::ServerCall> call) : call_(std::move(call)) {}
  void OnMessage(Bytes bytes) override {
    v1::FromWorker message;
    ASSERT_TRUE(message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
    if (message.has_drain()) return call_->Finish(Status(Code::kPermissionDenied, "go away"));
    if (message.has_heartbeat()) return call_->Send({Bytes("\xff not a message")});
    v1::ToWorker answer;
    answer.mutable_welcome()->set_version(message.hello().version());
    call_->Send({Bytes(answer.SerializeAsString())});
  }

 private:
  const std::shared_ptr<rpc::ServerCall> call_;
};

class GrpcLinkTest : public testing::Test {
 protected:
  GrpcLinkTest() {
    rpc::ServerOptions options;
    options.listen = {"127.0.0.1:0"};
    options.loops = 1;
    std::vector<rpc::Method> methods;
    methods.push_back(
        {.path = "/lre.worker.v1.WorkerLink/Connect",
         .start = [](std::shared_ptr<rpc::ServerCall> call) -> std::unique_ptr<rpc::CallHandler> {
           return std::make_unique<LinkHandler>(std::move(call));
         }});
    server_ = *rpc::Server::Start(std::move(options), std::move(methods), nullptr, metrics_,
                                  SystemClock());
    connector_ = NewGrpcLinkConnector(*rpc::Channel::Create(server_->addresses().front()));
    link_ = connector_->Connect(
        {.receive = [this](const v1::ToWorker& message) { received_.Push(message); },
         .closed = [this](Status status) { closed_.Push(std::move(status)); }});
    hello_.mutable_hello()->set_version(7);
  }
  static Instant Soon() { return SystemClock().Now() + std::chrono::seconds(20); }

  Metrics metrics_;
  Mailbox<v1::ToWorker> received_{100};
  Mailbox<Status> closed_{100};
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<LinkConnector> connector_;
  std::unique_ptr<Link> link_;
  v1::FromWorker hello_;
};

TEST_F(GrpcLinkTest, CarriesMessagesBothWays) {
  link_->Send(hello_);

  auto welcome = received_.Pop({}, Soon());

  ASSERT_TRUE(welcome);
  EXPECT_EQ(welcome->welcome().version(), 7);
}

TEST_F(GrpcLinkTest, TellsHowTheServerEndedIt) {
  v1::FromWorker message;
  message.mutable_drain()->set_reason("quit");
  link_->Send(message);

  auto status = closed_.Pop({}, Soon());

  ASSERT_TRUE(status);
  EXPECT_EQ(status->code(), Code::kPermissionDenied);
}

TEST_F(GrpcLinkTest, AMessageThatDoesNotParseClosesIt) {
  v1::FromWorker message;
  message.mutable_heartbeat()->set_sequence(1);
  link_->Send(message);

  auto status = closed_.Pop({}, Soon());

  ASSERT_TRUE(status);
  EXPECT_EQ(status->code(), Code::kInternal);
}

TEST_F(GrpcLinkTest, ALostServerClosesIt) {
  link_->Send(hello_);
  ASSERT_TRUE(received_.Pop({}, Soon()));

  server_.reset();

  EXPECT_TRUE(closed_.Pop({}, Soon()));
}

TEST_F(GrpcLinkTest, TellsNothingAfterItWasDropped) {
  link_->Send(hello_);
  link_.reset();
  server_.reset();

  EXPECT_FALSE(closed_.Pop({}, SystemClock().Now()));
}

}  // namespace
}  // namespace lre::worker

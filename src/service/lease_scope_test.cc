#include "service/lease_scope.h"

#include <gmock/gmock.h>

#include <future>

#include "base/thread_pool.h"
#include "service/blocking.h"
#include "service/fake_call.h"
#include "store/lease_holder.h"

namespace lre::service {
namespace {

using testing::ElementsAre;

class NotingHandler final : public rpc::CallHandler {
 public:
  explicit NotingHandler(std::vector<std::string>& seen) : seen_(seen) {}
  void OnMessage(Bytes) override { Note(); }
  void OnHalfClose() override { Note(); }
  void OnWritable() override { Note(); }

 private:
  void Note() { seen_.emplace_back(store::LeaseHolder::Current()); }
  std::vector<std::string>& seen_;
};

TEST(LeaseScope, EveryStepOfACallActsForItsCaller) {
  std::vector<std::string> seen;
  std::vector<rpc::Method> methods(2);
  methods[0].start = [&](std::shared_ptr<rpc::ServerCall>) {
    seen.emplace_back(store::LeaseHolder::Current());
    return std::make_unique<NotingHandler>(seen);
  };
  methods[1].start = [](std::shared_ptr<rpc::ServerCall>) { return nullptr; };
  ActForCallers(methods);

  auto handler = methods[0].start(std::make_shared<FakeCall>("ci"));
  handler->OnMessage(Bytes());
  {
    store::LeaseHolder other("other");
    handler->OnHalfClose();
  }
  handler->OnWritable();

  EXPECT_THAT(seen, ElementsAre("ci", "ci", "ci", "ci"));
  EXPECT_EQ(store::LeaseHolder::Current(), "");
  EXPECT_EQ(methods[1].start(std::make_shared<FakeCall>("ci")), nullptr);
}

TEST(LeaseScope, SoDoesItsWorkOnThePool) {
  ThreadPool io({.threads = 1});
  std::promise<std::string> seen;

  RunBlocking(io, std::make_shared<FakeCall>("ci"),
              [&] { seen.set_value(std::string(store::LeaseHolder::Current())); });

  EXPECT_EQ(seen.get_future().get(), "ci");
  io.Stop();
}

}  // namespace
}  // namespace lre::service

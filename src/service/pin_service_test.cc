#include "service/pin_service.h"

#include <gmock/gmock.h>

#include "base/file.h"
#include "lre/admin/v1/pins.grpc.pb.h"
#include "service/fake_call.h"
#include "service/fake_storage_server.h"

namespace lre::service {
namespace {

namespace v1 = admin::v1;

class PinServiceTest : public testing::Test {
 protected:
  explicit PinServiceTest(bool update_enabled = true) {
    log_ = store::OpenLogStore(clock_, {.directory = directory_ / "store",
                                        .size_bytes_max = 8 << 20,
                                        .background = false,
                                        .boot_id = "boot"})
               .value();
    table_ = action_cache::PinTable::Open(action_cache::NewStoredActionCache(*log_, *log_), *log_,
                                          clock_, {.file = directory_ / "pins"})
                 .value();
    server_ =
        rpc::Server::Start({.listen = {"127.0.0.1:0"}, .loops = 1},
                           PinMethods({*table_, io_}, {.update = {.enabled = update_enabled}}),
                           nullptr, metrics_, SystemClock())
            .value();
    stub_ = v1::Pins::NewStub(
        grpc::CreateChannel(server_->addresses()[0], grpc::InsecureChannelCredentials()));
  }
  pb::Digest AddResult(const std::string& name) {
    pb::ActionResult result;
    result.set_stdout_raw(name);
    Digest action = ComputeDigest(kSha256, name);
    EXPECT_EQ(table_->Put({action, "main"}, Bytes(result.SerializeAsString())), Status());
    return reapi::ToProto(action);
  }
  grpc::Status Set(const std::string& name, const pb::Digest& action, v1::Pin* pin) {
    v1::SetPinRequest request;
    request.set_instance_name("main");
    request.set_name(name);
    *request.add_action_digests() = action;
    Context context;
    return stub_->SetPin(&context, request, pin);
  }
  std::vector<std::string> Names(const std::string& instance = "main") {
    v1::ListPinsRequest request;
    request.set_instance_name(instance);
    v1::ListPinsResponse response;
    Context context;
    EXPECT_TRUE(stub_->ListPins(&context, request, &response).ok());
    std::vector<std::string> names;
    for (const v1::Pin& pin : response.pins()) names.push_back(pin.name());
    return names;
  }
  grpc::Status Retire(const std::string& name) {
    v1::RetirePinRequest request;
    request.set_instance_name("main");
    request.set_name(name);
    v1::RetirePinResponse response;
    Context context;
    return stub_->RetirePin(&context, request, &response);
  }

  TempDir directory_;
  FakeClock clock_;
  Metrics metrics_;
  std::unique_ptr<store::LogStore> log_;
  std::unique_ptr<action_cache::PinTable> table_;
  ThreadPool io_{{.threads = 2}};
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<v1::Pins::Stub> stub_;
};

TEST_F(PinServiceTest, SetsListsAndRetires) {
  v1::Pin pin;
  ASSERT_TRUE(Set("tools", AddResult("a"), &pin).ok());
  EXPECT_EQ(pin.name(), "tools");
  EXPECT_EQ(pin.results(), 1);

  EXPECT_THAT(Names(), testing::ElementsAre("tools"));
  EXPECT_THAT(Names("other"), testing::IsEmpty());
  EXPECT_TRUE(Retire("tools").ok());
  EXPECT_THAT(Names(), testing::IsEmpty());
  EXPECT_EQ(Retire("tools").error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(PinServiceTest, RefusesWhatItCannotPin) {
  v1::Pin pin;
  EXPECT_EQ(Set("tools", DigestOf("none"), &pin).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Set("", AddResult("a"), &pin).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Set("tools", pb::Digest(), &pin).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(PinServiceTest, GoesByTheInstancesWhoseResultsMayBeWritten) {
  const auto methods = PinMethods({*table_, io_}, {.update = {.instances = {"writable"}}});
  auto set = [&](const char* instance) {
    v1::SetPinRequest request;
    request.set_instance_name(instance);
    request.set_name("tools");
    *request.add_action_digests() = DigestOf("none");
    return ToStatus(CallAs<v1::Pin>("ci", methods, "/SetPin", request)).code();
  };

  EXPECT_EQ(set("main"), Code::kPermissionDenied);
  EXPECT_EQ(set("writable"), Code::kFailedPrecondition) << "there is no such result";
}

class ReadOnlyPinServiceTest : public PinServiceTest {
 protected:
  ReadOnlyPinServiceTest() : PinServiceTest(false) {}
};

TEST_F(ReadOnlyPinServiceTest, AServerThatTakesNoResultsTakesNoPins) {
  v1::Pin pin;
  EXPECT_EQ(Set("tools", AddResult("a"), &pin).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(Retire("tools").error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(Names(), testing::IsEmpty());
}

}  // namespace
}  // namespace lre::service

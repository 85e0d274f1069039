#include "rpc/fake_services.h"

#include <algorithm>
#include <cstdio>
#include <thread>
#include <utility>

#include "base/check.h"
#include "google/bytestream/bytestream.pb.h"
#include "google/rpc/status.pb.h"

#ifdef __SANITIZE_THREAD__
// grpc++ and abseil come from Debian without instrumentation: what happens inside them looks like
// races.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  return "race:libgrpc\nrace:libgpr\nrace:libabsl\nrace:libupb\nrace:libcrypto\nrace:libssl\nrace:"
         "libspdlog\n"
         "race:^grpc::\n";
}
#endif

namespace lre::rpc {
namespace {

using google::bytestream::QueryWriteStatusRequest;
using google::bytestream::QueryWriteStatusResponse;
using google::bytestream::ReadRequest;
using google::bytestream::ReadResponse;
using google::bytestream::WriteRequest;
using google::bytestream::WriteResponse;

class HangHandler final : public CallHandler {
 public:
  explicit HangHandler(FakeServices& services) : services_(services) { ++services_.hanging; }
  ~HangHandler() override { --services_.hanging; }
  void OnMessage(Bytes) override {}
  void OnCancel() override { ++services_.cancelled; }

 private:
  FakeServices& services_;
};

void Query(FakeServices& services, std::shared_ptr<ServerCall> call, Bytes bytes) {
  ++services.started;
  QueryWriteStatusRequest request;
  if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return call->Finish(Status(Code::kInvalidArgument, "not a QueryWriteStatusRequest"));
  }
  const std::string& name = request.resource_name();
  QueryWriteStatusResponse response;
  response.set_committed_size(static_cast<int64_t>(name.size()));
  if (name.starts_with("status:")) {
    size_t colon = name.find(':', 7);
    auto code = static_cast<Code>(std::stoi(name.substr(7)));
    google::rpc::Status details;
    details.set_code(static_cast<int>(code));
    details.set_message("in detail");
    return call->Finish(
        Status(code, name.substr(colon + 1)).WithDetails(details.SerializeAsString()),
        {{"x-trailer", "seen"}, {"x-trailer-bin", std::string("\0\xff", 2)}});
  }
  if (name == "metadata") {
    return call->Finish(
        Status(Code::kAborted, std::string(FindMetadata(call->info().metadata, "x-echo-bin"))));
  }
  if (name == "later") {
    std::jthread([call, response] { call->Respond(response.SerializeAsString()); });
    return;
  }
  call->Respond(response.SerializeAsString());
}

// Sends `count` messages of `size` data bytes, never holding much more than low water.
class ReadHandler final : public CallHandler {
 public:
  ReadHandler(FakeServices& services, std::shared_ptr<ServerCall> call, int count, size_t size)
      : services_(services), call_(std::move(call)), left_(count) {
    ReadResponse response;
    response.set_data(std::string(size, 'r'));
    message_ = Bytes(response.SerializeAsString());
    OnWritable();
  }
  void OnMessage(Bytes) override {}
  void OnWritable() override {
    while (left_ > 0 && call_->queued_bytes() < kWritableLowWaterBytes) {
      call_->Send({message_});
      --left_;
      services_.queued_bytes_peak =
          std::max(services_.queued_bytes_peak.load(), call_->queued_bytes());
    }
    if (left_ == 0) call_->Finish({});
  }
  void OnCancel() override { ++services_.cancelled; }

 private:
  FakeServices& services_;
  std::shared_ptr<ServerCall> call_;
  Bytes message_;
  int left_;
};

std::unique_ptr<CallHandler> Read(FakeServices& services, std::shared_ptr<ServerCall> call,
                                  Bytes bytes) {
  ++services.started;
  ReadRequest request;
  request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  if (request.resource_name() == "hang") {
    ReadResponse response;
    response.set_data("first");
    call->Send({Bytes(response.SerializeAsString())});
    return std::make_unique<HangHandler>(services);
  }
  int count = 0;
  size_t size = 0;
  if (sscanf(request.resource_name().c_str(), "n:%d:%zu", &count, &size) != 2) {
    call->Finish(Status(Code::kNotFound, request.resource_name()));
    return nullptr;
  }
  return std::make_unique<ReadHandler>(services, std::move(call), count, size);
}

class WriteHandler final : public CallHandler {
 public:
  WriteHandler(FakeServices& services, std::shared_ptr<ServerCall> call)
      : services_(services), call_(std::move(call)) {
    ++services_.started;
  }
  void OnMessage(Bytes bytes) override {
    WriteRequest request;
    request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
    size_ += static_cast<int64_t>(request.data().size());
    if (request.resource_name() == "early") OnHalfClose();
  }
  void OnHalfClose() override {
    WriteResponse response;
    response.set_committed_size(size_);
    call_->Respond(response.SerializeAsString());
  }
  void OnCancel() override { ++services_.cancelled; }

 private:
  FakeServices& services_;
  std::shared_ptr<ServerCall> call_;
  int64_t size_ = 0;
};

class BidiHandler final : public CallHandler {
 public:
  explicit BidiHandler(std::shared_ptr<ServerCall> call) : call_(std::move(call)) {}
  void OnMessage(Bytes bytes) override { call_->Send({std::move(bytes)}); }
  void OnHalfClose() override { call_->Finish({}); }

 private:
  std::shared_ptr<ServerCall> call_;
};

class ManualHandler final : public CallHandler {
 public:
  explicit ManualHandler(std::shared_ptr<ServerCall> call) : call_(std::move(call)) {}
  void OnMessage(Bytes bytes) override {
    held_ += bytes.size();
    call_->Send({Bytes(std::to_string(bytes.size()))});
    if (bytes.view() == "release") call_->Consumed(std::exchange(held_, 0));
  }
  void OnHalfClose() override { call_->Finish({}); }

 private:
  std::shared_ptr<ServerCall> call_;
  size_t held_ = 0;
};

}  // namespace

std::vector<Method> FakeServices::Methods() {
  const std::string service = "/google.bytestream.ByteStream/";
  std::vector<Method> methods;
  methods.push_back(
      {.path = service + "QueryWriteStatus",
       .start = [this](std::shared_ptr<ServerCall> call) -> std::unique_ptr<CallHandler> {
         class Handler final : public CallHandler {
          public:
           Handler(FakeServices& services, std::shared_ptr<ServerCall> call)
               : services_(services), call_(std::move(call)) {}
           void OnMessage(Bytes bytes) override {
             if (bytes.view().find("hang") != std::string_view::npos) {
               ++services_.started;
               hang_ = std::make_unique<HangHandler>(services_);
             } else {
               Query(services_, call_, std::move(bytes));
             }
           }
           void OnCancel() override {
             if (hang_) hang_->OnCancel();
           }

          private:
           FakeServices& services_;
           std::shared_ptr<ServerCall> call_;
           std::unique_ptr<HangHandler> hang_;
         };
         return std::make_unique<Handler>(*this, std::move(call));
       }});
  methods.push_back(ServerStreamMethod(service + "Read", [this](auto call, Bytes bytes) {
    return Read(*this, call, std::move(bytes));
  }));
  methods.push_back({.path = service + "Write",
                     .start = [this](auto call) -> std::unique_ptr<CallHandler> {
                       return std::make_unique<WriteHandler>(*this, call);
                     },
                     .request_bytes_max = 64 << 20});
  methods.push_back({.path = "/test/Bidi",
                     .start = [](auto call) -> std::unique_ptr<CallHandler> {
                       return std::make_unique<BidiHandler>(call);
                     },
                     .request_bytes_max = 64 << 20});
  methods.push_back({.path = "/test/Manual",
                     .start = [](auto call) -> std::unique_ptr<CallHandler> {
                       return std::make_unique<ManualHandler>(call);
                     },
                     .request_bytes_max = 64 << 20,
                     .manual_flow = true});
  methods.push_back(UnaryMethod("/test/Identity",
                                [](auto call, Bytes) { call->Respond(call->info().identity); }));
  methods.push_back(UnaryMethod(
      "/test/Unary", [](auto call, Bytes bytes) { call->Respond(BytesList{std::move(bytes)}); }));
  return methods;
}

TestServer::TestServer(ServerOptions options, HttpHandler http) {
  if (options.listen.empty()) options.listen = {"127.0.0.1:0"};
  if (options.loops == 0) options.loops = 2;
  auto started = Server::Start(std::move(options), services.Methods(), std::move(http), metrics,
                               SystemClock());
  CHECK(started.has_value(), started ? "" : started.error().message());
  server_ = std::move(*started);
}

bool Eventually(const std::function<bool()>& done) {
  for (auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
       std::chrono::steady_clock::now() < end;) {
    if (done()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

}  // namespace lre::rpc

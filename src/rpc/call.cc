#include "rpc/call.h"

namespace lre::rpc {
namespace {

class UnaryHandler final : public CallHandler {
 public:
  using Handle = std::function<void(std::shared_ptr<ServerCall>, Bytes)>;
  UnaryHandler(std::shared_ptr<ServerCall> call, std::shared_ptr<const Handle> handle)
      : call_(std::move(call)), handle_(std::move(handle)) {}

  void OnMessage(Bytes message) override {
    if (seen_) {
      if (call_) call_->Finish(Status(Code::kInvalidArgument, "a unary call takes one message"));
      return;
    }
    seen_ = true;
    (*handle_)(call_, std::move(message));
  }
  void OnHalfClose() override {
    if (!seen_) call_->Finish(Status(Code::kInvalidArgument, "the call has no request message"));
    call_.reset();
  }

 private:
  std::shared_ptr<ServerCall> call_;
  const std::shared_ptr<const Handle> handle_;
  bool seen_ = false;
};

class ServerStreamHandler final : public CallHandler {
 public:
  using Begin =
      std::function<std::unique_ptr<CallHandler>(std::shared_ptr<ServerCall>, Bytes request)>;
  ServerStreamHandler(std::shared_ptr<ServerCall> call, std::shared_ptr<const Begin> begin)
      : call_(std::move(call)), begin_(std::move(begin)) {}

  void OnMessage(Bytes message) override {
    if (seen_) {
      if (call_)
        call_->Finish(Status(Code::kInvalidArgument, "the call takes one request message"));
      return;
    }
    seen_ = true;
    inner_ = (*begin_)(call_, std::move(message));
  }
  void OnHalfClose() override {
    if (!seen_) call_->Finish(Status(Code::kInvalidArgument, "the call has no request message"));
    call_.reset();
  }
  void OnWritable() override {
    if (inner_) inner_->OnWritable();
  }
  void OnCancel() override {
    if (inner_) inner_->OnCancel();
  }

 private:
  std::shared_ptr<ServerCall> call_;
  const std::shared_ptr<const Begin> begin_;
  std::unique_ptr<CallHandler> inner_;
  bool seen_ = false;
};

}  // namespace

std::string_view FindMetadata(const Metadata& metadata, std::string_view name) {
  for (const auto& [key, value] : metadata) {
    if (key == name) return value;
  }
  return {};
}

Method UnaryMethod(std::string path,
                   std::function<void(std::shared_ptr<ServerCall>, Bytes request)> handle,
                   size_t request_bytes_max) {
  auto shared = std::make_shared<const UnaryHandler::Handle>(std::move(handle));
  return {.path = std::move(path),
          .start = [shared](std::shared_ptr<ServerCall> call) -> std::unique_ptr<CallHandler> {
            return std::make_unique<UnaryHandler>(std::move(call), shared);
          },
          .request_bytes_max = request_bytes_max};
}

Method ServerStreamMethod(
    std::string path,
    std::function<std::unique_ptr<CallHandler>(std::shared_ptr<ServerCall>, Bytes request)> start,
    size_t request_bytes_max) {
  auto shared = std::make_shared<const ServerStreamHandler::Begin>(std::move(start));
  return {.path = std::move(path),
          .start = [shared](std::shared_ptr<ServerCall> call) -> std::unique_ptr<CallHandler> {
            return std::make_unique<ServerStreamHandler>(std::move(call), shared);
          },
          .request_bytes_max = request_bytes_max};
}

}  // namespace lre::rpc

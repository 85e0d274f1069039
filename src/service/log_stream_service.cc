#include "service/log_stream_service.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "build/bazel/remote/logstream/v1/remote_logstream.pb.h"
#include "google/bytestream/bytestream.pb.h"
#include "reapi/wire/messages.h"

namespace lre::service {
namespace {

namespace wire = reapi::wire;
namespace logstream = build::bazel::remote::logstream::v1;
using Call = std::shared_ptr<rpc::ServerCall>;

constexpr size_t kParentBytesMax = 1024;
constexpr size_t kReadPieceBytes = 64 << 10;
constexpr size_t kQueuedBytesMax = 2 * rpc::kWritableLowWaterBytes;

void CreateLogStream(LogStreams& streams, const Partitions& partitions, const Call& call,
                     const Bytes& bytes) {
  logstream::CreateLogStreamRequest request;
  if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return call->Finish(Status(Code::kInvalidArgument, "the request is no CreateLogStreamRequest"));
  }
  if (request.parent().size() > kParentBytesMax) {
    return call->Finish(ErrorStatus(Code::kInvalidArgument, "parent of {} bytes: at most {}",
                                    request.parent().size(), kParentBytesMax));
  }
  const auto partition = partitions.Of(call->info().identity, request.parent());
  if (!partition) return call->Finish(partition.error());
  const Result<LogStreams::Names> names = streams.Create(request.parent(), *partition);
  if (!names) return call->Finish(names.error());
  logstream::LogStream answer;
  answer.set_name(names->name);
  answer.set_write_resource_name(names->write_name);
  call->Respond(answer.SerializeAsString());
}

// One read. Confined to the call's loop, but for the waiter, which only posts to it.
class Follower : public rpc::CallHandler, public std::enable_shared_from_this<Follower> {
 public:
  Follower(LogStreams& streams, Call call) : streams_(streams), call_(std::move(call)) {}

  void Begin(const wire::ReadRequest& request, scheduler::Scope scope) {
    wanted_ = {std::string(request.resource_name), request.read_offset, 0, std::move(scope)};
    if (wanted_.offset < 0 || request.read_limit < 0) {
      return call_->Finish(ErrorStatus(Code::kOutOfRange, "read_offset {}, read_limit {} of {}",
                                       wanted_.offset, request.read_limit, wanted_.name));
    }
    limit_ = request.read_limit == 0 ? INT64_MAX : request.read_limit;
    Pump();
  }
  void OnMessage(Bytes) override {}
  void OnWritable() override { Pump(); }
  void OnCancel() override { ended_ = true; }

 private:
  void Pump() {
    while (!ended_ && call_->queued_bytes() < kQueuedBytesMax) {
      wanted_.bytes_max =
          static_cast<size_t>(std::min<int64_t>(limit_, static_cast<int64_t>(kReadPieceBytes)));
      auto piece = streams_.Read(wanted_, [weak = weak_from_this()] {
        if (auto self = weak.lock()) self->call_->Post([self] { self->Pump(); });
      });
      if (!piece) {
        // Replaced or forgotten while it was read: there is no more.
        ended_ = true;
        return call_->Finish(sent_ ? Status() : piece.error());
      }
      if (piece->data.empty() && !piece->end) return;
      wanted_.offset = piece->next_offset;
      limit_ -= static_cast<int64_t>(piece->data.size());
      if (!piece->data.empty()) {
        google::bytestream::ReadResponse response;
        response.set_data(piece->data.data(), piece->data.size());
        call_->Send({Bytes(response.SerializeAsString())});
        sent_ = true;
      }
      if (piece->end || limit_ == 0) {
        ended_ = true;
        call_->Finish(Status());
      }
    }
  }

  LogStreams& streams_;
  const Call call_;
  LogStreams::Wanted wanted_;
  int64_t limit_ = 0;
  bool sent_ = false, ended_ = false;
};

// One write, on the call's loop: memory only.
class Writer : public rpc::CallHandler {
 public:
  Writer(LogStreams& streams, Call call) : streams_(streams), call_(std::move(call)) {}

  void OnMessage(Bytes message) override {
    call_->Consumed(message.size());
    if (ended_) return;
    if (Status status = Take(message); !status.ok()) {
      ended_ = true;
      call_->Finish(std::move(status));
    }
  }
  void OnHalfClose() override {
    if (!ended_) Answer();
  }

 private:
  Status Take(const Bytes& message) {
    TRY_ASSIGN(wire::WriteRequest request, wire::ParseWriteRequest(message));
    if (name_.empty()) name_ = request.resource_name;
    if (!request.resource_name.empty() && request.resource_name != name_) {
      return Status(Code::kInvalidArgument, "another resource_name in a write of a log stream");
    }
    if (!request.data.empty()) {
      TRY(streams_.AppendAsWriter(name_, request.write_offset, std::move(request.data)));
    }
    if (!request.finish_write) return Status();
    TRY(streams_.FinishAsWriter(name_));
    Answer();
    return Status();
  }
  void Answer() {
    ended_ = true;
    const auto written = streams_.WrittenOf(name_);
    if (!written) return call_->Finish(written.error());
    call_->Respond(wire::WriteWriteResponse(written->bytes));
  }

  LogStreams& streams_;
  const Call call_;
  std::string name_;
  bool ended_ = false;
};

// Holds a follower for the call: it is shared with those who wake it.
class ReadHandler : public rpc::CallHandler {
 public:
  ReadHandler(LogStreams& streams, const Partitions& partitions, Call call)
      : partitions_(partitions),
        call_(call),
        follower_(std::make_shared<Follower>(streams, std::move(call))) {}
  void OnMessage(Bytes message) override {
    auto request = wire::ParseReadRequest(message.view());
    if (!request) return call_->Finish(request.error());
    follower_->Begin(*request, partitions_.ScopeOf(call_->info().identity));
  }
  void OnWritable() override { follower_->OnWritable(); }
  void OnCancel() override { follower_->OnCancel(); }

 private:
  const Partitions& partitions_;
  const Call call_;
  const std::shared_ptr<Follower> follower_;
};

class QueryHandler : public rpc::CallHandler {
 public:
  QueryHandler(LogStreams& streams, Call call) : streams_(streams), call_(std::move(call)) {}
  void OnMessage(Bytes message) override {
    google::bytestream::QueryWriteStatusRequest request;
    request.ParseFromArray(message.data(), static_cast<int>(message.size()));
    const auto written = streams_.WrittenOf(request.resource_name());
    if (!written) return call_->Finish(written.error());
    google::bytestream::QueryWriteStatusResponse response;
    response.set_committed_size(written->bytes);
    response.set_complete(written->finished);
    call_->Respond(response.SerializeAsString());
  }

 private:
  LogStreams& streams_;
  const Call call_;
};

// A look at the beginning, where clients put the resource name: blobs are not searched for it.
bool IsForLogStream(const std::string& method, const Bytes& message) {
  if (message.view().substr(0, 2 * kParentBytesMax).find("logstreams/") == std::string_view::npos) {
    return false;
  }
  if (method.ends_with("/Read")) {
    auto request = wire::ParseReadRequest(message.view());
    return request && IsLogStreamName(request->resource_name);
  }
  if (method.ends_with("/Write")) {
    auto request = wire::ParseWriteRequest(message);
    return request && IsLogStreamName(request->resource_name);
  }
  google::bytestream::QueryWriteStatusRequest request;
  return request.ParseFromArray(message.data(), static_cast<int>(message.size())) &&
         IsLogStreamName(request.resource_name());
}

struct Route {
  std::string path;
  decltype(rpc::Method::start) blobs;
  LogStreams& streams;
  const Partitions& partitions;
};

std::unique_ptr<rpc::CallHandler> NewHandler(const Route& route, Call call) {
  if (route.path.ends_with("/Read")) {
    return std::make_unique<ReadHandler>(route.streams, route.partitions, std::move(call));
  }
  if (route.path.ends_with("/Write")) {
    return std::make_unique<Writer>(route.streams, std::move(call));
  }
  return std::make_unique<QueryHandler>(route.streams, std::move(call));
}

// The handler of a call whose first message says whether it is about a blob.
class RoutedHandler : public rpc::CallHandler {
 public:
  RoutedHandler(std::shared_ptr<const Route> route, Call call)
      : route_(std::move(route)), call_(std::move(call)) {}

  void OnMessage(Bytes message) override {
    if (!chosen_) Choose(message);
    chosen_->OnMessage(std::move(message));
  }
  void OnHalfClose() override {
    if (!chosen_) Choose(Bytes());
    chosen_->OnHalfClose();
  }
  void OnWritable() override {
    if (chosen_) chosen_->OnWritable();
  }
  void OnCancel() override {
    if (chosen_) chosen_->OnCancel();
  }

 private:
  void Choose(const Bytes& first) {
    chosen_ = IsForLogStream(route_->path, first) ? NewHandler(*route_, std::move(call_))
                                                  : route_->blobs(std::move(call_));
  }

  const std::shared_ptr<const Route> route_;
  Call call_;
  std::unique_ptr<rpc::CallHandler> chosen_;
};

}  // namespace

std::vector<rpc::Method> LogStreamMethods(LogStreams& streams, const Partitions& partitions) {
  std::vector<rpc::Method> methods;
  methods.push_back(rpc::UnaryMethod(
      "/build.bazel.remote.logstream.v1.LogStreamService/CreateLogStream",
      [&streams, &partitions](std::shared_ptr<rpc::ServerCall> call, Bytes request) {
        CreateLogStream(streams, partitions, call, request);
      }));
  return methods;
}

std::vector<rpc::Method> WithLogStreams(std::vector<rpc::Method> byte_stream, LogStreams& streams,
                                        const Partitions& partitions) {
  for (rpc::Method& method : byte_stream) {
    auto route = std::make_shared<const Route>(
        Route{method.path, std::move(method.start), streams, partitions});
    method.start = [route](Call call) {
      return std::make_unique<RoutedHandler>(route, std::move(call));
    };
  }
  return byte_stream;
}

}  // namespace lre::service

// For tests: execution, operations and worker link over a FakeBlobStore, served on a loopback port
// of the kernel's choice, with a grpc++ channel to it as the independent client.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "action_cache/stored_action_cache.h"
#include "base/metrics.h"
#include "base/thread_pool.h"
#include "build/bazel/remote/execution/v2/remote_execution.grpc.pb.h"
#include "google/longrunning/operations.grpc.pb.h"
#include "lre/worker/v1/worker.grpc.pb.h"
#include "reapi/digest_proto.h"
#include "reapi/request_metadata.h"
#include "rpc/server.h"
#include "service/execution_service.h"
#include "service/fake_storage_server.h"
#include "service/fake_worker.h"
#include "service/log_stream_service.h"
#include "service/operations_service.h"
#include "service/worker_link.h"
#include "store/fake_blob_store.h"

namespace lre::service {

// The header in which tests say who calls, instead of showing a certificate.
inline constexpr const char* kTestIdentityHeader = "test-identity";

// A call whose identity is what that header says.
class IdentifiedCall final : public rpc::ServerCall {
 public:
  explicit IdentifiedCall(std::shared_ptr<rpc::ServerCall> call)
      : call_(std::move(call)), info_(call_->info()) {
    info_.identity = rpc::FindMetadata(info_.metadata, kTestIdentityHeader);
  }
  const rpc::CallInfo& info() const override { return info_; }
  bool cancelled() const override { return call_->cancelled(); }
  void Send(BytesList message) override { call_->Send(std::move(message)); }
  void Finish(Status status, rpc::Metadata trailers) override {
    call_->Finish(std::move(status), std::move(trailers));
  }
  void Respond(BytesList message) override { call_->Respond(std::move(message)); }
  size_t queued_bytes() const override { return call_->queued_bytes(); }
  void Consumed(size_t bytes) override { call_->Consumed(bytes); }
  void Post(std::function<void()> work) override { call_->Post(std::move(work)); }

 private:
  const std::shared_ptr<rpc::ServerCall> call_;
  rpc::CallInfo info_;
};

// What tests of bounds change.
struct ServiceLimits {
  ExecutionOptions execution = {};
  OperationsOptions operations = {};
  WorkerLinkOptions link = {};
};

class ExecutionServer {
 public:
  // No worker was there before: nobody waits for one to come back.
  explicit ExecutionServer(scheduler::SchedulerOptions options = {.adoption_grace = Duration(0)},
                           const Partitions& partitions = Partitions::None(),
                           const ServiceLimits& limits = {})
      : action_cache(action_cache::NewMemoryActionCache(store)),
        scheduler({.scheduler = std::move(options)}, NewResultPublisher(*action_cache, io),
                  SystemClock(), metrics) {
    std::vector<rpc::Method> methods;
    auto add = [&](std::vector<rpc::Method> more) {
      for (auto& method : more) methods.push_back(std::move(method));
    };
    add(ExecutionMethods({store, *action_cache, scheduler, io, SystemClock(), partitions, &inputs},
                         limits.execution));
    add(OperationsMethods(scheduler, partitions, limits.operations));
    add(WorkerLinkMethods(scheduler, limits.link));
    add(WithLogStreams(ByteStreamMethods({store, io, SystemClock(), partitions}),
                       scheduler.log_streams(), partitions));
    add(LogStreamMethods(scheduler.log_streams(), partitions));
    for (rpc::Method& method : methods) {
      method.start = [start = std::move(method.start)](std::shared_ptr<rpc::ServerCall> call) {
        return start(std::make_shared<IdentifiedCall>(std::move(call)));
      };
    }
    auto started = rpc::Server::Start({.listen = {"127.0.0.1:0"}, .loops = 1}, std::move(methods),
                                      nullptr, metrics, SystemClock());
    EXPECT_TRUE(started) << ToStatus(started).ToString();
    server = std::move(*started);
    channel = grpc::CreateChannel(server->addresses()[0], grpc::InsecureChannelCredentials());
    execution = pb::Execution::NewStub(channel);
    operations = google::longrunning::Operations::NewStub(channel);
  }

  // Uploads an action that runs `arguments`; its digest.
  pb::Digest AddAction(const std::vector<std::string>& arguments, bool do_not_cache = false,
                       const std::vector<std::pair<std::string, std::string>>& platform = {}) {
    pb::Command command;
    for (const std::string& argument : arguments) command.add_arguments(argument);
    pb::Action action;
    *action.mutable_command_digest() = Add(command.SerializeAsString());
    *action.mutable_input_root_digest() = Add(pb::Directory().SerializeAsString());
    action.set_do_not_cache(do_not_cache);
    for (const auto& [name, value] : platform) {
      auto* property = action.mutable_platform()->add_properties();
      property->set_name(name);
      property->set_value(value);
    }
    return Add(action.SerializeAsString());
  }
  pb::Digest Add(const std::string& bytes) {
    added.push_back(bytes);
    return reapi::ToProto(store.Add(bytes, DigestFunction::kSha256, partition));
  }

  Metrics metrics;
  FakeClock clock;  // of `inputs` only
  store::FakeBlobStore store;
  std::unique_ptr<action_cache::ActionCache> action_cache;
  std::vector<std::string> added;  // every blob
  store::Partition partition = 0;  // where Add puts them
  ThreadPool io{{.threads = 2}};
  InputLeases inputs{store, clock, metrics, {.background = false}};
  SchedulerThread scheduler;
  std::unique_ptr<rpc::Server> server;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<pb::Execution::Stub> execution;
  std::unique_ptr<google::longrunning::Operations::Stub> operations;
};

// Who calls, and of which instance.
struct Caller {
  std::string identity;
  std::string instance_name = "main";
};

// One stream of Execute or WaitExecution.
class ExecuteCall {
 public:
  ExecuteCall(ExecutionServer& server, const pb::Digest& action, bool skip_cache_lookup = false,
              const std::string& mnemonic = "") {
    if (!mnemonic.empty()) {
      context.AddMetadata(std::string(reapi::kRequestMetadataHeader),
                          reapi::EncodeRequestMetadata({.action_mnemonic = mnemonic}));
    }
    pb::ExecuteRequest request;
    *request.mutable_action_digest() = action;
    request.set_instance_name("main");
    request.set_skip_cache_lookup(skip_cache_lookup);
    request.set_inline_stdout(true);
    reader_ = server.execution->Execute(&context, request);
  }
  ExecuteCall(ExecutionServer& server, const pb::Digest& action, const Caller& caller) {
    context.AddMetadata(kTestIdentityHeader, caller.identity);
    pb::ExecuteRequest request;
    *request.mutable_action_digest() = action;
    request.set_instance_name(caller.instance_name);
    reader_ = server.execution->Execute(&context, request);
  }
  ExecuteCall(ExecutionServer& server, const std::string& name, const std::string& identity = "") {
    context.AddMetadata(kTestIdentityHeader, identity);
    pb::WaitExecutionRequest request;
    request.set_name(name);
    reader_ = server.execution->WaitExecution(&context, request);
  }

  // False at the end of the stream.
  bool Read() {
    if (!reader_->Read(&operation)) return false;
    operation.metadata().UnpackTo(&metadata);
    return true;
  }
  // Reads to the end; the status of the call. May be asked for again.
  grpc::Status Finish() {
    if (status_) return *status_;
    while (Read()) {
    }
    operation.response().UnpackTo(&response);
    status_ = reader_->Finish();
    return *status_;
  }

  Context context;
  google::longrunning::Operation operation;
  pb::ExecuteOperationMetadata metadata;
  pb::ExecuteResponse response;

 private:
  std::unique_ptr<grpc::ClientReader<google::longrunning::Operation>> reader_;
  std::optional<grpc::Status> status_;
};

}  // namespace lre::service

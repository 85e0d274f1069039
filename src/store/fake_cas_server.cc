#include "store/fake_cas_server.h"

#include "base/check.h"
#include "base/clock.h"
#include "build/bazel/remote/execution/v2/remote_execution.pb.h"
#include "google/bytestream/bytestream.pb.h"
#include "reapi/digest_proto.h"
#include "reapi/error_details.h"
#include "reapi/resource_name.h"
#include "store/memory_store.h"
#include "store/partition_name.h"

namespace lre::store {
namespace {

namespace pb = ::build::bazel::remote::execution::v2;

Partition PartitionOf(std::string_view instance) { return PartitionIn(instance).value_or(0); }

template <typename Message>
Message Parse(const Bytes& bytes) {
  Message message;
  CHECK(message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  return message;
}

class WriteHandler final : public rpc::CallHandler {
 public:
  WriteHandler(FakeCasServer& server, std::shared_ptr<rpc::ServerCall> call)
      : server_(server), call_(std::move(call)) {}
  void OnMessage(Bytes message) override {
    Status status = Take(Parse<google::bytestream::WriteRequest>(message));
    if (!status.ok()) call_->Finish(status);
  }

 private:
  Status Take(const google::bytestream::WriteRequest& request) {
    if (!writer_) {
      name_ = request.resource_name();
      TRY_ASSIGN(reapi::ResourceName name, reapi::ParseWriteName(name_));
      TRY_ASSIGN(writer_, server_.blobs->Write({name.digest, PartitionOf(name.instance_name)}));
    }
    if (request.write_offset() != static_cast<int64_t>(writer_->size()))
      return Status(Code::kInvalidArgument, "wrong offset");
    TRY(writer_->Append(Bytes(request.data())));
    if (!request.finish_write()) return {};
    uint64_t size = writer_->size();
    TRY(writer_->Commit());
    google::bytestream::WriteResponse response;
    response.set_committed_size(static_cast<int64_t>(size));
    call_->Respond(response.SerializeAsString());
    return {};
  }

  FakeCasServer& server_;
  const std::shared_ptr<rpc::ServerCall> call_;
  std::string name_;
  std::unique_ptr<BlobWriter> writer_;
};

Status FindMissing(FakeCasServer& server, rpc::ServerCall& call, const Bytes& bytes) {
  auto request = Parse<pb::FindMissingBlobsRequest>(bytes);
  std::vector<Digest> digests;
  for (const auto& message : request.blob_digests()) {
    TRY_ASSIGN(Digest digest, reapi::FromProto(message, request.digest_function()));
    digests.push_back(digest);
  }
  TRY_ASSIGN(auto missing,
             server.blobs->FindMissing(PartitionOf(request.instance_name()), digests));
  pb::FindMissingBlobsResponse response;
  for (uint32_t index : missing)
    *response.add_missing_blob_digests() = request.blob_digests(static_cast<int>(index));
  call.Respond(response.SerializeAsString());
  return {};
}

Status BatchRead(FakeCasServer& server, rpc::ServerCall& call, const Bytes& bytes) {
  ++server.batch_reads;
  auto request = Parse<pb::BatchReadBlobsRequest>(bytes);
  pb::BatchReadBlobsResponse response;
  for (const auto& message : request.digests()) {
    TRY_ASSIGN(Digest digest, reapi::FromProto(message, request.digest_function()));
    auto* entry = response.add_responses();
    *entry->mutable_digest() = message;
    auto blob = ReadAll(*server.blobs, {digest, PartitionOf(request.instance_name())});
    reapi::ToRpcStatus(ToStatus(blob), entry->mutable_status());
    if (blob && server.damage) (*blob)[0] ^= 1;
    if (blob) entry->set_data(*blob);
  }
  call.Respond(response.SerializeAsString());
  return {};
}

Status BatchUpdate(FakeCasServer& server, rpc::ServerCall& call, const Bytes& bytes) {
  ++server.batch_updates;
  auto request = Parse<pb::BatchUpdateBlobsRequest>(bytes);
  pb::BatchUpdateBlobsResponse response;
  for (const auto& blob : request.requests()) {
    TRY_ASSIGN(Digest digest, reapi::FromProto(blob.digest(), request.digest_function()));
    auto* entry = response.add_responses();
    *entry->mutable_digest() = blob.digest();
    reapi::ToRpcStatus(
        Put(*server.blobs, {digest, PartitionOf(request.instance_name())}, Bytes(blob.data())),
        entry->mutable_status());
  }
  call.Respond(response.SerializeAsString());
  return {};
}

Status StreamRead(FakeCasServer& server, rpc::ServerCall& call, const Bytes& bytes) {
  ++server.stream_reads;
  auto request = Parse<google::bytestream::ReadRequest>(bytes);
  TRY_ASSIGN(reapi::ResourceName name, reapi::ParseReadName(request.resource_name()));
  auto begin = static_cast<uint64_t>(request.read_offset());
  auto limit = static_cast<uint64_t>(request.read_limit());
  TRY_ASSIGN(BytesList pieces,
             server.blobs->Read({name.digest, PartitionOf(name.instance_name)},
                                {begin, limit == 0 ? UINT64_MAX : begin + limit}));
  std::string data = Flatten(pieces);
  if (server.damage && !data.empty()) data[0] ^= 1;
  for (size_t at = 0; at < data.size(); at += 100000) {
    google::bytestream::ReadResponse response;
    response.set_data(data.substr(at, 100000));
    call.Send({Bytes(response.SerializeAsString())});
  }
  call.Finish({});
  return {};
}

}  // namespace

FakeCasServer::FakeCasServer() : blobs(NewMemoryStore(SystemClock())) {
  std::vector<rpc::Method> methods;
  auto unary = [&](const char* name, auto function) {
    methods.push_back(rpc::UnaryMethod(
        std::string("/build.bazel.remote.execution.v2.ContentAddressableStorage/") + name,
        [this, function](std::shared_ptr<rpc::ServerCall> call, Bytes request) {
          Status status = function(*this, *call, request);
          if (!status.ok()) call->Finish(status);
        }));
  };
  unary("FindMissingBlobs", FindMissing);
  unary("BatchReadBlobs", BatchRead);
  unary("BatchUpdateBlobs", BatchUpdate);
  methods.push_back(
      rpc::ServerStreamMethod("/google.bytestream.ByteStream/Read",
                              [this](std::shared_ptr<rpc::ServerCall> call,
                                     Bytes request) -> std::unique_ptr<rpc::CallHandler> {
                                Status status = StreamRead(*this, *call, request);
                                if (!status.ok()) call->Finish(status);
                                return nullptr;
                              }));
  methods.push_back(
      {.path = "/google.bytestream.ByteStream/Write",
       .start = [this](std::shared_ptr<rpc::ServerCall> call) -> std::unique_ptr<rpc::CallHandler> {
         ++stream_writes;
         return std::make_unique<WriteHandler>(*this, std::move(call));
       }});
  rpc::ServerOptions options;
  options.listen = {"127.0.0.1:0"};
  options.loops = 1;
  auto server =
      rpc::Server::Start(std::move(options), std::move(methods), nullptr, metrics_, SystemClock());
  CHECK(server.has_value(), ToStatus(server).ToString());
  server_ = std::move(*server);
}

}  // namespace lre::store

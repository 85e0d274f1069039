#include "server_features.h"

#include <algorithm>
#include <cctype>

#include "build/bazel/remote/asset/v1/remote_asset.pb.h"
#include "build/bazel/remote/execution/v2/remote_execution.pb.h"
#include "google/longrunning/operations.pb.h"
#include "grpc/health/v1/health.pb.h"

namespace lre::scenario {
namespace {

namespace pb = ::build::bazel::remote::execution::v2;

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return tolower(c); });
  return text;
}

Result<Bytes> Ask(rpc::Channel& channel, std::string method,
                  const google::protobuf::MessageLite& request) {
  return channel.Unary(std::move(method), {Bytes(request.SerializeAsString())},
                       {.timeout = std::chrono::seconds(10)});
}

bool Serves(rpc::Channel& channel, std::string method,
            const google::protobuf::MessageLite& request) {
  auto answer = Ask(channel, std::move(method), request);
  return answer || answer.error().code() != Code::kUnimplemented;
}

}  // namespace

Result<std::set<std::string>> AskFeatures(rpc::Channel& channel, const std::string& instance_name) {
  pb::GetCapabilitiesRequest request;
  request.set_instance_name(instance_name);
  TRY_ASSIGN(
      Bytes answer,
      Ask(channel, "/build.bazel.remote.execution.v2.Capabilities/GetCapabilities", request));
  pb::ServerCapabilities capabilities;
  if (!capabilities.ParseFromArray(answer.data(), static_cast<int>(answer.size()))) {
    return Error(Code::kInternal, "what came is no ServerCapabilities");
  }
  std::set<std::string> features;
  const auto& cache = capabilities.cache_capabilities();
  for (int function : cache.digest_functions()) {
    features.insert(
        Lower(pb::DigestFunction::Value_Name(static_cast<pb::DigestFunction::Value>(function))));
  }
  for (int compressor : cache.supported_compressors()) {
    if (compressor == pb::Compressor::ZSTD) features.insert("zstd");
  }
  for (int compressor : cache.supported_batch_update_compressors()) {
    if (compressor == pb::Compressor::ZSTD) features.insert("zstd-batch");
  }
  if (cache.action_cache_update_capabilities().update_enabled()) features.insert("update");
  if (capabilities.execution_capabilities().exec_enabled()) features.insert("execution");
  if (cache.split_blob_support()) features.insert("split");
  const int64_t blob_max = cache.max_cas_blob_size_bytes();
  if (blob_max > 0 && blob_max <= 12 << 20) features.insert("blob-limit");
  if (cache.splice_blob_support()) features.insert("splice");
  if (cache.has_fast_cdc_2020_params()) features.insert("fast-cdc");
  namespace asset = ::build::bazel::remote::asset::v1;
  if (Serves(channel, "/build.bazel.remote.asset.v1.Fetch/FetchBlob", asset::FetchBlobRequest())) {
    features.insert("asset");
    if (Serves(channel, "/build.bazel.remote.asset.v1.Push/PushBlob", asset::PushBlobRequest())) {
      features.insert("asset-push");
    }
  }
  google::longrunning::GetOperationRequest get;
  get.set_name("operations/none");
  if (Serves(channel, "/google.longrunning.Operations/GetOperation", get)) {
    features.insert("operations");
  }
  if (Serves(channel, "/grpc.health.v1.Health/Check", grpc::health::v1::HealthCheckRequest())) {
    features.insert("health");
  }
  return features;
}

std::string Lacking(const Scenario& scenario, const std::set<std::string>& features) {
  for (const std::string& feature : scenario.features) {
    if (!features.contains(feature)) return feature;
  }
  return "";
}

}  // namespace lre::scenario

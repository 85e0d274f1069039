#include "service/capabilities_service.h"

#include "reapi/digest_proto.h"
#include "reapi/resource_name.h"

namespace lre::service {
namespace {

namespace pb = reapi::pb;

constexpr int kReapiMinor = 12;

pb::ServerCapabilities MakeCapabilities(const CapabilitiesOptions& options, bool may_update) {
  pb::ServerCapabilities capabilities;
  // Bazel 7 speaks 2.0; everything up to 2.12 is there.
  capabilities.mutable_low_api_version()->set_major(2);
  capabilities.mutable_high_api_version()->set_major(2);
  capabilities.mutable_high_api_version()->set_minor(kReapiMinor);

  auto* cache = capabilities.mutable_cache_capabilities();
  for (DigestFunction function : kDigestFunctions) {
    cache->add_digest_functions(reapi::ToProto(function));
  }
  cache->mutable_action_cache_update_capabilities()->set_update_enabled(may_update);
  cache->set_max_batch_total_size_bytes(options.batch_total_size_bytes_max);
  cache->set_symlink_absolute_path_strategy(pb::SymlinkAbsolutePathStrategy::ALLOWED);
  cache->add_supported_compressors(pb::Compressor::ZSTD);
  cache->add_supported_batch_update_compressors(pb::Compressor::ZSTD);
  cache->set_max_cas_blob_size_bytes(options.cas_blob_size_bytes_max);
  cache->set_split_blob_support(true);
  cache->set_splice_blob_support(true);
  auto* fast_cdc = cache->mutable_fast_cdc_2020_params();
  fast_cdc->set_avg_chunk_size_bytes(options.chunks.fast_cdc.average_bytes);
  fast_cdc->set_seed(options.chunks.fast_cdc.seed);
  auto* rep_max_cdc = cache->mutable_rep_max_cdc_params();
  rep_max_cdc->set_min_chunk_size_bytes(options.chunks.rep_max_cdc.bytes_min);
  rep_max_cdc->set_horizon_size_bytes(options.chunks.rep_max_cdc.horizon_bytes);
  if (!options.exec_enabled) return capabilities;

  auto* execution = capabilities.mutable_execution_capabilities();
  execution->set_exec_enabled(true);
  execution->set_digest_function(pb::DigestFunction::SHA256);
  for (DigestFunction function : kDigestFunctions) {
    execution->add_digest_functions(reapi::ToProto(function));
  }
  auto* priorities = execution->mutable_execution_priority_capabilities()->add_priorities();
  priorities->set_min_priority(INT32_MIN);
  priorities->set_max_priority(INT32_MAX);
  return capabilities;
}

}  // namespace

std::vector<rpc::Method> CapabilitiesMethods(const CapabilitiesOptions& options) {
  Bytes reading(reapi::SerializeDeterministically(MakeCapabilities(options, false)));
  Bytes writing(reapi::SerializeDeterministically(MakeCapabilities(options, true)));
  auto handle = [reading, writing, update = options.action_cache_update](
                    std::shared_ptr<rpc::ServerCall> call, Bytes bytes) {
    pb::GetCapabilitiesRequest request;
    if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      call->Finish(Status(Code::kInvalidArgument, "the request is no GetCapabilitiesRequest"));
      return;
    }
    if (Status name = reapi::CheckInstanceName(request.instance_name()); !name.ok()) {
      call->Finish(std::move(name));
      return;
    }
    call->Respond(BytesList{update.Allows(request.instance_name()) ? writing : reading});
  };
  std::vector<rpc::Method> methods;
  methods.push_back(rpc::UnaryMethod(
      "/build.bazel.remote.execution.v2.Capabilities/GetCapabilities", std::move(handle)));
  return methods;
}

}  // namespace lre::service

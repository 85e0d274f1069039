#include "service/asset_records.h"

#include "action_cache/needed_digests.h"
#include "lre/asset/v1/record.pb.h"
#include "reapi/digest_proto.h"
#include "service/proto_time.h"

namespace lre::service {
namespace {

namespace pb = reapi::pb;

constexpr uint64_t kDigestsMax = 1'000'000;
constexpr uint64_t kDirectoryBytesMax = 64 << 20;

// "blobs" is a reserved word, so it begins no instance name of a client.
std::string InstanceOf(const AssetName& name) { return "blobs/assets/" + name.instance_name; }

Digest KeyOf(const AssetName& name, DigestFunction function) {
  return ComputeDigest(function, AssetKeyText(name.kind, name.uri, name.qualifiers));
}

std::string PinName(const AssetName& name, DigestFunction function) {
  std::string text = fmt::format("{} {}", InstanceOf(name), KeyOf(name, function));
  if (name.partition != 0) text += fmt::format(" {}", name.partition);
  return "asset/" + ComputeDigest(DigestFunction::kSha256, text).Hex();
}

// The asset comes first among those of its kind.
pb::ActionResult ResultOf(const AssetName& name, const Asset& asset) {
  pb::ActionResult result;
  auto add_blob = [&](const Digest& digest) {
    auto* file = result.add_output_files();
    file->set_path("blob");
    reapi::ToProto(digest, file->mutable_digest());
  };
  auto add_directory = [&](const Digest& digest) {
    auto* directory = result.add_output_directories();
    directory->set_path("directory");
    reapi::ToProto(digest, directory->mutable_root_directory_digest());
  };
  name.kind == AssetKind::kBlob ? add_blob(asset.digest) : add_directory(asset.digest);
  for (const Digest& digest : asset.blobs) add_blob(digest);
  for (const Digest& digest : asset.directories) add_directory(digest);
  return result;
}

}  // namespace

Result<std::optional<Asset>> AssetRecords::Find(const AssetName& name, DigestFunction function) {
  const std::string instance = InstanceOf(name);
  auto bytes = entries_.Get({KeyOf(name, function), instance, name.partition});
  if (!bytes && bytes.error().code() == Code::kNotFound) return std::nullopt;
  if (!bytes) return std::unexpected(bytes.error());
  pb::ActionResult result;
  asset::v1::Record record;
  if (!result.ParseFromArray(bytes->data(), static_cast<int>(bytes->size())) ||
      result.execution_metadata().auxiliary_metadata_size() != 1 ||
      !result.execution_metadata().auxiliary_metadata(0).UnpackTo(&record)) {
    return std::nullopt;
  }
  const bool is_blob = name.kind == AssetKind::kBlob;
  if (is_blob ? result.output_files().empty() : result.output_directories().empty()) {
    return std::nullopt;
  }
  Asset asset{.pushed = record.pushed(), .verified = record.verified(), .pinned = record.pinned()};
  TRY_ASSIGN(asset.digest,
             reapi::FromProto(is_blob ? result.output_files(0).digest()
                                      : result.output_directories(0).root_directory_digest(),
                              function));
  asset.since = FromProtoTime(record.since());
  if (record.has_until()) asset.until = FromProtoTime(record.until());
  return asset;
}

Status AssetRecords::Put(const AssetName& name, const Asset& asset) {
  pb::ActionResult result = ResultOf(name, asset);
  asset::v1::Record record;
  *record.mutable_since() = ToProtoTime(asset.since);
  if (asset.until) *record.mutable_until() = ToProtoTime(*asset.until);
  record.set_pushed(asset.pushed);
  record.set_verified(asset.verified);
  record.set_pinned(asset.pinned);
  result.mutable_execution_metadata()->add_auxiliary_metadata()->PackFrom(record);
  const std::string instance = InstanceOf(name);
  return entries_.Put({KeyOf(name, asset.digest.function), instance, name.partition},
                      Bytes(reapi::SerializeDeterministically(result)));
}

Status AssetRecords::Remove(const AssetName& name, DigestFunction function) {
  const std::string instance = InstanceOf(name);
  TRY(entries_.Remove({KeyOf(name, function), instance, name.partition}));
  return pin_ ? pin_(PinName(name, function), name.partition, {}, WallTime()) : Status();
}

Status AssetRecords::Pin(const AssetName& name, const Asset& asset, WallTime until) {
  if (!pin_) return Status(Code::kUnimplemented, "this store pins nothing");
  const DigestFunction function = asset.digest.function;
  auto read = [&](const Digest& digest) -> std::optional<Result<std::string>> {
    return store::ReadAll(store_, {digest, name.partition}, kDirectoryBytesMax);
  };
  auto needed =
      action_cache::NeededDigests(ResultOf(name, asset).SerializeAsString(),
                                  {.function = function, .digests_max = kDigestsMax, .read = read});
  TRY(*needed);
  return pin_(PinName(name, function), name.partition, **needed, until);
}

}  // namespace lre::service

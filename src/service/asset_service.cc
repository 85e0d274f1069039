#include "service/asset_service.h"

#include <map>
#include <optional>

#include "base/guarded.h"
#include "base/log.h"
#include "reapi/digest_proto.h"
#include "reapi/error_details.h"
#include "reapi/resource_name.h"
#include "service/asset_archive.h"
#include "service/blocking.h"
#include "service/proto_time.h"
#include "store/lease_holder.h"

namespace lre::service {
namespace {

constexpr size_t kRequestBytesMax = 4 << 20;

// What all requests begin with.
struct RequestHead {
  AssetKind kind = AssetKind::kBlob;
  store::Partition partition = 0;
  std::string instance_name;
  std::vector<std::string> uris;
  QualifierList qualifiers;

  AssetName Name(size_t uri_index) const {
    return {kind, partition, instance_name, uris[uri_index], qualifiers};
  }
};

// What both kinds of fetch ask for.
struct FetchRequest {
  RequestHead head;
  std::string identity;  // on whose behalf
  DigestFunction function = DigestFunction::kSha256;
  std::optional<Duration> timeout;
  std::optional<WallTime> oldest;
};

// And what both are answered.
struct FetchAnswer {
  Status status;  // of the fetch
  std::string uri;
  Asset asset;
};

Status CheckUris(const google::protobuf::RepeatedPtrField<std::string>& uris, int uris_max) {
  if (uris.empty()) return Status(Code::kInvalidArgument, "uris: none");
  if (uris.size() > uris_max) {
    return ErrorStatus(Code::kInvalidArgument, "uris: {}; at most {} are taken", uris.size(),
                       uris_max);
  }
  for (const std::string& uri : uris) {
    if (uri.empty() || uri.size() > 16 << 10) {
      return ErrorStatus(Code::kInvalidArgument, "uris: one of {} bytes", uri.size());
    }
  }
  return Status();
}

// Parses `bytes` into `message`, and what all messages have in common.
template <typename Message>
Result<RequestHead> ParseHead(const Bytes& bytes, int uris_max, Message* message) {
  if (!message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Error(Code::kInvalidArgument, "the request is no {}", message->GetTypeName());
  }
  TRY(reapi::CheckInstanceName(message->instance_name()));
  TRY(CheckUris(message->uris(), uris_max));
  TRY(CheckQualifiers(message->qualifiers()));
  return RequestHead{.instance_name = message->instance_name(),
                     .uris = {message->uris().begin(), message->uris().end()},
                     .qualifiers = message->qualifiers()};
}

template <typename Message>
Result<FetchRequest> ParseFetch(const Bytes& bytes, int uris_max) {
  Message message;
  FetchRequest request;
  TRY_ASSIGN(request.head, ParseHead(bytes, uris_max, &message));
  if (message.digest_function() != reapi::pb::DigestFunction::UNKNOWN) {
    TRY_ASSIGN(request.function, reapi::ResolveDigestFunction(message.digest_function(), ""));
  }
  if (message.has_timeout()) {
    request.timeout = FromProtoDuration(message.timeout());
    if (*request.timeout <= Duration(0)) {
      return Error(Code::kInvalidArgument, "timeout: it must be more than zero");
    }
  }
  if (message.has_oldest_content_accepted()) {
    request.oldest = FromProtoTime(message.oldest_content_accepted());
  }
  return request;
}

// Whether an error says something of the origin or the asset, not of this server or the request.
bool IsFetchError(Code code) {
  return code == Code::kNotFound || code == Code::kPermissionDenied ||
         code == Code::kDeadlineExceeded || code == Code::kAborted ||
         code == Code::kResourceExhausted;
}

template <typename Response>
void Fill(const FetchAnswer& answer, DigestFunction function, Response* response) {
  reapi::ToRpcStatus(answer.status, response->mutable_status());
  response->set_uri(answer.uri);
  if (!answer.status.ok()) return;
  response->set_digest_function(reapi::ToProto(function));
  if (answer.asset.pinned && answer.asset.until) {
    *response->mutable_expires_at() = ToProtoTime(*answer.asset.until);
  }
}

std::string Encode(const FetchRequest& request, const FetchAnswer& answer) {
  if (request.head.kind == AssetKind::kBlob) {
    asset_pb::FetchBlobResponse response;
    Fill(answer, request.function, &response);
    if (answer.status.ok()) reapi::ToProto(answer.asset.digest, response.mutable_blob_digest());
    return response.SerializeAsString();
  }
  asset_pb::FetchDirectoryResponse response;
  Fill(answer, request.function, &response);
  if (answer.status.ok()) {
    reapi::ToProto(answer.asset.digest, response.mutable_root_directory_digest());
  }
  return response.SerializeAsString();
}

using Calls = std::vector<std::shared_ptr<rpc::ServerCall>>;

}  // namespace

struct AssetService::Impl : std::enable_shared_from_this<Impl> {
  Impl(AssetParts parts_in, AssetOptions options_in)
      : parts(std::move(parts_in)),
        options(std::move(options_in)),
        metrics(options.metrics ? *options.metrics : own_metrics),
        kept_answers(metrics.AddCounter("lre_asset_kept_answers_total",
                                        "Fetches answered with what was here")),
        pushes(metrics.AddCounter("lre_asset_pushes_total", "Assets that were pushed")),
        records(parts.store, parts.records, parts.pin),
        origin(options.origin, metrics),
        fetches({.name = "asset",
                 .threads = options.fetches_max,
                 .queue_items_max = options.fetches_waiting_max}) {
    // So that the name is there before the first one.
    FetchesOf(AssetKind::kBlob, Code::kOk);
    FetchesOf(AssetKind::kDirectory, Code::kOk);
  }

  // --- Fetch
  template <typename Message>
  void Fetch(AssetKind kind, std::shared_ptr<rpc::ServerCall> call, Bytes bytes);
  Result<std::optional<FetchAnswer>> Find(const FetchRequest& request);
  void Renew(const AssetName& name, Asset* asset);
  void StartFlight(std::string key, std::shared_ptr<const FetchRequest> request,
                   FetchQualifiers qualifiers, std::shared_ptr<rpc::ServerCall> call);
  Result<FetchAnswer> FetchFromAny(const FetchRequest& request, const FetchQualifiers& qualifiers);
  Result<Asset> FetchFrom(const FetchRequest& request, size_t uri_index,
                          const FetchQualifiers& qualifiers, Instant deadline);
  Result<Digest> Store(const FetchRequest& request, const FetchQualifiers& qualifiers,
                       const AssetOrigin::Fetched& fetched);

  // --- Push
  template <typename Message>
  void Push(AssetKind kind, std::shared_ptr<rpc::ServerCall> call, Bytes bytes);
  Status PushOne(const AssetName& name, Asset asset);

  Result<store::Partition> Admit(const rpc::ServerCall& call, const RequestHead& head) const {
    return parts.partitions.Of(call.info().identity, head.instance_name);
  }
  Counter& FetchesOf(AssetKind kind, Code code);

  const AssetParts parts;
  const AssetOptions options;
  Metrics own_metrics;
  Metrics& metrics;
  Counter& kept_answers;
  Counter& pushes;
  AssetRecords records;
  AssetOrigin origin;
  std::stop_source stop;
  // Fetches under way, by what was asked, with those who wait for each.
  Guarded<std::map<std::string, Calls>> flights;
  ThreadPool fetches;
};

template <typename Message>
void AssetService::Impl::Fetch(AssetKind kind, std::shared_ptr<rpc::ServerCall> call, Bytes bytes) {
  auto parsed = ParseFetch<Message>(bytes, options.uris_max);
  if (!parsed) return call->Finish(parsed.error());
  const auto partition = Admit(*call, parsed->head);
  if (!partition) return call->Finish(partition.error());
  parsed->head.kind = kind;
  parsed->head.partition = *partition;
  parsed->identity = call->info().identity;
  auto request = std::make_shared<const FetchRequest>(std::move(*parsed));
  RunBlocking(parts.io, call, [self = shared_from_this(), call, request, bytes] {
    const RequestHead& head = request->head;
    auto found = self->Find(*request);
    if (!found) return call->Finish(found.error());
    if (*found) {
      self->kept_answers.Add();
      return call->Respond(Encode(*request, **found));
    }
    const bool fetchable = std::any_of(head.uris.begin(), head.uris.end(), [](const auto& uri) {
      return AssetOrigin::IsFetchable(uri);
    });
    if (!fetchable) {
      const Status none(Code::kNotFound, "nothing was pushed under these URIs and qualifiers");
      return call->Respond(Encode(*request, {none, head.uris[0], {}}));
    }
    auto qualifiers = ParseFetchQualifiers(head.qualifiers, head.kind, head.uris.size());
    if (!qualifiers) return call->Finish(qualifiers.error());
    const std::string key = ComputeDigest(DigestFunction::kSha256, bytes.view()).Hex() +
                            (head.kind == AssetKind::kBlob ? "b" : "d") +
                            std::to_string(head.partition);
    self->StartFlight(key, request, std::move(*qualifiers), call);
  });
}

Result<std::optional<FetchAnswer>> AssetService::Impl::Find(const FetchRequest& request) {
  for (size_t i = 0; i < request.head.uris.size(); i++) {
    const AssetName name = request.head.Name(i);
    TRY_ASSIGN(std::optional<Asset> asset, records.Find(name, request.function));
    if (!asset || (request.oldest && asset->since < *request.oldest)) continue;
    const bool over = asset->until && *asset->until <= parts.clock.WallNow();
    if (over && !(asset->verified && !asset->pushed)) continue;
    if (asset->verified && !asset->pushed) Renew(name, &*asset);
    return FetchAnswer{Status(), request.head.uris[i], std::move(*asset)};
  }
  return std::nullopt;
}

// What is used goes on being kept. Not each time: a pin is a file.
void AssetService::Impl::Renew(const AssetName& name, Asset* asset) {
  const WallTime now = parts.clock.WallNow();
  if (asset->until && *asset->until - now > options.keep / 2) return;
  const WallTime until = now + options.keep;
  asset->pinned = records.Pin(name, *asset, until).ok();
  asset->until = until;
  // Both are about keeping only: the answer is right without them.
  if (Status status = records.Put(name, *asset); !status.ok()) asset->pinned = false;
}

void AssetService::Impl::StartFlight(std::string key, std::shared_ptr<const FetchRequest> request,
                                     FetchQualifiers qualifiers,
                                     std::shared_ptr<rpc::ServerCall> call) {
  const bool joined = flights.With([&](auto& all) {
    Calls& waiting = all[key];
    waiting.push_back(call);
    return waiting.size() > 1;
  });
  if (joined) return;
  auto land = [self = shared_from_this(), key] {
    return self->flights.With([&](auto& all) { return std::move(all.extract(key).mapped()); });
  };
  auto fly = [self = shared_from_this(), land, request, qualifiers = std::move(qualifiers)] {
    // Whoever asked first has the leases.
    const store::LeaseHolder holder(request->identity);
    auto answer = self->FetchFromAny(*request, qualifiers);
    self->FetchesOf(request->head.kind, answer ? answer->status.code() : answer.error().code())
        .Add();
    const Bytes encoded = answer ? Bytes(Encode(*request, *answer)) : Bytes();
    for (const auto& waiting : land()) {
      answer ? waiting->Respond(BytesList{encoded}) : waiting->Finish(answer.error());
    }
  };
  if (fetches.TryRun(std::move(fly))) return;
  for (const auto& waiting : land()) {
    waiting->Finish(
        reapi::WithRetryDelay(Status(Code::kResourceExhausted, "too many fetches wait; try again"),
                              std::chrono::seconds(1)));
  }
}

Result<FetchAnswer> AssetService::Impl::FetchFromAny(const FetchRequest& request,
                                                     const FetchQualifiers& qualifiers) {
  const Duration timeout =
      std::min(request.timeout.value_or(options.timeout_default), options.timeout_max);
  const Instant deadline = lre::SystemClock().Now() + timeout;  // the transport's clock
  std::optional<FetchAnswer> failed;
  for (size_t i = 0; i < request.head.uris.size(); i++) {
    const std::string& uri = request.head.uris[i];
    if (!AssetOrigin::IsFetchable(uri)) continue;
    auto asset = FetchFrom(request, i, qualifiers, deadline);
    if (asset) return FetchAnswer{Status(), uri, std::move(*asset)};
    // Bazel before 8 does not show its users the status of an answer.
    Log(kInfo, "asset_not_fetched", {{"error", asset.error().ToString()}});
    if (!failed) failed = FetchAnswer{asset.error(), uri, {}};
    if (lre::SystemClock().Now() >= deadline) break;
  }
  if (!IsFetchError(failed->status.code())) return std::unexpected(failed->status);
  return std::move(*failed);
}

Result<Asset> AssetService::Impl::FetchFrom(const FetchRequest& request, size_t uri_index,
                                            const FetchQualifiers& qualifiers, Instant deadline) {
  Asset asset{.since = parts.clock.WallNow(), .verified = !qualifiers.checksums.empty()};
  // An archive is not kept as it comes.
  const bool is_blob = request.head.kind == AssetKind::kBlob;
  TRY_ASSIGN(AssetOrigin::Fetched fetched,
             origin.Fetch({.uri = request.head.uris[uri_index],
                           .headers = qualifiers.HeadersFor(uri_index),
                           .checksums = qualifiers.checksums,
                           .function = request.function,
                           .size_bytes_max = is_blob ? options.blob_bytes_max : UINT64_MAX,
                           .deadline = deadline,
                           .stop = stop.get_token()}));
  TRY_ASSIGN(asset.digest, Store(request, qualifiers, fetched));
  const AssetName name = request.head.Name(uri_index);
  asset.until = asset.since + options.keep;
  Status pinned = records.Pin(name, asset, *asset.until);
  asset.pinned = pinned.ok();
  if (!pinned.ok() && pinned.code() != Code::kUnimplemented) {
    Log(kInfo, "asset_not_pinned", {{"error", pinned.message()}});
  }
  TRY(records.Put(name, asset));
  return asset;
}

Result<Digest> AssetService::Impl::Store(const FetchRequest& request,
                                         const FetchQualifiers& qualifiers,
                                         const AssetOrigin::Fetched& fetched) {
  if (request.head.kind == AssetKind::kBlob) {
    TRY(fetched.file->CopyTo(parts.store, {fetched.digest, request.head.partition}));
    return fetched.digest;
  }
  return UnpackArchive(*fetched.file, parts.store,
                       {.function = request.function,
                        .partition = request.head.partition,
                        .directory = qualifiers.directory,
                        .spool_directory = options.origin.spool_directory,
                        .unpacked_bytes_max = options.unpacked_bytes_max,
                        .entries_max = options.entries_max,
                        .file_bytes_max = options.blob_bytes_max});
}

Counter& AssetService::Impl::FetchesOf(AssetKind kind, Code code) {
  return metrics.AddCounter(
      "lre_asset_fetches_total", "Fetches from origins, by how they ended",
      fmt::format("kind=\"{}\",code=\"{}\"", kind == AssetKind::kBlob ? "blob" : "directory",
                  CodeName(code)));
}

namespace {

// The asset that a push is about, and the names it gets.
struct PushRequest {
  RequestHead head;
  Asset asset;
};

const reapi::pb::Digest& DigestOf(const asset_pb::PushBlobRequest& message) {
  return message.blob_digest();
}
const reapi::pb::Digest& DigestOf(const asset_pb::PushDirectoryRequest& message) {
  return message.root_directory_digest();
}

template <typename Message>
Result<PushRequest> ParsePush(const Bytes& bytes, int uris_max) {
  Message message;
  PushRequest request;
  TRY_ASSIGN(request.head, ParseHead(bytes, uris_max, &message));
  TRY_ASSIGN(request.asset.digest, reapi::FromProto(DigestOf(message), message.digest_function()));
  auto add = [&](const auto& digests, std::vector<Digest>* to) -> Status {
    for (const auto& digest : digests) {
      TRY_ASSIGN(Digest parsed, reapi::FromProto(digest, request.asset.digest.function));
      to->push_back(parsed);
    }
    return Status();
  };
  TRY(add(message.references_blobs(), &request.asset.blobs));
  TRY(add(message.references_directories(), &request.asset.directories));
  request.asset.pushed = true;
  if (message.has_expire_at()) request.asset.until = FromProtoTime(message.expire_at());
  return request;
}

}  // namespace

template <typename Message>
void AssetService::Impl::Push(AssetKind kind, std::shared_ptr<rpc::ServerCall> call, Bytes bytes) {
  auto parsed = ParsePush<Message>(bytes, options.uris_max);
  if (!parsed) return call->Finish(parsed.error());
  const auto partition = Admit(*call, parsed->head);
  if (!partition) return call->Finish(partition.error());
  parsed->head.kind = kind;
  parsed->head.partition = *partition;
  auto request = std::make_shared<PushRequest>(std::move(*parsed));
  if (!options.push.Allows(request->head.instance_name)) {
    return call->Finish(ErrorStatus(Code::kPermissionDenied,
                                    "instance \"{}\" takes no assets from clients",
                                    request->head.instance_name));
  }
  RunBlocking(parts.io, call, [self = shared_from_this(), call, request] {
    request->asset.since = self->parts.clock.WallNow();
    for (size_t i = 0; i < request->head.uris.size(); i++) {
      if (Status status = self->PushOne(request->head.Name(i), request->asset); !status.ok()) {
        return call->Finish(std::move(status));
      }
    }
    self->pushes.Add();
    call->Respond(BytesList{Bytes()});
  });
}

Status AssetService::Impl::PushOne(const AssetName& name, Asset asset) {
  // One that is over when it comes ends what was there.
  if (asset.until && *asset.until <= parts.clock.WallNow()) {
    return records.Remove(name, asset.digest.function);
  }
  // Written first: it says what is absent. A record whose pin does not fit is taken back.
  TRY(records.Put(name, asset));
  if (!asset.until) return Status();
  Status pinned = records.Pin(name, asset, *asset.until);
  if (pinned.code() == Code::kUnimplemented) return Status();
  if (!pinned.ok()) {
    if (Status removed = records.Remove(name, asset.digest.function); !removed.ok()) return removed;
    return pinned;
  }
  asset.pinned = true;
  return records.Put(name, asset);
}

AssetService::AssetService(AssetParts parts, AssetOptions options)
    : impl_(std::make_shared<Impl>(std::move(parts), std::move(options))) {}

AssetService::~AssetService() {
  impl_->stop.request_stop();
  impl_->fetches.Stop();
}

std::vector<rpc::Method> AssetService::Methods() {
  const std::string package = "/build.bazel.remote.asset.v1.";
  std::vector<rpc::Method> methods;
  auto add = [&](const char* path, auto handle) {
    methods.push_back(rpc::UnaryMethod(package + path, std::move(handle), kRequestBytesMax));
  };
  auto* impl = impl_.get();
  add("Fetch/FetchBlob", [impl](std::shared_ptr<rpc::ServerCall> call, Bytes bytes) {
    impl->Fetch<asset_pb::FetchBlobRequest>(AssetKind::kBlob, std::move(call), std::move(bytes));
  });
  add("Fetch/FetchDirectory", [impl](std::shared_ptr<rpc::ServerCall> call, Bytes bytes) {
    impl->Fetch<asset_pb::FetchDirectoryRequest>(AssetKind::kDirectory, std::move(call),
                                                 std::move(bytes));
  });
  add("Push/PushBlob", [impl](std::shared_ptr<rpc::ServerCall> call, Bytes bytes) {
    impl->Push<asset_pb::PushBlobRequest>(AssetKind::kBlob, std::move(call), std::move(bytes));
  });
  add("Push/PushDirectory", [impl](std::shared_ptr<rpc::ServerCall> call, Bytes bytes) {
    impl->Push<asset_pb::PushDirectoryRequest>(AssetKind::kDirectory, std::move(call),
                                               std::move(bytes));
  });
  return methods;
}

}  // namespace lre::service

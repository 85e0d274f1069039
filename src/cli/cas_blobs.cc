#include "cli/cas_blobs.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <unordered_map>
#include <unordered_set>

#include "action_cache/needed_digests.h"
#include "base/file.h"
#include "digest/file_digest.h"
#include "digest/hasher.h"
#include "http_client/partial_file.h"
#include "reapi/digest_proto.h"
#include "toolchain/root/cas_tree.h"

namespace lre::cli {
namespace {

constexpr uint64_t kPieceBytes = 8 << 20;
constexpr uint64_t kMessageBytesMax = 64 << 20;

Result<Digest> PutDirectory(store::BlobStore& cas, const std::string& path) {
  TRY_ASSIGN(const toolchain::TreeListing listing, toolchain::WalkTree(path));
  TRY_ASSIGN(const toolchain::CasDirectories directories, toolchain::EncodeDirectories(listing));
  std::vector<Digest> digests;
  std::vector<std::string> paths;
  std::unordered_set<Digest> seen;
  for (const toolchain::CasFile& file : listing.files) {
    if (!seen.insert(file.digest).second) continue;
    digests.push_back(file.digest);
    paths.push_back(path + "/" + file.path);
  }
  TRY_ASSIGN(const std::vector<uint32_t> missing, cas.FindMissing(0, digests));
  for (uint32_t index : missing) TRY(PutFile(cas, digests[index], paths[index]));
  std::vector<std::pair<Digest, Bytes>> blobs;
  for (const auto& [digest, bytes] : directories.blobs) blobs.emplace_back(digest, Bytes(bytes));
  for (Status& status : cas.PutMany(0, blobs)) TRY(std::move(status));
  return directories.root;
}

}  // namespace

Result<Digest> ParseDigestArgument(std::string_view text) {
  DigestFunction function = DigestFunction::kUnknown;
  std::string_view rest = text;
  if (const size_t colon = text.find(':'); colon != std::string_view::npos) {
    function = DigestFunctionByName(text.substr(0, colon));
    if (function == DigestFunction::kUnknown) {
      return Error(Code::kInvalidArgument, "\"{}\": no digest function \"{}\"", text,
                   text.substr(0, colon));
    }
    rest.remove_prefix(colon + 1);
  }
  const size_t slash = rest.find('/');
  int64_t size = -1;
  if (slash != std::string_view::npos) {
    auto [end, error] = std::from_chars(rest.data() + slash + 1, rest.data() + rest.size(), size);
    if (error != std::errc() || end != rest.data() + rest.size()) size = -1;
  }
  if (function == DigestFunction::kUnknown) {
    function = InferDigestFunction(std::min(slash, rest.size()));
  }
  if (size < 0 || function == DigestFunction::kUnknown) {
    return Error(Code::kInvalidArgument, "\"{}\" is no digest: HASH/SIZE", text);
  }
  return MakeDigest(function, rest.substr(0, slash), size);
}

Status StreamBlob(store::BlobStore& cas, const Digest& digest,
                  const std::function<Status(std::string_view)>& take) {
  Hasher hasher(digest.function);
  const auto size = static_cast<uint64_t>(digest.size_bytes);
  for (uint64_t at = 0; at < size || at == 0; at += kPieceBytes) {
    TRY_ASSIGN(BytesList pieces, cas.Read({digest}, {at, std::min(at + kPieceBytes, size)}));
    for (const Bytes& piece : pieces) {
      hasher.Update(piece.view());
      TRY(take(piece.view()));
    }
  }
  const Digest found = hasher.Finish();
  if (found == digest) return Status();
  return ErrorStatus(Code::kDataLoss, "blob {}: the bytes that came have the digest {}", digest,
                     found);
}

Status GetFile(store::BlobStore& cas, const Digest& digest, const std::string& path) {
  return PartialFile::Make(path, [&](PartialFile& file) {
    return StreamBlob(cas, digest, [&](std::string_view bytes) { return file.Append(bytes); });
  });
}

Status PutFile(store::BlobStore& cas, const Digest& digest, const std::string& path,
               uint64_t piece_bytes) {
  TRY_ASSIGN(const auto file, SystemFiles().Open(path, OpenMode::kRead));
  TRY_ASSIGN(const auto writer, cas.Write({digest}));
  for (uint64_t at = 0;;) {
    std::string piece(piece_bytes, '\0');
    TRY_ASSIGN(const size_t read, file->ReadAt(piece.data(), piece.size(), at));
    if (read == 0) return writer->Commit();
    at += read;
    piece.resize(read);
    TRY(writer->Append(Bytes(std::move(piece))));
  }
}

Result<Digest> PutPath(store::BlobStore& cas, const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return PutDirectory(cas, path);
  TRY_ASSIGN(const Digest digest, DigestOfFile(path));
  TRY_ASSIGN(const std::vector<uint32_t> missing, cas.FindMissing(0, {&digest, 1}));
  if (!missing.empty()) TRY(PutFile(cas, digest, path));
  return digest;
}

Status WalkDirectory(store::BlobStore& cas, const Digest& root, bool recursive,
                     const std::function<Status(const TreeEntry&)>& visit) {
  struct Place {
    std::string prefix;
    Digest digest;
  };
  std::unordered_map<Digest, reapi::Directory> known;
  std::vector<Place> waiting = {{"", root}};
  while (!waiting.empty()) {
    const Place place = std::move(waiting.back());
    waiting.pop_back();
    auto found = known.find(place.digest);
    if (found == known.end()) {
      TRY_ASSIGN(const std::string bytes, store::ReadAll(cas, {place.digest}, kMessageBytesMax));
      auto parsed = reapi::ParseDirectory(bytes, place.digest.function);
      if (!parsed) return parsed.error().WithContext(place.digest.ToString());
      found = known.emplace(place.digest, std::move(*parsed)).first;
    }
    const reapi::Directory& directory = found->second;
    for (const auto& file : directory.files) {
      TRY(visit({.path = place.prefix + file.name, .file = &file}));
    }
    for (const auto& link : directory.symlinks) {
      TRY(visit({.path = place.prefix + link.name, .symlink = &link}));
    }
    for (const auto& below : directory.directories) {
      TRY(visit({.path = place.prefix + below.name, .directory = &below}));
      if (recursive) waiting.push_back({place.prefix + below.name + "/", below.digest});
    }
  }
  return Status();
}

Result<std::vector<Digest>> BlobsOfTree(store::BlobStore& cas, const Digest& root) {
  std::vector<Digest> blobs, waiting = {root};
  std::unordered_set<Digest> seen = {root};
  while (!waiting.empty()) {
    const Digest digest = waiting.back();
    waiting.pop_back();
    blobs.push_back(digest);
    TRY(WalkDirectory(cas, digest, false, [&](const TreeEntry& entry) {
      if (entry.file && seen.insert(entry.file->digest).second) {
        blobs.push_back(entry.file->digest);
      }
      if (entry.directory && seen.insert(entry.directory->digest).second) {
        waiting.push_back(entry.directory->digest);
      }
      return Status();
    }));
  }
  return blobs;
}

Result<std::vector<Digest>> BlobsOfAction(RemoteServer& server, const Digest& action,
                                          std::string* result) {
  TRY_ASSIGN(const std::string bytes, store::ReadAll(server.cas(), {action}, kMessageBytesMax));
  reapi::pb::Action message;
  if (!message.ParseFromString(bytes)) {
    return Error(Code::kInvalidArgument, "blob {} is no Action", action);
  }
  TRY_ASSIGN(const Digest command, reapi::FromProto(message.command_digest(), action.function));
  TRY_ASSIGN(const Digest inputs, reapi::FromProto(message.input_root_digest(), action.function));
  TRY_ASSIGN(std::vector<Digest> blobs, BlobsOfTree(server.cas(), inputs));
  blobs.insert(blobs.end(), {action, command});
  auto found = server.GetResult(action);
  if (!found && found.error().code() == Code::kNotFound) return blobs;
  TRY(found);
  *result = std::string(found->view());
  auto read = [&](const Digest& digest) -> std::optional<Result<std::string>> {
    return store::ReadAll(server.cas(), {digest}, kMessageBytesMax);
  };
  auto needed = action_cache::NeededDigests(
      *result, {.function = action.function, .digests_max = 10'000'000, .read = read});
  TRY(*needed);
  blobs.insert(blobs.end(), (*needed)->begin(), (*needed)->end());
  return blobs;
}

}  // namespace lre::cli

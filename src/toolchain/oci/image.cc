#include "toolchain/oci/image.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/file.h"
#include "digest/file_digest.h"
#include "http_client/partial_file.h"
#include "toolchain/oci/registry.h"

namespace lre::toolchain {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kBlobs = "blobs/sha256/";
constexpr size_t kReadBytes = 1 << 20;
constexpr size_t kLayersMax = 1000;

bool IsHex64(std::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::string StringAt(const Json& json, const char* key) {
  const auto found = json.is_object() ? json.find(key) : json.end();
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// Hex of a descriptor's digest; empty when it is no SHA-256.
std::string DigestOf(const Json& descriptor) {
  const std::string digest = StringAt(descriptor, "digest");
  constexpr std::string_view kName = "sha256:";
  const std::string hex = digest.starts_with(kName) ? digest.substr(kName.size()) : "";
  return IsHex64(hex) ? hex : "";
}

Result<std::string> ChooseManifest(const Json& manifests, std::string_view architecture) {
  std::string without_platform, there;
  for (const Json& each : manifests) {
    const Json platform = each.is_object() && each.contains("platform") ? each["platform"] : Json();
    const std::string name = StringAt(platform, "architecture"), os = StringAt(platform, "os");
    const std::string hex = DigestOf(each);
    if (hex.empty()) continue;
    if (name == architecture && os == "linux") return hex;
    if (name.empty() && manifests.size() == 1) without_platform = hex;
    if (!name.empty()) there += (there.empty() ? "" : ", ") + os + "/" + name;
  }
  if (!without_platform.empty()) return without_platform;
  return Error(Code::kNotFound, "the index has no image for linux/{} (it has {})", architecture,
               there.empty() ? "none" : there);
}

// "amd64" of "x86_64-linux", as images name it.
Result<std::string> ImageArchitecture(std::string_view system) {
  if (system == "x86_64-linux") return std::string("amd64");
  if (system == "aarch64-linux") return std::string("arm64");
  return Error(Code::kUnimplemented, "no image architecture is known for {}", system);
}

bool IsFolder(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

// A tar that holds a layout. Calls `take` for each file in it; a false answer ends the reading.
class LayoutArchive {
 public:
  static Result<LayoutArchive> Open(const std::string& path) {
    LayoutArchive opened(path);
    archive* reader = opened.reader_.get();
    archive_read_support_format_tar(reader);
    archive_read_support_filter_all(reader);
    if (archive_read_open_filename(reader, path.c_str(), kReadBytes) != ARCHIVE_OK)
      return std::unexpected(opened.Broken());
    return opened;
  }
  // The next file's name, without "./"; nullopt at the end.
  Result<std::optional<std::string>> Next() {
    for (;;) {
      archive_entry* entry = nullptr;
      const int code = archive_read_next_header(reader_.get(), &entry);
      if (code == ARCHIVE_EOF) return std::nullopt;
      if (code != ARCHIVE_OK && code != ARCHIVE_WARN) return std::unexpected(Broken());
      const char* name = archive_entry_pathname(entry);
      if (name == nullptr || archive_entry_filetype(entry) != AE_IFREG) continue;
      std::string_view text = name;
      if (text.starts_with("./")) text.remove_prefix(2);
      return std::string(text);
    }
  }
  Status ReadTo(uint64_t bytes_max, const std::function<Status(std::string_view)>& take) {
    uint64_t total = 0;
    for (;;) {
      const void* block = nullptr;
      size_t size = 0;
      int64_t offset = 0;
      const int read = archive_read_data_block(reader_.get(), &block, &size, &offset);
      if (read == ARCHIVE_EOF) return {};
      if (read != ARCHIVE_OK) return Broken();
      if ((total += size) > bytes_max)
        return ErrorStatus(Code::kResourceExhausted, "{}: a file is larger than {} bytes", path_,
                           bytes_max);
      TRY(take({static_cast<const char*>(block), size}));
    }
  }

 private:
  explicit LayoutArchive(std::string path)
      : path_(std::move(path)), reader_(archive_read_new(), archive_read_free) {}
  Status Broken() const {
    const char* text = archive_error_string(reader_.get());
    return ErrorStatus(Code::kDataLoss, "{}: {}", path_, text != nullptr ? text : "broken");
  }

  std::string path_;
  std::unique_ptr<archive, int (*)(archive*)> reader_;
};

Result<std::string> ReadIndex(const std::string& path) {
  if (IsFolder(path)) return ReadFile(path + "/index.json", kImageManifestBytesMax);
  TRY_ASSIGN(LayoutArchive layout, LayoutArchive::Open(path));
  for (;;) {
    TRY_ASSIGN(const std::optional<std::string> name, layout.Next());
    if (!name) return Error(Code::kInvalidArgument, "{} holds no index.json: no OCI image", path);
    if (*name != "index.json") continue;
    std::string text;
    TRY(layout.ReadTo(kImageManifestBytesMax, [&](std::string_view piece) {
      text += piece;
      return Status();
    }));
    return text;
  }
}

// One FetchImage.
class Fetching {
 public:
  Fetching(HttpClient& http, const ImageFetch& fetch, std::map<std::string, std::string>& files)
      : http_(http), fetch_(fetch), files_(files) {}

  Status Run() {
    if (IsImageReference(fetch_.from)) {
      TRY_ASSIGN(Registry registry, Registry::Of(http_, fetch_.from));
      registry_ = std::move(registry);
    }
    TRY_ASSIGN(const ImageManifest manifest,
               FindImageManifest(fetch_.sha256, fetch_.system,
                                 [this](const std::string& sha256) -> Result<std::string> {
                                   TRY(Get(sha256, /*manifest=*/true));
                                   return ReadFile(files_.at(sha256), kImageManifestBytesMax);
                                 }));
    for (const ImageLayer& layer : manifest.layers) TRY(Get(layer.sha256, /*manifest=*/false));
    return {};
  }

 private:
  std::string Cached(const std::string& sha256) const {
    return fetch_.cache + "/" + sha256 + ".extra";
  }

  Status Get(const std::string& sha256, bool manifest) {
    if (files_.contains(sha256)) return {};
    if (IsFolder(fetch_.from)) {
      const std::string file = fetch_.from + "/" + std::string(kBlobs) + sha256;
      TRY_ASSIGN(const Digest found, DigestOfFile(file));
      if (found.Hex() != sha256)
        return ErrorStatus(Code::kDataLoss, "{} has SHA-256 {}", file, found.Hex());
      files_[sha256] = file;
      return {};
    }
    TRY(SystemFiles().MakeDirectories(fetch_.cache));
    const std::string file = Cached(sha256);
    if (!HasSha256(file, sha256)) {
      TRY(!registry_ ? Extract(sha256)
          : manifest ? registry_->FetchManifest(sha256, file)
                     : registry_->FetchBlob(sha256, fetch_.bytes_max, file));
    }
    files_[sha256] = file;
    return {};
  }

  // An archive is read from its start for each file: some manifests and layers, not many.
  Status Extract(const std::string& sha256) {
    TRY_ASSIGN(LayoutArchive layout, LayoutArchive::Open(fetch_.from));
    for (;;) {
      TRY_ASSIGN(const std::optional<std::string> name, layout.Next());
      if (!name) return ErrorStatus(Code::kNotFound, "{} has no blob {}", fetch_.from, sha256);
      if (*name != std::string(kBlobs) + sha256) continue;
      return PartialFile::Make(Cached(sha256), [&](PartialFile& file) -> Status {
        TRY(layout.ReadTo(fetch_.bytes_max,
                          [&](std::string_view piece) { return file.Append(piece); }));
        const std::string found = file.Sha256();
        if (found == sha256) return {};
        return ErrorStatus(Code::kDataLoss, "blob {} has SHA-256 {}", sha256, found);
      });
    }
  }

  HttpClient& http_;
  const ImageFetch& fetch_;
  std::map<std::string, std::string>& files_;
  std::optional<Registry> registry_;
};

}  // namespace

Result<ImageManifest> ParseImageManifest(std::string_view json, std::string_view architecture) {
  const Json root = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  ImageManifest manifest;
  if (root.is_object() && root.contains("manifests") && root["manifests"].is_array()) {
    TRY_ASSIGN(manifest.chosen, ChooseManifest(root["manifests"], architecture));
    return manifest;
  }
  if (!root.is_object() || !root.contains("layers") || !root["layers"].is_array())
    return Error(Code::kDataLoss, "neither a manifest nor an index of an OCI image");
  if (root["layers"].size() > kLayersMax)
    return Error(Code::kResourceExhausted, "an image of more than {} layers", kLayersMax);
  for (const Json& layer : root["layers"]) {
    ImageLayer parsed{.sha256 = DigestOf(layer)};
    if (parsed.sha256.empty())
      return Error(Code::kDataLoss, "a layer's digest '{}' is no SHA-256",
                   StringAt(layer, "digest"));
    if (layer.contains("size") && layer["size"].is_number_unsigned())
      parsed.size_bytes = layer["size"].get<uint64_t>();
    manifest.layers.push_back(std::move(parsed));
  }
  return manifest;
}

Result<ImageManifest> FindImageManifest(
    std::string sha256, std::string_view system,
    const std::function<Result<std::string>(const std::string& sha256)>& read) {
  TRY_ASSIGN(const std::string architecture, ImageArchitecture(system));
  for (int depth = 0; depth < kImageIndexDepthMax; ++depth) {
    TRY_ASSIGN(const std::string json, read(sha256));
    TRY_ASSIGN(ImageManifest manifest, ParseImageManifest(json, architecture));
    if (manifest.chosen.empty()) return manifest;
    sha256 = std::move(manifest.chosen);
  }
  return Error(Code::kDataLoss, "indices of indices, more than {}", kImageIndexDepthMax);
}

bool IsImageReference(std::string_view from) {
  return from.starts_with(kImageScheme) || from.starts_with(kPlainImageScheme);
}

Result<std::string> ImageReferenceSha256(std::string_view from) {
  constexpr std::string_view kAt = "@sha256:";
  std::string_view rest = from;
  const bool no_tls = rest.starts_with(kPlainImageScheme);
  rest.remove_prefix(
      std::min(rest.size(), no_tls ? kPlainImageScheme.size() : kImageScheme.size()));
  const size_t at = rest.find(kAt), slash = rest.find('/');
  const bool shaped = IsImageReference(from) && at != rest.npos && slash != rest.npos &&
                      slash > 0 && slash + 1 < at && IsHex64(rest.substr(at + kAt.size()));
  const bool plain =
      shaped && std::all_of(rest.begin(), rest.begin() + static_cast<ptrdiff_t>(at), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               std::string_view("-._/:[]").find(c) != std::string_view::npos;
      });
  if (!plain || rest.find("..") != rest.npos)
    return Error(Code::kInvalidArgument,
                 "'{}' is not oci://HOST/NAME@sha256:HEX: an image is named by its digest, which "
                 "`skopeo inspect` prints",
                 from);
  return std::string(rest.substr(at + kAt.size()));
}

Result<std::string> LocalImageSha256(const std::string& path, const std::string& wanted) {
  TRY_ASSIGN(const std::string text, ReadIndex(path));
  const Json index = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!index.is_object() || !index.contains("manifests") || !index["manifests"].is_array())
    return Error(Code::kInvalidArgument, "{}: index.json lists no manifests", path);
  std::string list, only;
  for (const Json& each : index["manifests"]) {
    const std::string hex = DigestOf(each);
    if (hex.empty()) continue;
    if (hex == wanted) return hex;
    const Json notes = each.contains("annotations") ? each["annotations"] : Json();
    const std::string name = StringAt(notes, "org.opencontainers.image.ref.name");
    list += fmt::format("{}{}{}", list.empty() ? "" : ", ", hex, name.empty() ? "" : " " + name);
    only = hex;
  }
  if (only.empty()) return Error(Code::kInvalidArgument, "{}: index.json names no image", path);
  if (!wanted.empty())
    return Error(Code::kDataLoss, "{} has no image {}; it has {}: `lre lock` takes it anew", path,
                 wanted, list);
  if (index["manifests"].size() > 1)
    return Error(Code::kInvalidArgument, "{} has several images, say which by sha256: {}", path,
                 list);
  return only;
}

Status FetchImage(HttpClient& http, const ImageFetch& fetch,
                  std::map<std::string, std::string>* files) {
  Status status = Fetching(http, fetch, *files).Run();
  return status.ok() ? status : status.WithContext(fetch.from);
}

}  // namespace lre::toolchain

#include "toolchain/nix/binary_cache.h"

#include <archive.h>
#include <archive_entry.h>
#include <string.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <memory>
#include <set>

#include "base/file.h"
#include "digest/hasher.h"
#include "http_client/partial_file.h"
#include "toolchain/nix/nar.h"
#include "toolchain/nix/nar_info.h"
#include "toolchain/nix/store_name.h"

namespace lre::toolchain {
namespace {

constexpr uint64_t kNarInfoBytesMax = 1 << 20;
constexpr size_t kBlockBytes = 1 << 18;

bool IsRemote(const NixSource& source) {
  return source.from.starts_with("http://") || source.from.starts_with("https://");
}
std::string FolderOf(const NixSource& source) {
  constexpr std::string_view kFile = "file://";
  return source.from.starts_with(kFile) ? source.from.substr(kFile.size()) : source.from;
}
bool IsCache(const NixSource& source) {
  return IsRemote(source) || FileExists(FolderOf(source) + "/nix-cache-info");
}

// Where a folder of trees has the path; empty when it does not.
std::string TreeOf(const NixSource& source, std::string_view name) {
  for (const char* below : {"/nix/store/", "/store/", "/"}) {
    std::string path = FolderOf(source) + below + std::string(name);
    std::error_code error;
    if (std::filesystem::exists(std::filesystem::symlink_status(path, error))) return path;
  }
  return {};
}

Result<NarInfo> ReadNarInfo(HttpClient& http, const NixSource& source, std::string_view name) {
  const std::string file = std::string(name.substr(0, kNixHashLength)) + ".narinfo";
  Result<std::string> text =
      IsRemote(source)
          ? http.Get({.url = source.from + "/" + file, .body_bytes_max = kNarInfoBytesMax})
          : ReadFile(FolderOf(source) + "/" + file, kNarInfoBytesMax);
  if (!text && text.error().code() == Code::kNotFound)
    return Error(Code::kNotFound, "{} has no {}/{}", RedactUrl(source.from), kNixStorePrefix, name);
  TRY(ToStatus(text));
  Result<NarInfo> info = ParseNarInfo(*text);
  if (!info) return std::unexpected(info.error().WithContext(file));
  if (NixBaseName(info->store_path) != name)
    return Error(Code::kDataLoss, "{} is about {}", file, info->store_path);
  return info;
}

// The names in the folder of `name` whose hash occurs in the bytes of its tree: as Nix itself looks
// for references.
Result<std::vector<std::string>> ScanReferences(const std::string& tree, std::string_view self) {
  TRY_ASSIGN(const std::vector<std::string> all,
             SystemFiles().List(std::filesystem::path(tree).parent_path().string()));
  std::map<std::string, std::string, std::less<>> by_hash;
  for (const std::string& name : all)
    if (IsNixName(name)) by_hash.emplace(name.substr(0, kNixHashLength), name);
  std::set<std::string> found;
  std::string tail;
  TRY(DumpNar(tree, [&](std::string_view piece) {
    tail += piece;
    if (tail.size() < kBlockBytes && !piece.empty()) return Status();
    for (const auto& [hash, name] : by_hash) {
      if (found.contains(name)) continue;
      if (memmem(tail.data(), tail.size(), hash.data(), hash.size()) != nullptr) found.insert(name);
    }
    tail.erase(0, tail.size() - std::min(tail.size(), kNixHashLength - 1));
    return Status();
  }));
  for (const auto& [hash, name] : by_hash)
    if (tail.find(hash) != tail.npos) found.insert(name);
  found.erase(std::string(self));
  return std::vector<std::string>(found.begin(), found.end());
}

Result<NixPath> ReadPath(HttpClient& http, const NixSource& source, const std::string& name) {
  if (IsCache(source)) {
    TRY_ASSIGN(NarInfo info, ReadNarInfo(http, source, name));
    if (!source.keys.empty()) TRY(CheckNarSignature(info, source.keys));
    return NixPath{name, info.nar_sha256, info.nar_size, std::move(info.references)};
  }
  const std::string tree = TreeOf(source, name);
  if (tree.empty())
    return Error(Code::kNotFound, "{} has neither nix-cache-info nor {}/{}", source.from,
                 kNixStorePrefix, name);
  TRY(CheckNixFolder(tree));
  TRY_ASSIGN(const NarHash hash, HashNar(tree));
  NixPath path{name, hash.sha256, hash.size_bytes, {}};
  TRY_ASSIGN(path.references, ScanReferences(tree, name));
  return path;
}

using Take = std::function<Status(std::string_view)>;

// The file `to`, if what `produce` gives is the archive of the path.
Status MakeNar(const NixPath& path, const std::string& to,
               const std::function<Status(const Take&)>& produce) {
  return PartialFile::Make(to, [&](PartialFile& file) -> Status {
    TRY(produce([&](std::string_view piece) {
      if (file.size_bytes() + piece.size() > path.nar_size)
        return ErrorStatus(Code::kDataLoss, "{} is larger than the {} bytes locked", path.name,
                           path.nar_size);
      return file.Append(piece);
    }));
    const std::string found = file.Sha256();
    if (found == path.nar_sha256) return {};
    return ErrorStatus(Code::kDataLoss, "{} has the NAR hash {}, and {} is locked", path.name,
                       found, path.nar_sha256);
  });
}

Status Decompress(const std::string& from, const Take& take) {
  const std::unique_ptr<archive, int (*)(archive*)> reader(archive_read_new(), archive_read_free);
  archive_read_support_filter_all(reader.get());
  archive_read_support_format_raw(reader.get());
  auto broken = [&] {
    const char* text = archive_error_string(reader.get());
    return ErrorStatus(Code::kDataLoss, "{}: {}", from, text != nullptr ? text : "broken");
  };
  archive_entry* entry = nullptr;
  if (archive_read_open_filename(reader.get(), from.c_str(), kBlockBytes) != ARCHIVE_OK ||
      archive_read_next_header(reader.get(), &entry) != ARCHIVE_OK)
    return broken();
  for (;;) {
    const void* block = nullptr;
    size_t size = 0;
    int64_t offset = 0;
    const int read = archive_read_data_block(reader.get(), &block, &size, &offset);
    if (read == ARCHIVE_EOF) return {};
    if (read != ARCHIVE_OK) return broken();
    TRY(take({static_cast<const char*>(block), size}));
  }
}

}  // namespace

std::string PrintNixPath(const NixPath& path) {
  std::string text = fmt::format("{} {} {}", path.name, path.nar_sha256, path.nar_size);
  for (const std::string& reference : path.references) text += " " + reference;
  return text;
}

Result<NixPath> ParseNixPath(std::string_view text) {
  std::vector<std::string> words;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t end = std::min(rest.find(' '), rest.size());
    words.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  NixPath path;
  auto refuse = [&] {
    return Error(Code::kInvalidArgument,
                 "'{}' is not \"<hash>-<name> <sha256> <bytes> [reference ...]\"", text);
  };
  if (words.size() < 3 || !IsNixName(words[0]) || !ParseNixSha256("sha256:" + words[1]) ||
      words[1].size() != 64)
    return refuse();
  path.name = words[0];
  path.nar_sha256 = words[1];
  const char* const end = words[2].data() + words[2].size();
  const auto [at, error] = std::from_chars(words[2].data(), end, path.nar_size);
  if (error != std::errc() || at != end) return refuse();
  path.references.assign(words.begin() + 3, words.end());
  std::sort(path.references.begin(), path.references.end());
  if (!std::all_of(path.references.begin(), path.references.end(), IsNixName)) return refuse();
  return path;
}

Result<std::vector<NixPath>> OrderClosure(std::vector<NixPath> paths) {
  std::map<std::string, const NixPath*> by_name;
  for (const NixPath& path : paths)
    if (!by_name.emplace(path.name, &path).second)
      return Error(Code::kInvalidArgument, "{} is in the closure twice", path.name);
  std::vector<NixPath> ordered;
  std::map<std::string, bool> seen;  // name -> all it references is in `ordered`
  auto visit = [&](auto& self, const std::string& name) -> Status {
    const auto [known, fresh] = seen.emplace(name, false);
    if (!fresh)
      return known->second ? Status()
                           : ErrorStatus(Code::kInvalidArgument,
                                         "{} references itself through "
                                         "others",
                                         name);
    const auto found = by_name.find(name);
    if (found == by_name.end())
      return ErrorStatus(Code::kInvalidArgument, "the closure lacks {}", name);
    for (const std::string& reference : found->second->references) TRY(self(self, reference));
    seen[name] = true;
    ordered.push_back(*found->second);
    return {};
  };
  for (const auto& [name, path] : by_name) TRY(visit(visit, name));
  return ordered;
}

std::string ClosureSha256(const std::vector<NixPath>& closure) {
  std::vector<std::string> lines;
  for (const NixPath& path : closure) lines.push_back(PrintNixPath(path) + "\n");
  std::sort(lines.begin(), lines.end());
  Hasher hasher(DigestFunction::kSha256);
  for (const std::string& line : lines) hasher.Update(line);
  return hasher.Finish().Hex();
}

Result<std::vector<NixPath>> ReadClosure(HttpClient& http, const NixSource& source,
                                         const std::string& store_path) {
  if (!IsNixPath(store_path))
    return Error(Code::kInvalidArgument, "'{}' is not {}/<hash>-<name>", store_path,
                 kNixStorePrefix);
  std::vector<NixPath> paths;
  std::vector<std::string> queue = {std::string(NixBaseName(store_path))};
  std::set<std::string> seen(queue.begin(), queue.end());
  for (size_t i = 0; i < queue.size(); ++i) {
    if (i >= source.paths_max)
      return Error(Code::kResourceExhausted, "{} has a closure of more than {} paths", store_path,
                   source.paths_max);
    const std::string name = queue[i];
    TRY_ASSIGN(NixPath path, ReadPath(http, source, name));
    for (const std::string& reference : path.references)
      if (seen.insert(reference).second) queue.push_back(reference);
    paths.push_back(std::move(path));
  }
  return OrderClosure(std::move(paths));
}

Status FetchNar(HttpClient& http, const NixSource& source, const NixPath& path,
                const std::string& to) {
  if (!IsCache(source)) {
    const std::string tree = TreeOf(source, path.name);
    if (tree.empty()) return ErrorStatus(Code::kNotFound, "{} has no {}", source.from, path.name);
    return MakeNar(path, to, [&](const Take& take) { return DumpNar(tree, take); });
  }
  TRY_ASSIGN(const NarInfo info, ReadNarInfo(http, source, path.name));
  if (info.nar_sha256 != path.nar_sha256)
    return ErrorStatus(Code::kDataLoss, "{} offers {} with the NAR hash {}, and {} is locked",
                       RedactUrl(source.from), path.name, info.nar_sha256, path.nar_sha256);
  std::string compressed = FolderOf(source) + "/" + info.url;
  const bool remote = IsRemote(source);
  if (remote) {
    compressed = to + ".compressed";
    const bool absolute = info.url.starts_with("http://") || info.url.starts_with("https://");
    TRY(http.Download({.url = absolute ? info.url : source.from + "/" + info.url,
                       .body_bytes_max = source.nar_bytes_max},
                      compressed, {.sha256 = info.file_sha256}));
  }
  Status status = MakeNar(path, to, [&](const Take& take) { return Decompress(compressed, take); });
  if (remote) (void)SystemFiles().Remove(compressed).ok();
  return status;
}

}  // namespace lre::toolchain

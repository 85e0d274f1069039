// Archives of blobs: a tar that other tools can look into. The size of a blob is that of its
// member, its digest is in its name, and is checked when it is read.
#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <memory>

#include "base/file.h"
#include "cli/cas_blobs.h"

namespace lre::cli {
namespace {

constexpr std::string_view kBlobs = "lre-cas-1/blobs/";
constexpr std::string_view kResults = "lre-cas-1/results/";
constexpr uint64_t kResultBytesMax = 64 << 20;

struct WriteCloser {
  void operator()(archive* a) const { archive_write_free(a); }
};
struct ReadCloser {
  void operator()(archive* a) const { archive_read_free(a); }
};
using Writer = std::unique_ptr<archive, WriteCloser>;
using Reader = std::unique_ptr<archive, ReadCloser>;

Status ArchiveError(archive* a, const std::string& path) {
  const char* text = archive_error_string(a);
  return ErrorStatus(Code::kDataLoss, "{}: {}", path, text != nullptr ? text : "damaged");
}

// "FUNCTION/HASH"; of a result with "-SIZE" of the action behind.
std::string NameOf(std::string_view folder, const Digest& digest) {
  return fmt::format("{}{}/{}", folder, DigestFunctionName(digest.function), digest.Hex());
}

Status Begin(archive* out, const std::string& name, int64_t size, const std::string& path) {
  std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(),
                                                                      archive_entry_free);
  archive_entry_set_pathname(entry.get(), name.c_str());
  archive_entry_set_filetype(entry.get(), AE_IFREG);
  archive_entry_set_perm(entry.get(), 0644);
  archive_entry_set_size(entry.get(), size);
  return archive_write_header(out, entry.get()) == ARCHIVE_OK ? Status() : ArchiveError(out, path);
}

Status Write(archive* out, std::string_view bytes, const std::string& path) {
  const auto written = archive_write_data(out, bytes.data(), bytes.size());
  return written == static_cast<la_ssize_t>(bytes.size()) ? Status() : ArchiveError(out, path);
}

Status WriteAll(archive* out, store::BlobStore& cas, const std::vector<Digest>& blobs,
                const std::vector<ArchivedResult>& results, const std::string& path) {
  for (const Digest& digest : blobs) {
    TRY(Begin(out, NameOf(kBlobs, digest), digest.size_bytes, path));
    TRY(StreamBlob(cas, digest, [&](std::string_view bytes) { return Write(out, bytes, path); }));
  }
  for (const ArchivedResult& result : results) {
    const std::string name =
        fmt::format("{}-{}", NameOf(kResults, result.action), result.action.size_bytes);
    TRY(Begin(out, name, static_cast<int64_t>(result.result.size()), path));
    TRY(Write(out, result.result, path));
  }
  return archive_write_close(out) == ARCHIVE_OK ? Status() : ArchiveError(out, path);
}

// The digest that a member's name says.
Result<Digest> DigestOfName(std::string_view name, int64_t size) {
  const size_t slash = name.find('/');
  if (slash == std::string_view::npos) {
    return Error(Code::kInvalidArgument, "member \"{}\" names no digest", name);
  }
  return MakeDigest(DigestFunctionByName(name.substr(0, slash)), name.substr(slash + 1), size);
}

class Importer {
 public:
  Importer(RemoteServer& server, const std::string& path) : server_(server), path_(path) {}

  Result<ImportReport> Run() {
    archive_read_support_format_tar(reader_.get());
    archive_read_support_filter_gzip(reader_.get());
    archive_read_support_filter_zstd(reader_.get());
    if (archive_read_open_filename(reader_.get(), path_.c_str(), 1 << 18) != ARCHIVE_OK) {
      return std::unexpected(ArchiveError(reader_.get(), path_));
    }
    for (;;) {
      archive_entry* entry = nullptr;
      const int code = archive_read_next_header(reader_.get(), &entry);
      if (code == ARCHIVE_EOF) break;
      if (code != ARCHIVE_OK) return std::unexpected(ArchiveError(reader_.get(), path_));
      const char* raw = archive_entry_pathname(entry);
      const std::string name = raw != nullptr ? raw : "";
      if (name.starts_with(kBlobs)) {
        TRY(AddBlob(name.substr(kBlobs.size()), archive_entry_size(entry)));
      } else if (name.starts_with(kResults)) {
        TRY(AddResult(name.substr(kResults.size())));
      }
    }
    // Last: a result is taken only when its blobs are there.
    for (const ArchivedResult& result : results_) {
      TRY(server_.PutResult(result.action, result.result));
      report_.results++;
    }
    return report_;
  }

 private:
  Status ForEachPiece(const std::function<Status(std::string)>& take) {
    for (;;) {
      std::string piece(1 << 20, '\0');
      const la_ssize_t read = archive_read_data(reader_.get(), piece.data(), piece.size());
      if (read < 0) return ArchiveError(reader_.get(), path_);
      if (read == 0) return Status();
      piece.resize(static_cast<size_t>(read));
      TRY(take(std::move(piece)));
    }
  }

  Status AddBlob(std::string_view name, int64_t size) {
    TRY_ASSIGN(const Digest digest, DigestOfName(name, size));
    report_.blobs++;
    TRY_ASSIGN(const auto missing, server_.cas().FindMissing(0, {&digest, 1}));
    if (missing.empty()) return Status();
    TRY_ASSIGN(auto writer, server_.cas().Write({digest}));
    TRY(ForEachPiece([&](std::string piece) { return writer->Append(Bytes(std::move(piece))); }));
    TRY(writer->Commit());
    report_.uploaded++;
    return Status();
  }

  Status AddResult(std::string_view name) {
    const size_t dash = name.rfind('-');
    int64_t size = -1;
    if (dash != std::string_view::npos) {
      std::from_chars(name.data() + dash + 1, name.data() + name.size(), size);
    }
    TRY_ASSIGN(const Digest action, DigestOfName(name.substr(0, dash), size));
    ArchivedResult result{.action = action};
    TRY(ForEachPiece([&](const std::string& piece) -> Status {
      result.result += piece;
      if (result.result.size() <= kResultBytesMax) return Status();
      return ErrorStatus(Code::kInvalidArgument, "{}: a result of more than {} bytes", path_,
                         kResultBytesMax);
    }));
    results_.push_back(std::move(result));
    return Status();
  }

  RemoteServer& server_;
  const std::string& path_;
  Reader reader_{archive_read_new()};
  std::vector<ArchivedResult> results_;
  ImportReport report_;
};

}  // namespace

Result<size_t> ExportBlobs(store::BlobStore& cas, std::vector<Digest> blobs,
                           const std::vector<ArchivedResult>& results, const std::string& path) {
  std::sort(blobs.begin(), blobs.end());
  blobs.erase(std::unique(blobs.begin(), blobs.end()), blobs.end());
  std::erase_if(blobs, [](const Digest& digest) { return store::IsEmptyBlob(digest); });
  const Writer writer(archive_write_new());
  archive_write_set_format_pax_restricted(writer.get());
  // Beside, so that half an archive never has the name of a whole one.
  const std::string partial = path + ".partial";
  if (archive_write_open_filename(writer.get(), partial.c_str()) != ARCHIVE_OK) {
    return std::unexpected(ArchiveError(writer.get(), partial));
  }
  Status status = WriteAll(writer.get(), cas, blobs, results, partial);
  if (status.ok()) status = SystemFiles().Rename(partial, path);
  if (status.ok()) return blobs.size();
  std::error_code ignored;
  std::filesystem::remove(partial, ignored);
  return std::unexpected(std::move(status));
}

Result<ImportReport> ImportBlobs(RemoteServer& server, const std::string& path) {
  return Importer(server, path).Run();
}

}  // namespace lre::cli

#include "toolchain/fetch/fake_archive.h"

#include <archive.h>
#include <archive_entry.h>

#include "base/check.h"
#include "digest/digest.h"
// Test support is compiled into the tests of its own folder only.
#include "http_client/fake_http_server.cc"  // NOLINT(bugprone-suspicious-include)

namespace lre::toolchain {

std::string Sha256Hex(std::string_view bytes) {
  return ComputeDigest(DigestFunction::kSha256, bytes).Hex();
}

std::string CompressXz(const std::string& text) {
  std::string out(text.size() + 4096, '\0');
  size_t used = 0;
  archive* writer = archive_write_new();
  CHECK(archive_write_add_filter_xz(writer) == ARCHIVE_OK);
  CHECK(archive_write_set_format_raw(writer) == ARCHIVE_OK);
  CHECK(archive_write_set_bytes_in_last_block(writer, 1) == ARCHIVE_OK);
  CHECK(archive_write_open_memory(writer, out.data(), out.size(), &used) == ARCHIVE_OK);
  archive_entry* entry = archive_entry_new();
  archive_entry_set_filetype(entry, AE_IFREG);
  CHECK(archive_write_header(writer, entry) == ARCHIVE_OK);
  CHECK(archive_write_data(writer, text.data(), text.size()) ==
        static_cast<la_ssize_t>(text.size()));
  archive_entry_free(entry);
  CHECK(archive_write_close(writer) == ARCHIVE_OK);
  archive_write_free(writer);
  out.resize(used);
  return out;
}

Result<std::string> FakeVerify(std::string_view message, const std::string&) {
  constexpr std::string_view kMark = "SIGNED\n";
  if (!message.starts_with(kMark)) return Error(Code::kPermissionDenied, "bad signature");
  return std::string(message.substr(kMark.size()));
}

FakeArchive::FakeArchive()
    : server_([this](const FakeHttpRequest& request) { return Answer(request); }) {}

void FakeArchive::AddSuite(const std::string& suite, const std::string& architecture,
                           const std::string& packages, const std::string& fields) {
  const std::string index = CompressXz(packages);
  const std::string path = fmt::format("main/binary-{}/Packages.xz", architecture);
  Put(fmt::format("dists/{}/{}", suite, path), index);
  Put(fmt::format("dists/{}/InRelease", suite),
      fmt::format("SIGNED\nSuite: {}\nCodename: {}\n{}SHA256:\n {} {} {}\n", suite, suite, fields,
                  Sha256Hex(index), index.size(), path));
}

void FakeArchive::Put(const std::string& path, const std::string& bytes) {
  std::lock_guard lock(mutex_);
  files_[path] = bytes;
}

void FakeArchive::Remove(const std::string& path) {
  std::lock_guard lock(mutex_);
  files_.erase(path);
}

std::string FakeArchive::Get(const std::string& path) {
  std::lock_guard lock(mutex_);
  return files_.at(path);
}

void FakeArchive::CutOnce(const std::string& path, size_t bytes) {
  std::lock_guard lock(mutex_);
  cuts_[path] = bytes;
}

std::vector<std::string> FakeArchive::TakeRequests() {
  std::lock_guard lock(mutex_);
  return std::exchange(requests_, {});
}

void FakeArchive::WaitForConcurrent(int requests) {
  std::lock_guard lock(mutex_);
  awaited_ = requests;
}

FakeHttpAnswer FakeArchive::Answer(const FakeHttpRequest& request) {
  std::unique_lock lock(mutex_);
  concurrent_max_ = std::max<int>(concurrent_max_, ++concurrent_);
  arrived_.notify_all();
  arrived_.wait_for(lock, std::chrono::seconds(20), [&] { return concurrent_max_ >= awaited_; });
  constexpr std::string_view kRoot = "/debian/";
  const std::string path = request.path.substr(std::min(kRoot.size(), request.path.size()));
  requests_.push_back(path);
  FakeHttpAnswer answer{.status = 404};
  if (const auto file = files_.find(path); file != files_.end()) {
    answer = AnswerBytes(request, file->second);
  }
  if (const auto cut = cuts_.find(path); cut != cuts_.end()) {
    answer.cut_after = cut->second;
    cuts_.erase(cut);
  }
  --concurrent_;
  return answer;
}

}  // namespace lre::toolchain
